// The form: one tab for each verb of the server, one set of fields, of which each tab shows its own.

import { button, check, details, field, h, number, row, select, t } from "./dom.js";
import { Regions } from "./regions.js";
import { Source } from "./source.js";
import { Timeline } from "./timeline.js";

export const EDITS = ["transfer", "vary", "inpaint", "extend", "loop", "super_resolve"];
const TABS = ["generate", "timeline", "morph", ...EDITS];

// Numbers, with the tabs that have them; "" is all. Those with `edit` are fields of an edit. `limit` is the server's.
const NUMBERS = {
	duration: { tabs: "generate timeline morph", min: 0.1, limit: "max_duration_s" },
	strength: { tabs: "transfer vary", min: 0, max: 1, step: 0.05, value: 0.5, edit: true },
	before: { tabs: "extend", min: 0, edit: true },
	after: { tabs: "extend", min: 0, value: 2, edit: true },
	cutoff_hz: { tabs: "super_resolve", min: 0, value: 4000, edit: true },
	crossfade: { tabs: "timeline morph", min: 0 },
	loop_seam: { tabs: "generate timeline loop", min: 0 },
	candidates: { tabs: "", min: 1, step: 1, limit: "max_candidates" },
	num_waveforms: { tabs: "", min: 1, step: 1, placeholder: 1, limit: "max_clips" },
};
const ADVANCED = {
	steps: { min: 1, step: 1, limit: "max_steps" },
	guidance_scale: { min: 0, max: 100 },
	lufs: { min: -70, max: 0 },
	stereo_width: { min: 0, max: 1 },
	fade_in: { min: 0 },
	fade_out: { min: 0 },
};
const IS_APART = /^(cue-|tool)/; // fields of parts that store themselves
const IS_LOCAL = /^(lock|first_text|second_text)$/;
const SOURCES = ["source", "first", "second", "audioPrompt"];
const has = (model, tab) => model.verbs.includes(tab === "timeline" ? "generate" : tab);

export class Form {
	constructor(form, tabs, models, limits, context) {
		Object.assign(this, { form, models, limits, context });
		this.tabs = Object.fromEntries(TABS.filter((tab) => models.some((model) => has(model, tab))).map((tab) => [tab, this.makeTab(tab)]));
		tabs.setAttribute("aria-label", t("verbs"));
		tabs.append(...Object.values(this.tabs));
		tabs.addEventListener("keydown", (event) => this.pressTab(event));
		this.makeSections();
		this.applyModel();
		this.open(Object.keys(this.tabs)[0]);
	}

	get model() {
		return this.models.find((model) => model.id === this.form.elements.model?.value) || this.models[0];
	}

	makeTab(tab) {
		return button(tab, () => this.open(tab), { role: "tab", id: `tab-${tab}`, "aria-controls": "panel" });
	}

	pressTab(event) {
		const names = Object.keys(this.tabs);
		const at = names.indexOf(this.tab);
		const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: names.length - 1 }[event.key];
		if (next === undefined) return;
		event.preventDefault();
		this.open(names[(next + names.length) % names.length]);
		this.tabs[this.tab].focus();
	}

	open(tab) {
		this.tab = tab;
		for (const [name, element] of Object.entries(this.tabs)) {
			element.setAttribute("aria-selected", String(name === tab));
			element.tabIndex = name === tab ? 0 : -1;
		}
		this.form.parentElement.setAttribute("aria-labelledby", `tab-${tab}`);
		for (const section of this.form.querySelectorAll("[data-tabs]")) {
			section.hidden = !section.dataset.tabs.split(" ").includes(tab);
		}
		this.regions.setMode({ inpaint: "regions", super_resolve: "cutoff" }[tab] || "none");
		this.form.elements.loop_seam.placeholder = tab === "loop" ? "1" : "0";
		this.form.elements.duration.placeholder = tab === "morph" ? "10" : this.model.defaults.duration;
	}

	makeSections() {
		const numbers = ([name, { tabs, edit, limit, ...properties }]) => {
			const box = field(name, number(name, { "data-edit": edit, max: this.limits[limit], ...properties }));
			if (tabs) box.dataset.tabs = tabs;
			return box;
		};
		const only = (tabs, ...children) => h("div", { "data-tabs": tabs }, ...children);
		const text = (name, rows) => field(name, h(rows ? "textarea" : "input", { name, rows }));
		const grid = (...children) => h("div", { class: "grid" }, ...children);
		for (const name of SOURCES) this[name] = new Source(name, this.context);
		this.timeline = new Timeline(() => Number(this.form.elements.duration?.value) || this.model.defaults.duration);
		const fields = Object.entries(NUMBERS).map(numbers);
		this.regions = new Regions(this.source.picture, fields.map((box) => box.children[1]).find(({ name }) => name === "cutoff_hz"));
		this.source.onchange = () => this.regions.setSound(this.source.duration, this.context.rate / 2);
		this.error = h("p", { class: "error", role: "alert" });
		this.form.append(
			only(EDITS.join(" "), this.source.element),
			only("inpaint", this.regions.element),
			only("timeline", this.timeline.element),
			only("morph", text("first_text"), details("orSound", this.first.element), text("second_text"), details("orSound", this.second.element)),
			only(["generate", ...EDITS].join(" "), text("prompt", 3)),
			(this.transcript = text("transcript", 2)),
			text("negative_prompt"),
			grid(field("preset", select("preset", [])), ...fields),
			only("inpaint extend loop", check("in_context")),
			this.makeSeed(),
			grid(field("model", select("model", this.models.map((model) => model.id))), (this.adapter = field("adapter", select("adapter", [])))),
			only("generate", details("audioPromptTitle", this.audioPrompt.element)),
			details("more", grid(...Object.entries(ADVANCED).map(numbers), field("sampler", select("sampler", []))), check("trim_silence")),
			this.error, h("button", { id: "submit", class: "primary" }, t("generate")));
		const { elements } = this.form;
		elements.in_context.checked = true;
		elements.prompt.placeholder = t("promptExample");
		elements.prompt.maxLength = this.limits.max_prompt_chars;
		elements.model.addEventListener("change", () => this.applyModel());
		elements.duration.addEventListener("input", () => this.timeline.drawTrack());
	}

	makeSeed() {
		const lock = check("lock");
		const setLock = (isLocked) => (lock.firstChild.checked = isLocked);
		const seed = h("input", { name: "seed", inputmode: "numeric", pattern: "[0-9]*", oninput: () => setLock(seed.value !== "") });
		const roll = button("dice", () => { this.drawSeed(); setLock(true); });
		return row(field("seed", seed), roll, lock);
	}

	drawSeed() {
		this.form.elements.seed.value = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
	}

	applyModel() {
		const { elements } = this.form;
		const { model } = this;
		const fill = (name, values, first) => {
			const { value } = elements[name];
			elements[name].replaceChildren(h("option", { value: "" }, first), ...values.map((each) => h("option", { value: each }, each)));
			elements[name].value = values.includes(value) ? value : "";
		};
		fill("preset", model.presets, t("defaultValue", { value: model.defaults.preset }));
		fill("sampler", model.samplers, t("presetValue"));
		fill("adapter", model.adapters, t("none"));
		this.adapter.hidden = !model.adapters.length;
		this.transcript.hidden = !model.is_speech;
		elements.candidates.disabled = !model.can_rank;
		for (const name of ["duration", "candidates", "steps", "guidance_scale"]) elements[name].placeholder = model.defaults[name] ?? "";
		for (const [tab, element] of Object.entries(this.tabs)) element.disabled = !has(model, tab);
		if (this.context.rate !== model.sample_rate) {
			this.context.rate = model.sample_rate;
			for (const source of this.sources()) source.load(source.save());
		}
	}

	sources() {
		return SOURCES.map((name) => this[name]);
	}

	// The body of POST /v1/audio/generations; uploads the sounds that it names.
	async request() {
		const { elements } = this.form;
		if (!elements.lock.checked || !elements.seed.value) this.drawSeed();
		const edit = EDITS.includes(this.tab) ? { kind: this.tab } : null;
		const request = { format: "wav", preview_every: 5 };
		for (const element of elements) {
			const { name, type, value, checked, dataset } = element;
			if (!name || element.disabled || IS_APART.test(name) || IS_LOCAL.test(name) || element.closest("[hidden]")) continue;
			const target = edit && (dataset.edit != null || /in_context|loop_seam/.test(name)) ? edit : request;
			if (type === "checkbox") {
				if (checked || name === "in_context") target[name] = checked;
			} else if (value !== "") target[name] = type === "number" || name === "seed" ? Number(value) : value;
		}
		if (edit?.in_context) delete edit.in_context; // the model's default is to use what it can
		if (edit) request.edit = { ...edit, ...await this.editInputs() };
		if (this.tab === "timeline") request.timeline = this.timeline.values();
		if (this.tab === "morph") request.morph = { first: await this.morphEnd("first"), second: await this.morphEnd("second") };
		if (this.tab === "generate" && this.audioPrompt.blob) request.timeline = [{ start: 0, audio_prompt: await this.audioPrompt.reference() }];
		return request;
	}

	async editInputs() {
		if (!this.source.blob) throw new Error(t("needSource"));
		const drawn = this.tab === "inpaint" ? this.regions.values() : {};
		return { ...drawn, file: await this.source.reference() };
	}

	async morphEnd(name) {
		const file = await this[name].reference();
		return file ? { file } : { text: this.form.elements[`${name}_text`].value };
	}

	title() {
		const { tab, form: { elements } } = this;
		const ends = ["first", "second"].map((name) => this[name].name || elements[`${name}_text`].value);
		const texts = { morph: ends, timeline: this.timeline.values().map((cue) => cue.text) }[tab];
		return texts?.join(" → ") || elements.transcript.value || elements.prompt.value || this.source.name || this.audioPrompt.name || t(tab);
	}

	save() {
		const values = {};
		for (const { name, type, checked, value } of this.form.elements) {
			if (name && !IS_APART.test(name)) values[name] = type === "checkbox" ? checked : value;
		}
		return {
			tab: this.tab, values, timeline: this.timeline.save(), regions: this.regions.save(),
			sources: this.sources().map((source) => source.save()),
		};
	}

	async load(state) {
		for (const [name, value] of Object.entries(state.values)) {
			const element = this.form.elements[name];
			if (element) element[element.type === "checkbox" ? "checked" : "value"] = value;
		}
		this.applyModel();
		this.timeline.load(state.timeline);
		if (this.tabs[state.tab]) this.open(state.tab);
		if (state.sources) await Promise.all(this.sources().map((source, i) => source.load(state.sources[i])));
		this.regions.load(state.regions || {});
	}
}
