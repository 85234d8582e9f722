// A sound that a request reads: chosen, dropped, recorded, or sent from the history.

import { upload } from "./api.js";
import { button, field, h, player, row, seconds, t } from "./dom.js";
import { decode, Picture, toWav } from "./draw.js";

export class Source {
	// `context` has the model's rate and the formats of the server. `onchange` is called after each.
	constructor(key, context) {
		Object.assign(this, { context, onchange() {} });
		this.input = h("input", { type: "file", accept: "audio/*", onchange: () => this.choose(this.input.files[0]) });
		this.record = button("record", () => this.toggleRecording(), { "aria-pressed": "false" });
		this.remove = button("remove", () => this.set(null));
		this.audio = player(t(key));
		this.picture = new Picture(t("pictureOf", { name: t(key) }), this.audio);
		this.note = h("p", { class: "hint", role: "status" });
		this.sound = h("div", { hidden: true }, this.picture.box, this.audio);
		const drag = (event) => {
			event.preventDefault();
			this.element.classList.toggle("over", event.type === "dragover");
			if (event.type === "drop") this.choose(event.dataTransfer.files[0]);
		};
		this.element = h("fieldset", { class: "source", ondragover: drag, ondragleave: drag, ondrop: drag },
			h("legend", {}, t(key)), row(field("file", this.input), this.record, this.remove), this.note, this.sound);
		this.set(null);
	}

	choose(file) {
		return file && this.set(file, file.name);
	}

	// Use a sound; null removes it.
	async set(blob, name = "") {
		Object.assign(this, { blob, name, samples: null, fileId: null });
		this.remove.hidden = this.sound.hidden = !blob;
		this.note.textContent = "";
		this.input.value = "";
		URL.revokeObjectURL(this.audio.src);
		if (!blob) this.audio.removeAttribute("src");
		else {
			this.audio.src = URL.createObjectURL(blob);
			await this.show();
		}
		this.onchange();
	}

	async show() {
		const { rate } = this.context;
		this.rate = rate;
		try {
			this.samples = await decode(this.blob, rate);
		} catch {
			this.note.textContent = t("noPicture", { name: this.name });
			return;
		}
		this.duration = this.samples.length / rate;
		this.note.textContent = `${this.name}, ${seconds(this.duration)}`;
		this.picture.show(this.samples, rate);
	}

	// The id of the uploaded sound.
	async reference() {
		if (!this.blob) return "";
		const extension = this.name.split(".").pop().toLowerCase();
		const isSentAsItIs = !this.samples || this.context.formats.includes(extension);
		const file = isSentAsItIs ? [this.blob, this.name] : [toWav(this.samples, this.rate), `${this.name}.wav`];
		this.fileId ||= (await upload(...file)).id;
		return this.fileId;
	}

	async toggleRecording() {
		if (this.recorder) {
			this.recorder.stop();
			return;
		}
		let stream;
		try {
			stream = await navigator.mediaDevices.getUserMedia({ audio: true });
		} catch {
			this.note.textContent = t("noMicrophone");
			return;
		}
		const parts = [];
		this.recorder = new MediaRecorder(stream);
		this.recorder.ondataavailable = (event) => parts.push(event.data);
		this.recorder.onstop = () => {
			stream.getTracks().forEach((track) => track.stop());
			this.setRecorder(null);
			this.set(new Blob(parts, { type: parts[0]?.type }), t("recording"));
		};
		this.recorder.start();
		this.setRecorder(this.recorder);
		this.note.textContent = t("isRecording");
	}

	setRecorder(recorder) {
		this.recorder = recorder;
		this.record.textContent = t(recorder ? "stopRecording" : "record");
		this.record.setAttribute("aria-pressed", String(Boolean(recorder)));
	}

	save() {
		return this.blob ? { blob: this.blob, name: this.name } : null;
	}

	load(state) {
		return this.set(state?.blob || null, state?.name);
	}
}
