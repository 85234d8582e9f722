// Parts of a sound that are chosen on its mel picture: time spans, bands, a brush, a cutoff.
// Each gesture of the pointer can be made with the keyboard: arrows, and Space to begin and end.

import { button, clamp, field, h, number, row, select, t } from "./dom.js";
import { toHz, toMel } from "./draw.js";

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const RANGES = { time: "times", band: "bands" };
const MASK_ROWS = 128;

export class Regions {
	constructor(picture, cutoff) {
		Object.assign(this, { picture, cutoff, times: [], bands: [], cursor: [0.5, 0.5] });
		this.mask = h("canvas");
		this.brush = this.mask.getContext("2d");
		this.overlay = h("canvas", { class: "overlay", tabindex: 0, role: "application", "aria-describedby": "draw-hint", ...this.listeners() });
		picture.box.append(this.overlay);
		this.tool = select("tool", ["time", "band", "brush", "erase"], {
			time: t("toolTime"), band: t("toolBand"), brush: t("toolBrush"), erase: t("toolErase"),
		});
		this.size = h("input", { type: "range", min: 2, max: 40, value: 12 });
		this.list = h("div", { class: "ranges" });
		const clear = button("clear", () => this.load({}));
		this.element = h("fieldset", {}, h("legend", {}, t("regions")),
			row(field("tool", this.tool), field("brushSize", this.size), clear),
			h("p", { class: "hint", id: "draw-hint" }, t("drawHint")), this.list);
		this.tool.addEventListener("change", () => this.update());
		cutoff.addEventListener("input", () => this.draw());
		this.setMode("none");
	}

	// "regions", "cutoff" or "none".
	setMode(mode) {
		this.mode = mode;
		this.overlay.hidden = mode === "none";
		this.overlay.setAttribute("aria-label", t(mode === "cutoff" ? "drawCutoff" : "drawRegions"));
		this.draw();
	}

	setSound(duration, maxHz) {
		Object.assign(this, { duration, maxHz });
		this.overlay.width = this.mask.width = this.picture.mel.width;
		this.overlay.height = this.mask.height = MASK_ROWS;
		this.hasMask = false;
		this.update();
	}

	save() {
		return { times: this.times, bands: this.bands, tool: this.tool.value, mask: this.isMask && this.mask.toDataURL() };
	}

	load({ times = [], bands = [], tool, mask }) {
		this.times = times.map((range) => [...range]);
		this.bands = bands.map((range) => [...range]);
		this.tool.value = tool || this.tool.value;
		this.brush.clearRect(0, 0, this.mask.width, MASK_ROWS);
		this.hasMask = Boolean(mask);
		if (mask) {
			const image = new Image();
			image.onload = () => {
				this.brush.drawImage(image, 0, 0);
				this.draw();
			};
			image.src = mask;
		}
		this.update();
	}

	get isMask() {
		return this.hasMask && !RANGES[this.tool.value];
	}

	// The fields of an inpainting; an error if nothing is drawn.
	values() {
		if (this.isMask) return { mask: this.maskUrl() };
		if (!this.times.length && !this.bands.length) throw new Error(t("needRegion"));
		return { time_ranges: this.times, frequency_ranges: this.bands };
	}

	maskUrl() {
		const copy = h("canvas", { width: this.mask.width, height: MASK_ROWS });
		const context = copy.getContext("2d");
		context.fillRect(0, 0, copy.width, MASK_ROWS);
		context.drawImage(this.mask, 0, 0);
		return copy.toDataURL();
	}

	listeners() {
		const at = (event) => {
			const box = this.overlay.getBoundingClientRect();
			return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
		};
		const draw = () => this.draw();
		return {
			onpointerdown: (event) => {
				this.overlay.setPointerCapture(event.pointerId);
				this.begin(at(event));
			},
			onpointermove: (event) => this.start && this.move(at(event)),
			onpointerup: () => this.end(),
			onpointercancel: () => (this.start = null),
			onkeydown: (event) => this.press(event),
			onblur: draw,
			onfocus: draw,
		};
	}

	press(event) {
		const step = STEPS[event.key];
		if (step) {
			const size = event.shiftKey ? 0.1 : 0.01;
			const next = this.cursor.map((value, i) => clamp(value + step[i] * size));
			if (this.start || this.mode === "cutoff") this.move(next);
			this.cursor = next;
		} else if (event.key === " " || event.key === "Enter") {
			this.start ? this.end() : this.begin(this.cursor);
		} else if (event.key === "Escape") {
			this.start = null;
		} else return;
		event.preventDefault();
		this.draw();
	}

	begin(point) {
		this.start = point;
		this.move(point);
	}

	move(point) {
		const tool = this.tool.value;
		if (this.mode === "cutoff") {
			this.cutoff.value = Math.round(this.hz(point[1]));
		} else if (!RANGES[tool]) {
			const context = this.brush;
			context.globalCompositeOperation = tool === "erase" ? "destination-out" : "source-over";
			context.strokeStyle = "#fff";
			context.lineWidth = this.size.value;
			context.lineCap = "round";
			const place = ([x, y]) => [x * this.mask.width, y * MASK_ROWS];
			context.beginPath();
			context.moveTo(...place(this.cursor && this.start !== point ? this.cursor : point));
			context.lineTo(...place(point));
			context.stroke();
			this.hasMask = true;
		}
		this.cursor = point;
		this.draw();
	}

	end() {
		const [start, cursor, range] = [this.start, this.cursor, RANGES[this.tool.value]];
		this.start = null;
		if (start && range && this.mode === "regions") {
			const [low, high] = this.span(start, cursor);
			if (high > low) this[range].push([low, high]);
		}
		this.update();
	}

	span(start, end) {
		const isTime = this.tool.value === "time";
		const values = isTime ? [start[0], end[0]].map((x) => Number((x * this.duration).toFixed(2)))
			: [start[1], end[1]].map((y) => Math.round(this.hz(y)));
		return values.sort((a, b) => a - b);
	}

	hz(y) {
		return toHz((1 - y) * toMel(this.maxHz || 8000));
	}

	y(hz) {
		return (1 - toMel(Math.min(hz, this.maxHz)) / toMel(this.maxHz)) * MASK_ROWS;
	}

	update() {
		const add = row();
		this.list.replaceChildren(...["times", "bands"].flatMap((name) => this.rows(name)), add);
		for (const name of ["times", "bands"]) {
			const range = name === "times" ? [0, Math.min(1, this.duration || 1)] : [1000, 2000];
			add.append(button(`add_${name}`, () => { this[name].push(range); this.update(); }));
		}
		this.size.closest(".field").hidden = RANGES[this.tool.value];
		this.list.hidden = !RANGES[this.tool.value];
		this.draw();
	}

	rows(name) {
		return this[name].map((range, i) => {
			const ends = range.map((value, side) => number("", {
				value, min: 0, label: t(`${name}_${side}`, { n: i + 1 }),
				oninput: (event) => { range[side] = Number(event.target.value); this.draw(); },
			}));
			const remove = button("remove", () => { this[name].splice(i, 1); this.update(); }, {
				label: t(`remove_${name}`, { n: i + 1 }),
			});
			return row(h("span", {}, t(name)), ...ends, remove);
		});
	}

	draw() {
		const { width } = this.overlay;
		const context = this.overlay.getContext("2d");
		context.clearRect(0, 0, width, MASK_ROWS);
		context.fillStyle = "rgba(255, 255, 255, .45)";
		context.strokeStyle = "#fff";
		if (this.mode === "cutoff" && this.cutoff.value) context.fillRect(0, 0, width, this.y(Number(this.cutoff.value)));
		if (this.mode === "regions") this.drawRegions(context, width);
		if (document.activeElement === this.overlay) {
			const [x, y] = [this.cursor[0] * width, this.cursor[1] * MASK_ROWS];
			context.strokeRect(x - 0.5, 0, 1, MASK_ROWS);
			context.strokeRect(0, y - 0.5, width, 1);
		}
	}

	drawRegions(context, width) {
		if (!RANGES[this.tool.value]) {
			context.globalAlpha = 0.6;
			context.drawImage(this.mask, 0, 0);
			context.globalAlpha = 1;
			return;
		}
		const all = { times: [...this.times], bands: [...this.bands] };
		if (this.start) all[RANGES[this.tool.value]].push(this.span(this.start, this.cursor));
		if (!all.times.length && !all.bands.length) return;
		const times = all.times.length ? all.times : [[0, this.duration]];
		const bands = all.bands.length ? all.bands : [[0, this.maxHz]];
		const scale = width / (this.duration || 1);
		for (const [a, b] of times) {
			for (const [low, high] of bands) {
				const box = [a * scale, this.y(high), (b - a) * scale, this.y(low) - this.y(high)];
				context.fillRect(...box);
				context.strokeRect(...box);
			}
		}
	}
}
