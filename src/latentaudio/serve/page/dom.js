// Elements, and the words of strings.json in the language of the browser.

let words = {};

export async function loadStrings() {
	const all = await (await fetch("static/strings.json")).json();
	const wanted = navigator.languages.map((name) => name.split("-")[0]);
	const language = wanted.find((name) => all[name]) || "en";
	document.documentElement.lang = language;
	words = { ...all.en, ...all[language] };
}

// The text of a key; {name} becomes the value of that name.
export function t(key, values = {}) {
	const text = words[key] ?? key;
	return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// An element. Properties that begin with "on" are listeners; others are attributes.
export function h(tag, properties = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(properties)) {
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (name === "label") element.ariaLabel = value;
		else if (value === true) element.setAttribute(name, "");
		else if (value !== false && value != null) element.setAttribute(name, value);
	}
	element.append(...children.filter((child) => child != null));
	return element;
}

let count = 0;
const newId = () => `e${++count}`;

// A control under its label, with a hint if strings.json has one.
export function field(key, control) {
	control.id ||= newId();
	const parts = [h("label", { for: control.id }, t(key)), control];
	const text = words[`${key}_hint`];
	if (text) parts.push(h("small", { id: `${control.id}-hint` }, text));
	if (text) control.setAttribute("aria-describedby", `${control.id}-hint`);
	return h("div", { class: "field" }, ...parts);
}

export const number = (name, properties) => h("input", { type: "number", name, step: "any", ...properties });
export const button = (key, onclick, properties) => h("button", { type: "button", onclick, ...properties }, t(key));
export const details = (key, ...children) => h("details", {}, h("summary", {}, t(key)), ...children);
export const row = (...children) => h("div", { class: "row" }, ...children);

export function check(name) {
	return h("label", { class: "check" }, h("input", { type: "checkbox", name }), t(name));
}

export function select(name, values, labels = {}) {
	const options = values.map((value) => h("option", { value }, labels[value] ?? value));
	return h("select", { name }, ...options);
}

export function player(label, blob) {
	const audio = h("audio", { controls: true, label });
	if (blob) audio.src = URL.createObjectURL(blob);
	return audio;
}

export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const clamp = (value, low = 0, high = 1) => Math.max(low, Math.min(high, value));
export const seconds = (value) => `${Number(value.toFixed(value < 10 ? 2 : 1))} s`;

export function save(blob, name) {
	const link = h("a", { href: URL.createObjectURL(blob), download: name });
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
