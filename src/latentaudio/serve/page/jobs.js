// Requests that run: progress with the time left, a picture of what there is, cancel.

import { call, events } from "./api.js";
import { button, h, row, t, wait } from "./dom.js";

const KEY = "latentaudio-jobs";
const RETRY_MS = 2000;
const ENDED = ["done", "failed", "cancelled"];
const stored = () => JSON.parse(localStorage[KEY] || "[]");
const remember = (jobs) => (localStorage[KEY] = JSON.stringify(jobs));
const relative = (path) => path.replace(/^\//, "");

export class Jobs {
	// `onclip(sound)` gets each finished clip.
	constructor(element, onclip) {
		Object.assign(this, { element, onclip });
	}

	// Follow the jobs that ran when the page was left.
	resume() {
		for (const { job, form } of stored()) this.follow(job, form);
	}

	// `small` is what is stored of the form.
	add(job, form, small) {
		remember([...stored(), { job, form: small }]);
		return this.follow(job, form);
	}

	async follow(job, form) {
		const { title } = form;
		const bar = h("progress", { label: t("progressOf", { title }) });
		const text = h("p", { class: "hint", role: "status" });
		const preview = h("img", { class: "preview", alt: t("preview"), hidden: true });
		const cancel = button("cancel", () => this.cancel(job, card), { label: t("cancelOf", { title }) });
		const card = h("article", { class: "job" }, h("h3", {}, title), bar, preview, row(text, cancel));
		Object.assign(card, { bar, text, preview, cancel });
		this.element.prepend(card);
		this.show(card, job);
		let end = ENDED.includes(job.status) ? job : null;
		while (!end) {
			try {
				for await (const { name, data } of events(relative(job.events_url))) {
					if (name === "done") end = data;
					else this.show(card, data);
				}
				if (!end) await wait(RETRY_MS);
			} catch (error) {
				if (error.status === 404) end = { ...job, status: "failed", error: { message: t("jobGone") } };
				else {
					text.textContent = error.message;
					await wait(RETRY_MS);
				}
			}
		}
		await this.finish(card, end, form);
	}

	show(card, { position, steps_done, steps_total, eta_s, image }) {
		if (image) {
			card.preview.src = image;
			card.preview.hidden = false;
			return;
		}
		const left = eta_s == null ? "" : t("left", { s: Math.max(1, Math.ceil(eta_s)) });
		if (position > 0) card.text.textContent = `${t("queued", { position })} ${left}`;
		if (!steps_total) return;
		card.bar.value = steps_done / steps_total;
		if (steps_done) card.text.textContent = `${t("step", { done: steps_done, total: steps_total })} ${left}`;
	}

	async cancel(job, card) {
		card.cancel.disabled = true;
		try {
			await call(`v1/audio/generations/${job.id}`, { method: "DELETE" });
		} catch (error) {
			card.cancel.disabled = false;
			card.text.textContent = error.message;
		}
	}

	async finish(card, job, form) {
		try {
			if (job.status === "done") {
				for (const clip of job.clips) {
					const blob = await (await call(relative(clip.content_url))).blob();
					await this.onclip({ created: Date.now(), title: form.title, form, job: job.id, clip, blob });
				}
				card.remove();
			} else this.end(card, job.status === "cancelled" ? t("cancelled") : job.error?.message || t("failed"), job.status);
		} catch (error) {
			this.end(card, error.message, "failed");
		}
		remember(stored().filter((each) => each.job.id !== job.id));
	}

	// Leave a line about a job that has no sound.
	end(card, message, status) {
		const [kind, role] = status === "failed" ? ["error", "alert"] : ["hint", "status"];
		const line = h("p", { class: kind, role }, message);
		card.dataset.status = status;
		card.replaceChildren(card.firstChild, line, button("dismiss", () => card.remove()));
	}
}
