// Calls of the server: errors in words, events of a job, uploads.

import { t } from "./dom.js";

const KEY = "latentaudio-key";

class ApiError extends Error {
	constructor(message, status = 0) {
		super(message);
		this.status = status;
	}
}

export const setKey = (key) => sessionStorage.setItem(KEY, key);

// The response of a call; every failure is an ApiError with a line for people.
export async function call(path, { headers = {}, ...options } = {}) {
	const key = sessionStorage.getItem(KEY);
	if (key) headers.Authorization = `Bearer ${key}`;
	let response;
	try {
		response = await fetch(path, { headers, ...options });
	} catch {
		throw new ApiError(t("noServer"));
	}
	if (response.ok) return response;
	const body = await response.json().catch(() => ({}));
	throw new ApiError(body.error?.message || t("serverError", { status: response.status }), response.status);
}

export const getJson = async (path) => (await call(path)).json();

export async function submit(request) {
	const headers = { "Content-Type": "application/json" };
	const body = JSON.stringify(request);
	return (await call("v1/audio/generations", { method: "POST", headers, body })).json();
}

export async function upload(blob, name) {
	const body = new FormData();
	body.append("file", blob, name);
	return (await call("v1/files", { method: "POST", body })).json();
}

// The server-sent events of a path, as { name, data }.
export async function* events(path) {
	const response = await call(path);
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let text = "";
	for (;;) {
		const { value, done } = await reader.read();
		if (done) return;
		text += value.replaceAll("\r", "");
		const blocks = text.split("\n\n");
		text = blocks.pop();
		for (const block of blocks) {
			const fields = Object.fromEntries(
				block.split("\n").map((line) => [line.split(":", 1)[0], line.replace(/^[^:]*: ?/, "")])
			);
			if (fields.data) yield { name: fields.event, data: JSON.parse(fields.data) };
		}
	}
}
