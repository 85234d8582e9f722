// Generates a clip from a folder of `latentaudio export`, in a browser or in Node.
// npm install onnxruntime-web @huggingface/tokenizers
// node onnx_walk.mjs FOLDER "a dog barking" 5 7 dog.wav  (prompt, seconds, seed, file)
import { finish, randn, tokenIds, toWav } from "./onnx_inputs.mjs";
// Opens a model. `read(name)` returns the bytes of a file of the folder.
export async function open(ort, Tokenizer, read) {
  const text = async (name) => JSON.parse(new TextDecoder().decode(await read(name)));
  const info = await text("model.json");
  const tokenizer = new Tokenizer(await text(info.tokenizer.file), {});
  ort.env.wasm.numThreads = 1;
  const sessions = {};
  for (const [name, graph] of Object.entries(info.graphs)) {
    sessions[name] = await ort.InferenceSession.create(await read(graph.file));
  }
  return { ort, info, tokenizer, sessions };
}

// Generates a clip: samples in [-1, 1] and their rate. `onStep` gets the share that is done.
export async function generate({ ort, info, tokenizer, sessions }, prompt, duration, seed, onStep = () => {}) {
  const { sample_rate: rate, hop_length: hop, latent, loa: { width }, schedule: { steps } } = info;
  const cell = latent.mel_frames * latent.frame_multiple;
  const frames = (Math.max(duration, info.duration_s.min) * rate) / hop;
  const melFrames = cell * Math.ceil(Number(frames.toFixed(6)) / cell);
  const numTokens = Math.ceil(melFrames / info.loa.mel_frames);
  let done = 0;
  const run = async (name, ...inputs) => {
    const named = Object.keys(info.graphs[name].inputs).map((key, i) => [key, inputs[i]]);
    const outputs = await sessions[name].run(Object.fromEntries(named));
    await onStep(++done / (steps.length + numTokens + 5));
    return outputs[info.graphs[name].output];
  };
  const floats = (data, shape) => new ort.Tensor("float32", data, shape);
  const integers = (data, shape) => new ort.Tensor("int64", BigInt64Array.from(data.map(BigInt)), shape);
  const list = tokenIds(tokenizer, prompt, info.tokenizer);
  const ids = integers(list, [1, list.length]);
  const shape = [1, latent.channels, melFrames / latent.mel_frames, latent.bins];
  const z = randn(seed, shape.reduce((a, b) => a * b));
  const [vector, states] = [await run("clap_text", ids), await run("t5", ids)];
  const prior = await run("latent_prior", states, floats(z, shape));
  const tokens = new Float32Array(numTokens * width);
  const loa = () => floats(tokens, [1, numTokens, width]);
  for (let i = 0; i < numTokens; i++) {
    tokens.set((await run("translator", vector, states, loa(), integers([i], [1]))).data, i * width);
  }
  for (const step of steps) {
    const { data } = await run("unet", floats(z, shape), integers([step.t], [1]), vector, loa(), states, prior);
    for (let i = 0; i < z.length; i++) z[i] = step.z * z[i] + step.prediction * data[i];
  }
  const output = await run("vocoder", await run("vae_decoder", floats(z, shape)));
  return { samples: finish(output.data.slice(0, Math.round(duration * rate)), rate, info), rate };
}

if (globalThis.process?.argv[1]?.endsWith("onnx_walk.mjs")) {
  const [folder, prompt, duration, seed, target] = process.argv.slice(2);
  const [{ readFile, writeFile }, ort, { Tokenizer }] = await Promise.all(
    ["node:fs/promises", "onnxruntime-web/wasm", "@huggingface/tokenizers"].map((name) => import(name)),
  );
  const model = await open(ort, Tokenizer, (name) => readFile(`${folder}/${name}`));
  await writeFile(target, toWav(await generate(model, prompt, Number(duration), seed)));
}
