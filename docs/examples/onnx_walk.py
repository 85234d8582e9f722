"""Generate a clip from a folder of `latentaudio export`, without torch.

python onnx_walk.py FOLDER "a dog barking" 5 7 dog.wav  (prompt, seconds, seed, file)
"""

import json
import math
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime
from onnx_inputs import randn, replace_numbers
from tokenizers import Tokenizer


def generate(folder, prompt, duration, seed):
    """Samples of a clip in [-1, 1], and their rate."""
    info = json.loads((folder / "model.json").read_text())
    rate = info["sample_rate"]
    latent = info["latent"]
    graphs = info["graphs"]
    sessions = {g: onnxruntime.InferenceSession(folder / graphs[g]["file"]) for g in graphs}

    def run(name, *inputs):
        return sessions[name].run(None, dict(zip(graphs[name]["inputs"], inputs, strict=True)))[0]

    tokenizer = Tokenizer.from_file(str(folder / info["tokenizer"]["file"]))
    ids = np.array([tokenizer.encode(replace_numbers(prompt, info["tokenizer"]["numbers"])).ids])
    cell = latent["mel_frames"] * latent["frame_multiple"]
    frames = max(duration, info["duration_s"]["min"]) * rate / info["hop_length"]
    mel_frames = cell * math.ceil(round(frames, 6) / cell)
    z = randn(seed, (1, latent["channels"], mel_frames // latent["mel_frames"], latent["bins"]))

    vector = run("clap_text", ids)
    states = run("t5", ids)
    prior = run("latent_prior", states, z)
    num_tokens = math.ceil(mel_frames / info["loa"]["mel_frames"])
    loa = np.zeros((1, num_tokens, info["loa"]["width"]), "f")
    for i in range(num_tokens):
        loa[:, i : i + 1] = run("translator", vector, states, loa, np.array([i]))
    for step in info["schedule"]["steps"]:
        prediction = run("unet", z, np.array([step["t"]]), vector, loa, states, prior)
        z = np.float32(step["z"]) * z + np.float32(step["prediction"]) * prediction
    samples = run("vocoder", run("vae_decoder", z))[0, : round(duration * rate)]
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
