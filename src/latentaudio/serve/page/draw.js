// Sounds as numbers and pictures: decoding, WAV, waveform, mel spectrogram.

import { clamp, h } from "./dom.js";

const N_FFT = 1024;
const ROWS = 128;
const MAX_COLUMNS = 900;
const RANGE = 8; // powers of e between black and the loudest cell

// Mono samples of a file at a sample rate.
export async function decode(blob, rate) {
	const context = new OfflineAudioContext(1, 1, rate);
	const audio = await context.decodeAudioData(await blob.arrayBuffer());
	const mono = new Float32Array(audio.length);
	for (let channel = 0; channel < audio.numberOfChannels; channel++) {
		audio.getChannelData(channel).forEach((value, i) => (mono[i] += value / audio.numberOfChannels));
	}
	return mono;
}

// A WAV file of mono samples, 16 bits.
export function toWav(samples, rate) {
	const size = 2 * samples.length;
	// RIFF, WAVE, "fmt ": PCM, one channel, two bytes a frame, 16 bits a sample; data
	const header = [0x46464952, 36 + size, 0x45564157, 0x20746d66, 16, 0x10001, rate, 2 * rate, 0x100002, 0x61746164, size];
	const values = Int16Array.from(samples, (value) => Math.round(clamp(value, -1) * 32767));
	return new Blob([new Uint32Array(header), values], { type: "audio/wav" });
}

// Slaney's mel scale, as the server uses for masks.
const STEP = Math.log(6.4) / 27;
export const toMel = (hz) => (hz < 1000 ? (hz * 3) / 200 : 15 + Math.log(hz / 1000) / STEP);
export const toHz = (mel) => (mel < 15 ? (mel * 200) / 3 : 1000 * Math.exp((mel - 15) * STEP));

// Magnitudes of a real signal of N_FFT samples, by a radix-2 FFT in place.
function magnitudes(re, im) {
	for (let i = 1, j = 0; i < N_FFT; i++) {
		let bit = N_FFT >> 1;
		for (; j & bit; bit >>= 1) j ^= bit;
		j ^= bit;
		if (i < j) [re[i], re[j]] = [re[j], re[i]];
	}
	for (let size = 2; size <= N_FFT; size *= 2) {
		for (let k = 0; k < size / 2; k++) {
			const c = Math.cos((2 * Math.PI * k) / size);
			const s = -Math.sin((2 * Math.PI * k) / size);
			for (let a = k; a < N_FFT; a += size) {
				const b = a + size / 2;
				const x = re[b] * c - im[b] * s;
				const y = re[b] * s + im[b] * c;
				(re[b] = re[a] - x), (im[b] = im[a] - y);
				(re[a] += x), (im[a] += y);
			}
		}
	}
	return re.subarray(0, N_FFT / 2 + 1).map((value, i) => Math.hypot(value, im[i]));
}

// Log mel cells [columns][ROWS], the lowest band first.
function melCells(samples, rate) {
	const columns = clamp(Math.ceil(samples.length / 160), 1, MAX_COLUMNS);
	const top = toMel(rate / 2);
	const edges = Array.from({ length: ROWS + 2 }, (_, i) => (toHz((top * i) / (ROWS + 1)) * N_FFT) / rate);
	const cells = [];
	for (let column = 0; column < columns; column++) {
		const start = Math.round(((column + 0.5) * samples.length) / columns) - N_FFT / 2;
		const re = new Float64Array(N_FFT);
		for (let i = 0; i < N_FFT; i++) {
			re[i] = (samples[start + i] || 0) * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / N_FFT));
		}
		const spectrum = magnitudes(re, new Float64Array(N_FFT));
		cells.push(
			Array.from({ length: ROWS }, (_, row) => {
				const low = Math.floor(edges[row]);
				const high = Math.min(N_FFT / 2, Math.ceil(edges[row + 2]));
				let sum = 0;
				for (let bin = low; bin <= high; bin++) sum += spectrum[bin];
				return Math.log(sum / (high - low + 1) + 1e-5);
			})
		);
	}
	return cells;
}

// Dark blue to yellow.
function color(v) {
	return [255 * Math.min(1, v * v * 1.5 + 0.05), 235 * v ** 1.5 + 10, 60 + 150 * Math.sin(Math.PI * v * 0.95)];
}

function drawMel(canvas, samples, rate) {
	const cells = melCells(samples, rate);
	canvas.width = cells.length;
	canvas.height = ROWS;
	const image = new ImageData(cells.length, ROWS);
	const loudest = Math.max(...cells.map((column) => Math.max(...column)));
	cells.forEach((column, x) =>
		column.forEach((value, row) => {
			const v = clamp(1 + (value - loudest) / RANGE);
			image.data.set([...color(v), 255], 4 * ((ROWS - 1 - row) * cells.length + x));
		})
	);
	canvas.getContext("2d").putImageData(image, 0, 0);
}

function drawWave(canvas, samples) {
	canvas.width = 900;
	canvas.height = 60;
	const context = canvas.getContext("2d");
	context.fillStyle = getComputedStyle(canvas).color;
	for (let x = 0; x < 900; x++) {
		let low = 0;
		let high = 0;
		const end = ((x + 1) * samples.length) / 900;
		for (let i = Math.floor((x * samples.length) / 900); i < end; i++) {
			low = Math.min(low, samples[i]);
			high = Math.max(high, samples[i]);
		}
		context.fillRect(x, 30 - high * 29, 1, Math.max(1, (high - low) * 29));
	}
}

// Waveform and mel of a sound, with a line where the player is.
export class Picture {
	constructor(label, audio) {
		this.wave = h("canvas", { class: "wave", "aria-hidden": "true" });
		this.mel = h("canvas", { class: "mel", role: "img", label });
		this.line = h("i", { class: "playhead" });
		this.box = h("div", { class: "picture" }, this.wave, this.mel, this.line);
		const move = () => {
			this.line.style.left = `${(100 * audio.currentTime) / (audio.duration || 1)}%`;
			if (!audio.paused) requestAnimationFrame(move);
		};
		for (const name of ["play", "timeupdate", "seeked"]) audio.addEventListener(name, move);
	}

	show(samples, rate) {
		drawWave(this.wave, samples);
		drawMel(this.mel, samples, rate);
	}
}
