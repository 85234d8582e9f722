// The page: starts it, sends requests, and connects form, jobs and history.

import { call, getJson, setKey, submit } from "./api.js";
import { loadStrings, t, wait } from "./dom.js";
import { EDITS, Form } from "./form.js";
import { History } from "./history.js";
import { Jobs } from "./jobs.js";

const FORM_KEY = "latentaudio-form";
const READY_MS = 1000;
const $ = (id) => document.getElementById(id);

let form;
let history;
let jobs;

async function start() {
	await loadStrings();
	document.querySelectorAll("[data-t]").forEach((element) => (element.textContent = t(element.dataset.t)));
	$("status").textContent = t("connecting");
	const [models, limits] = await connect();
	const context = { rate: models[0].sample_rate, formats: limits.formats };
	form = new Form($("form"), $("tabs"), models, limits, context);
	const formats = limits.formats.filter((format) => format !== "pcm");
	history = new History($("history"), $("compare"), places(), formats, { reuse, send, error: showError });
	jobs = new Jobs($("jobs"), (sound) => history.add(sound));
	$("form").addEventListener("submit", (event) => {
		event.preventDefault();
		generate();
	});
	const last = localStorage.getItem(FORM_KEY);
	if (last) await form.load(JSON.parse(last));
	await history.load();
	jobs.resume();
	showReady();
}

// Models and limits, as soon as the server answers; asks for the key if it wants one.
async function connect() {
	for (;;) {
		try {
			const [models, limits] = await Promise.all([getJson("v1/models"), getJson("v1/limits")]);
			return [models.data, limits];
		} catch (error) {
			$("status").textContent = error.message;
			if (error.status === 401) setKey(prompt(t("apiKey")) || "");
			else await wait(READY_MS);
		}
	}
}

async function showReady() {
	try {
		await call("ready");
		$("status").textContent = t("ready", { model: form.model.id });
	} catch (error) {
		$("status").textContent = error.status === 503 ? t("warming") : error.message;
		setTimeout(showReady, READY_MS);
	}
}

function places() {
	const result = Object.fromEntries(EDITS.filter((tab) => form.tabs[tab]).map((tab) => [tab, t(tab)]));
	if (form.tabs.morph) Object.assign(result, { first: t("first"), second: t("second") });
	return { ...result, audioPrompt: t("audioPrompt") };
}

async function generate() {
	showError("");
	$("submit").disabled = true;
	try {
		const [job, state] = await request();
		const { sources, ...small } = state; // sounds do not fit into localStorage
		localStorage.setItem(FORM_KEY, JSON.stringify(small));
		jobs.add(job, state, small);
	} catch (error) {
		showError(error.message);
	}
	$("submit").disabled = false;
}

// Send the form; sounds whose time on the server is over are uploaded again.
async function request(isAgain = false) {
	try {
		const asked = form.request();
		const state = { ...form.save(), title: form.title() }; // before anything in the form changes
		return [await submit(await asked), state];
	} catch (error) {
		if (isAgain || error.status !== 404) throw error;
		form.sources().forEach((source) => (source.fileId = null));
		return request(true);
	}
}

function showError(message) {
	form.error.textContent = message;
}

async function reuse(sound) {
	await form.load(sound.form);
	$("form").elements.seed.value = sound.clip.seed;
	$("form").elements.lock.checked = true;
	focusForm();
}

async function send(sound, place) {
	const tab = { first: "morph", second: "morph", audioPrompt: "generate" }[place] || place;
	form.open(tab);
	const target = form[place] || form.source;
	const details = target.element.closest("details");
	if (details) details.open = true;
	await target.set(sound.blob, `${sound.title}.wav`);
	focusForm();
}

function focusForm() {
	$("panel").focus();
	$("ask").scrollIntoView();
}

start();
