// Runs the model beside the page, so that the page stays responsive.
import { toWav } from "../examples/onnx_inputs.mjs";
import { generate, open } from "../examples/onnx_walk.mjs";

const here = (path) => new URL(path, import.meta.url).href;
let loading;

// Downloads all files with one progress bar, then opens the model.
async function load() {
  const sizes = await (await fetch(here("files.json"))).json();
  const total = Object.values(sizes).reduce((a, b) => a + b);
  let done = 0;
  const files = {};
  for (const name of Object.keys(sizes)) {
    const response = await fetch(here(name));
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    const parts = [];
    for (const reader = response.body.getReader(); ; ) {
      const part = await reader.read();
      if (part.done) break;
      parts.push(part.value);
      done += part.value.length;
      postMessage({ kind: "loading", share: done / total, megabytes: total / 1e6 });
    }
    files[name] = new Uint8Array(await new Blob(parts).arrayBuffer());
  }
  const ort = await import(here("runtime/ort.wasm.min.mjs"));
  const { Tokenizer } = await import(here("runtime/tokenizers.min.mjs"));
  ort.env.wasm.wasmPaths = here("runtime/");
  ort.env.wasm.wasmBinary = files["runtime/ort-wasm-simd-threaded.wasm"];
  postMessage({ kind: "opening" });
  return open(ort, Tokenizer, (name) => files[`model/${name}`]);
}

onmessage = async ({ data: { prompt, duration, seed } }) => {
  try {
    loading ??= load();
    const model = await loading;
    const start = performance.now();
    const onStep = (share) => postMessage({ kind: "generating", share });
    const clip = await generate(model, prompt, duration, seed, onStep);
    const seconds = (performance.now() - start) / 1000;
    postMessage({ kind: "done", wav: toWav(clip), seconds });
  } catch (error) {
    loading = undefined;
    postMessage({ kind: "error", message: String(error.message ?? error) });
  }
};
