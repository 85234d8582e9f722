// Prompts, noise and files for onnx_walk.mjs: numbers as tokens, torch's noise, .wav files.

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

// Token ids of a prompt.
export function tokenIds(tokenizer, prompt, rules) {
  const ids = Array.from(tokenizer.encode(replaceNumbers(prompt, rules.numbers)).ids, Number);
  const longest = rules.max_length;
  return ids.length > longest ? [...ids.slice(0, longest - 1), ids.at(-1)] : ids;
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

// Scales samples below the peak and fades both ends.
export function finish(samples, rate, info) {
  const peak = samples.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const gain = Math.min(1, info.peak / peak);
  const fade = Math.round(info.fade_s * rate);
  const ramp = (i) => 0.5 - 0.5 * Math.cos((Math.PI * Math.min(i, fade)) / fade);
  return samples.map((value, i) => value * gain * ramp(i) * ramp(samples.length - 1 - i));
}

// A .wav file of 16 bits: its bytes.
export function toWav({ samples, rate }) {
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
