// The timeline editor: prompts with start times, as blocks on a track and as rows of fields.

import { button, clamp, h, number, seconds, t } from "./dom.js";

const STEP_S = 0.1;

export class Timeline {
	constructor(duration) {
		this.duration = duration;
		this.track = h("div", { class: "track", role: "group", label: t("track") });
		this.list = h("div", { class: "ranges" });
		this.element = h("fieldset", {}, h("legend", {}, t("cues")), this.track,
			h("p", { class: "hint" }, t("cueHint")), this.list,
			button("addCue", () => this.add()));
		this.load();
	}

	save() {
		return this.cues.map((cue) => ({ ...cue }));
	}

	load(cues) {
		this.cues = (cues?.length ? cues : [{ start: 0, text: "", weight: 1 }]).map((cue) => ({ ...cue }));
		this.update();
	}

	values() {
		return this.cues.filter((cue) => cue.text.trim()).sort((a, b) => a.start - b.start);
	}

	add() {
		const last = Math.max(...this.cues.map((cue) => cue.start));
		const start = Number(Math.min(last + 2, this.duration()).toFixed(1));
		this.cues.push({ start, text: "", weight: 1 });
		this.update();
		this.list.lastChild.querySelector("[name=cue-text]").focus();
	}

	update() {
		this.list.replaceChildren(...this.cues.map((cue, i) => this.row(cue, i)));
		this.drawTrack();
	}

	row(cue, i) {
		const n = i + 1;
		const change = (name, read) => (event) => { cue[name] = read(event.target.value); this.drawTrack(); };
		return h("div", { class: "row cue" },
			number("cue-start", { value: cue.start, min: 0, label: t("cueStart", { n }), oninput: change("start", Number) }),
			h("input", { name: "cue-text", value: cue.text, label: t("cueText", { n }), placeholder: t("cuePlaceholder"), oninput: change("text", String) }),
			number("cue-weight", { value: cue.weight, min: 0.1, step: 0.1, label: t("cueWeight", { n }), oninput: change("weight", Number) }),
			button("remove", () => { this.cues.splice(i, 1); this.load(this.cues); }, { label: t("removeCue", { n }) }));
	}

	drawTrack() {
		const length = this.duration();
		this.track.replaceChildren(...this.cues.map((cue, i) => {
			const next = Math.min(length, ...this.cues.map((other) => other.start).filter((start) => start > cue.start));
			const block = h("button", {
				type: "button", class: "block",
				label: t("cueBlock", { n: i + 1, text: cue.text, start: seconds(cue.start) }),
				onkeydown: (event) => this.press(event, cue, i), onpointerdown: (event) => this.drag(event, cue, block),
			}, cue.text || `${i + 1}`);
			block.style.left = `${(100 * Math.min(cue.start, length)) / length}%`;
			block.style.width = `${Math.max(3, (100 * (next - cue.start)) / length)}%`;
			return block;
		}));
	}

	move(cue, start) {
		cue.start = Number(clamp(start, 0, this.duration()).toFixed(1));
		this.list.querySelectorAll("[name=cue-start]")[this.cues.indexOf(cue)].value = cue.start;
	}

	press(event, cue, i) {
		const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
		if (!direction) return;
		event.preventDefault();
		this.move(cue, cue.start + direction * STEP_S * (event.shiftKey ? 10 : 1));
		this.drawTrack();
		this.track.children[i].focus();
	}

	drag(event, cue, block) {
		const [from, start] = [event.clientX, cue.start];
		block.setPointerCapture(event.pointerId);
		block.onpointermove = (moved) => {
			this.move(cue, start + ((moved.clientX - from) / this.track.clientWidth) * this.duration());
			block.style.left = `${(100 * cue.start) / this.duration()}%`;
		};
		block.onpointerup = () => this.drawTrack();
	}
}
