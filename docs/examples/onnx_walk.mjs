// Generates a clip from a folder of `latentaudio export`, in a browser or in Node.
//
// npm install onnxruntime-web @huggingface/tokenizers
// node onnx_walk.mjs FOLDER "a dog barking" 5 7 dog.wav  (prompt, seconds, seed, file)

const SEMITONES = { c: 0, d: 2, e: 4, f: 5, g: 7, a: 9, b: 11 };
const NOTES = /(?<![\p{L}\p{N}_])([a-g])(#|♯|b|♭| sharp | flat )?([0-8])(?![\p{L}\p{N}_.,]*\p{Nd}|[\p{L}\p{N}_])/gu;
const NUMBERS = /(?<![\p{L}\p{N}_.])(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?(?: ?(khz|kilohertz))?(?=[a-z]{0,3}(?![\p{L}\p{N}_])|$)/gu;

// Numbers and notes have tokens of their own, on a logarithmic grid.
export function replaceNumbers(text, grid) {
  const token = (value, exact = true) => {
    if (exact && value < grid.num_exact && Number.isInteger(value)) return `[i${value}]`;
    const octave = Math.min(Math.max(Math.log2(Math.max(value, 1e-9)), grid.lowest_octave), grid.highest_octave);
    return `[n${Math.round((octave - grid.lowest_octave) * grid.steps_per_octave)}]`;
  };
  const note = (_, letter, accidental, octave) => {
    const shift = { "": 0, "#": 1, "♯": 1, sharp: 1 }[(accidental || "").trim()] ?? -1;
    const midi = SEMITONES[letter] + shift + 12 * (Number(octave) + 1);
    return ` ${token(440 * 2 ** ((midi - 69) / 12), false)} ${grid.note_token} `;
  };
  const number = (match, integer, fraction, kilo) => {
    if (!integer && !fraction) return match;
    const value = Number((integer || "0").replaceAll(",", "") + (fraction || "")) * (kilo ? 1000 : 1);
    return ` ${token(value)} ${kilo ? "hz" : ""} `;
  };
  const plain = text.toLowerCase().replaceAll("[", "(").replaceAll("]", ")");
  return plain.replace(NOTES, note).replace(NUMBERS, number).split(/\s+/).filter(Boolean).join(" ");
}

// Random bits of the Mersenne Twister (Matsumoto and Nishimura 1998).
function twister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let index = 624;
  return () => {
    if (index === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      index = 0;
    }
    let y = state[index++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

// Normal noise, the numbers that torch.randn draws from a seed; count >= 16.
export function randn(seed, count) {
  const next = twister(Number(BigInt.asUintN(32, BigInt(seed))));
  const uniform = (size) => Float32Array.from({ length: size }, () => (next() & 0xffffff) * 2 ** -24);
  const boxMuller = (data, start) => {
    for (let j = start; j < start + 8; j++) {
      const radius = Math.sqrt(-2 * Math.log(1 - data[j]));
      const angle = 2 * Math.PI * data[j + 8];
      data[j] = radius * Math.cos(angle);
      data[j + 8] = radius * Math.sin(angle);
    }
  };
  const out = uniform(count);
  for (let i = 0; i + 16 <= count; i += 16) boxMuller(out, i);
  if (count % 16) {
    out.set(uniform(16), count - 16);
    boxMuller(out, count - 16);
  }
  return out;
}

// Opens a model. `read(name)` returns the bytes of a file of the folder.
export async function open(ort, Tokenizer, read) {
  const text = async (name) => JSON.parse(new TextDecoder().decode(await read(name)));
  const info = await text("model.json");
  const tokenizer = new Tokenizer(await text(info.tokenizer.file), {});
  const sessions = {};
  for (const [name, graph] of Object.entries(info.graphs)) {
    sessions[name] = await ort.InferenceSession.create(await read(graph.file));
  }
  return { ort, info, tokenizer, sessions };
}

// Generates a clip: samples in [-1, 1] and their rate. `onStep` gets the share that is done.
export async function generate(model, prompt, duration, seed, onStep = () => {}) {
  const { ort, info, tokenizer, sessions } = model;
  const { sample_rate: rate, hop_length: hop, latent } = info;
  const steps = info.schedule.steps;
  const cell = latent.mel_frames * latent.frame_multiple;
  const length = Math.max(duration, info.duration_s.min);
  const melFrames = cell * Math.ceil(Number(((length * rate) / hop).toFixed(6)) / cell);
  const numTokens = Math.ceil(melFrames / info.loa.mel_frames);
  let done = 0;
  const run = async (name, ...inputs) => {
    const names = Object.keys(info.graphs[name].inputs);
    const outputs = await sessions[name].run(Object.fromEntries(names.map((key, i) => [key, inputs[i]])));
    await onStep(++done / (steps.length + numTokens + 5));
    return outputs[info.graphs[name].output];
  };
  const floats = (data, shape) => new ort.Tensor("float32", data, shape);
  const integers = (data) => new ort.Tensor("int64", BigInt64Array.from(data.map(BigInt)), data.length > 1 ? [1, data.length] : [1]);

  const words = replaceNumbers(prompt, info.tokenizer.numbers);
  let list = Array.from(tokenizer.encode(words).ids, Number);
  const longest = info.tokenizer.max_length;
  if (list.length > longest) list = [...list.slice(0, longest - 1), list.at(-1)];
  const ids = integers(list);
  const shape = [1, latent.channels, melFrames / latent.mel_frames, latent.bins];
  const z = randn(seed, shape.reduce((a, b) => a * b));

  const vector = await run("clap_text", ids);
  const states = await run("t5", ids);
  const prior = await run("latent_prior", states, floats(z, shape));
  const { width } = info.loa;
  const tokens = new Float32Array(numTokens * width);
  for (let i = 0; i < numTokens; i++) {
    const known = floats(tokens, [1, numTokens, width]);
    tokens.set((await run("translator", vector, states, known, integers([i]))).data, i * width);
  }
  const loa = floats(tokens, [1, numTokens, width]);
  for (const step of steps) {
    const { data } = await run("unet", floats(z, shape), integers([step.t]), vector, loa, states, prior);
    for (let i = 0; i < z.length; i++) z[i] = step.z * z[i] + step.prediction * data[i];
  }
  const mel = await run("vae_decoder", floats(z, shape));
  const noise = randn(info.vocoder_noise_seed, (melFrames - 1) * hop + info.n_fft);
  const output = await run("vocoder", mel, floats(noise, [1, noise.length]));

  const samples = output.data.slice(0, Math.round(duration * rate));
  const peak = samples.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const gain = Math.min(1, info.peak / peak);
  const fade = Math.round(info.fade_s * rate);
  const ramp = (i) => 0.5 - 0.5 * Math.cos((Math.PI * Math.min(i, fade)) / fade);
  return { samples: samples.map((value, i) => value * gain * ramp(i) * ramp(samples.length - 1 - i)), rate };
}

// A .wav file of 16 bits: its bytes.
export function toWav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const words = { 0: "RIFF", 8: "WAVE", 12: "fmt ", 36: "data" };
  for (const [at, word] of Object.entries(words)) [...word].forEach((letter, i) => view.setUint8(Number(at) + i, letter.charCodeAt(0)));
  view.setUint32(4, view.byteLength - 8, true);
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, Math.trunc(value * 32767), true));
  return new Uint8Array(view.buffer);
}

if (globalThis.process?.argv[1]?.endsWith("onnx_walk.mjs")) {
  const [folder, prompt, duration, seed, target] = process.argv.slice(2);
  const { readFile, writeFile } = await import("node:fs/promises");
  const ort = await import("onnxruntime-web/wasm");
  const { Tokenizer } = await import("@huggingface/tokenizers");
  ort.env.wasm.numThreads = 1;
  const model = await open(ort, Tokenizer, (name) => readFile(`${folder}/${name}`));
  const { samples, rate } = await generate(model, prompt, Number(duration), seed);
  await writeFile(target, toWav(samples, rate));
}
