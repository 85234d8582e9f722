"""Generate a clip from a folder of `latentaudio export`, without torch.

python onnx_walk.py FOLDER "a dog barking" 5 7 dog.wav  (prompt, seconds, seed, file)
"""

import json
import math
import re
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
NOTES = re.compile(r"\b([a-g])(#|♯|b|♭| sharp | flat )?([0-8])(?![\w.,]*\d|\w)")
NUMBERS = re.compile(
    r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?(?: ?(khz|kilohertz))?(?=[a-z]{0,3}\b|\W|$)"
)


def replace_numbers(text, grid):
    """Numbers and notes have tokens of their own, on a logarithmic grid."""

    def token(value, exact=True):
        if exact and value < grid["num_exact"] and value == int(value):
            return f"[i{int(value)}]"
        low = grid["lowest_octave"]
        octave = min(max(math.log2(max(value, 1e-9)), low), grid["highest_octave"])
        return f"[n{round((octave - low) * grid['steps_per_octave'])}]"

    def note(match):
        letter, accidental, octave = match.groups()
        shift = {"": 0, "#": 1, "♯": 1, "sharp": 1}.get((accidental or "").strip(), -1)
        midi = SEMITONES[letter] + shift + 12 * (int(octave) + 1)
        return f" {token(440 * 2 ** ((midi - 69) / 12), exact=False)} {grid['note_token']} "

    def number(match):
        integer, fraction, kilo = match.groups()
        if integer is None and fraction is None:
            return match.group()
        value = float((integer or "0").replace(",", "") + (fraction or ""))
        return f" {token(value * (1000 if kilo else 1))} {'hz' if kilo else ''} "

    plain = text.lower().replace("[", "(").replace("]", ")")
    return " ".join(NUMBERS.sub(number, NOTES.sub(note, plain)).split())


def randn(seed, count):
    """Normal noise, the numbers that torch.randn draws from a seed; count >= 16."""
    generator = np.random.RandomState(seed % 2**32)  # the Mersenne Twister

    def draw(size):
        bits = generator.randint(0, 2**32, size, dtype=np.uint32) & 0xFFFFFF
        return bits.astype(np.float32) * np.float32(2**-24)

    def box_muller(uniform):
        first, second = uniform.reshape(-1, 2, 8).transpose(1, 0, 2)
        radius = np.sqrt(-2 * np.log(1 - first))
        angle = np.float32(2 * np.pi) * second
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)

    out = draw(count)
    whole = count // 16 * 16
    out[:whole] = box_muller(out[:whole])
    if whole < count:
        out[-16:] = box_muller(draw(16))
    return out


def generate(folder, prompt, duration, seed):
    """Samples of a clip in [-1, 1], and their rate."""
    info = json.loads((folder / "model.json").read_text())
    rate, hop, latent = info["sample_rate"], info["hop_length"], info["latent"]

    graphs = info["graphs"]
    sessions = {g: onnxruntime.InferenceSession(folder / graphs[g]["file"]) for g in graphs}

    def run(name, *inputs):
        return sessions[name].run(None, dict(zip(graphs[name]["inputs"], inputs, strict=True)))[0]

    tokenizer = Tokenizer.from_file(str(folder / info["tokenizer"]["file"]))
    ids = np.array([tokenizer.encode(replace_numbers(prompt, info["tokenizer"]["numbers"])).ids])
    cell = latent["mel_frames"] * latent["frame_multiple"]
    length = max(duration, info["duration_s"]["min"])
    mel_frames = cell * math.ceil(round(length * rate / hop, 6) / cell)
    shape = (1, latent["channels"], mel_frames // latent["mel_frames"], latent["bins"])
    z = randn(seed, math.prod(shape)).reshape(shape)

    vector, states = run("clap_text", ids), run("t5", ids)
    prior = run("latent_prior", states, z)
    loa = np.zeros(
        (1, math.ceil(mel_frames / info["loa"]["mel_frames"]), info["loa"]["width"]), "f"
    )
    for i in range(loa.shape[1]):
        loa[:, i : i + 1] = run("translator", vector, states, loa, np.array([i]))
    for step in info["schedule"]["steps"]:
        prediction = run("unet", z, np.array([step["t"]]), vector, loa, states, prior)
        z = np.float32(step["z"]) * z + np.float32(step["prediction"]) * prediction
    noise = randn(info["vocoder_noise_seed"], (mel_frames - 1) * hop + info["n_fft"])
    samples = run("vocoder", run("vae_decoder", z), noise[None])[0, : round(duration * rate)]

    samples *= min(1, info["peak"] / np.abs(samples).max())
    count = round(info["fade_s"] * rate)
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(count) / count)).astype(np.float32)
    samples[:count] *= ramp
    samples[-count:] *= ramp[::-1]
    return samples, rate


if __name__ == "__main__":
    folder, prompt, duration, seed, target = sys.argv[1:]
    samples, rate = generate(Path(folder), prompt, float(duration), int(seed))
    with wave.open(target, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
