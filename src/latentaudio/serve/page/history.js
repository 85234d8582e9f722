// The sounds that were made: each with player, picture, and what can be done with it.

import { call } from "./api.js";
import { button, details, field, h, player, row, save, seconds, select, t } from "./dom.js";
import { decode, Picture } from "./draw.js";
import { addSound, listSounds, removeSound } from "./store.js";

export class History {
	// `actions`: reuse(sound), send(sound, place); `places`: where a sound can be sent.
	constructor(element, compare, places, formats, actions) {
		Object.assign(this, { element, compare, places, formats, actions, pair: {} });
		this.observer = new IntersectionObserver((entries) => {
			for (const { isIntersecting, target } of entries) {
				if (!isIntersecting) continue;
				this.observer.unobserve(target);
				target.draw();
			}
		});
		this.empty = h("p", { class: "hint" }, t("noSounds"));
		element.append(this.empty);
	}

	async load() {
		for (const sound of await listSounds()) this.show(sound);
	}

	async add(sound) {
		try {
			sound.id = await addSound(sound);
		} catch {
			this.actions.error(t("notStored"));
		}
		this.show(sound);
	}

	show(sound) {
		this.empty.hidden = true;
		const { clip } = sound;
		const audio = player(t("player", { title: sound.title, seed: clip.seed }), sound.blob);
		const picture = new Picture(t("pictureOf", { name: sound.title }), audio);
		const error = h("p", { class: "error", role: "alert" });
		const facts = [t(sound.form.tab), clip.options.model, seconds(clip.duration), t("seedOf", { seed: clip.seed }),
			clip.score == null ? null : t("scoreOf", { score: clip.score.toFixed(2) })];
		const format = select("format", this.formats);
		format.value = "wav";
		const place = select("place", Object.keys(this.places), this.places);
		const sides = ["A", "B"].map((side) => button(side, () => this.choose(side, sound), {
			"aria-pressed": "false", "data-side": side, label: t("compareAs", { side }),
		}));
		const article = h("article", { class: "sound", "data-id": sound.id },
			h("h3", {}, sound.title),
			h("p", { class: "facts" }, facts.filter(Boolean).join(" · "), " ", h("strong", { class: "mark" }, t("generated"))),
			picture.box, audio,
			row(button("reuse", () => this.actions.reuse(sound)), ...sides,
				button("remove", () => this.remove(sound, article), { label: t("removeSound", { title: sound.title }) })),
			row(field("sendTo", place), button("send", () => this.actions.send(sound, place.value)),
				field("format", format), button("download", () => this.download(sound, format.value, error))),
			error,
			details("settings", h("dl", {}, ...Object.entries(clip.options)
				.filter(([, value]) => value)
				.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))));
		article.draw = async () => picture.show(await decode(sound.blob, clip.sample_rate), clip.sample_rate);
		this.element.prepend(article);
		this.observer.observe(article);
	}

	async remove(sound, article) {
		await removeSound(sound.id);
		const next = article.nextElementSibling;
		article.remove();
		this.empty.hidden = Boolean(this.element.querySelector("article"));
		next?.querySelector("button")?.focus();
	}

	async download(sound, format, error) {
		error.textContent = "";
		const name = `${sound.title.replace(/[^\p{L}\p{N}]+/gu, "_").slice(0, 60)}_${sound.clip.seed}.${format}`;
		try {
			const path = `v1/audio/generations/${sound.job}/content?clip=${sound.clip.index}&format=${format}`;
			save(format === "wav" ? sound.blob : await (await call(path)).blob(), name);
		} catch (problem) {
			error.textContent = [404, 410].includes(problem.status) ? t("noLonger") : problem.message;
		}
	}

	choose(side, sound) {
		this.pair[side] = sound;
		for (const each of this.element.querySelectorAll("[data-side]")) {
			const { id } = each.closest("article").dataset;
			each.setAttribute("aria-pressed", String(this.pair[each.dataset.side]?.id === Number(id)));
		}
		const players = {};
		const rows = Object.entries(this.pair).sort().map(([name, each]) => {
			players[name] = player(t("side", { side: name }), each.blob);
			return h("p", {}, h("strong", {}, t("side", { side: name })), ` ${each.title}, ${t("seedOf", { seed: each.clip.seed })}`, players[name]);
		});
		const close = button("close", () => { this.pair = {}; this.compare.hidden = true; });
		const change = button("switch", () => this.switchSides(players));
		this.compare.replaceChildren(h("h3", {}, t("compare")), ...rows,
			row(...(rows.length === 2 ? [change] : [h("span", {}, t("chooseOther"))]), close));
		this.compare.hidden = false;
	}

	// Play the other side from the place where this one is.
	switchSides({ A, B }) {
		const [from, to] = A.paused ? [B, A] : [A, B];
		const isFirst = A.paused && B.paused;
		to.currentTime = isFirst ? 0 : Math.min(from.currentTime, to.duration || 0);
		from.pause();
		to.play();
	}
}
