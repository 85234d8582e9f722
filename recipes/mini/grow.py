"""Give a model's vocoder short frames (`VocoderConfig.short`) and let noise begin at the loudness of the mel.

    python recipes/mini/grow.py src/latentaudio/assets/mini runs/grown

Predicted frames begin 13 dB lower; the short frames' weights are drawn anew.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from latentaudio.weights.folder import build, copy_parts, model_folder, read_config, save_part, write_config

if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("source", type=Path)
    words.add_argument("target", type=Path)
    words.add_argument("--window", type=int, default=256)
    words.add_argument("--pitch", type=Path, help="what recipes/mini/pitch.py wrote")
    given = words.parse_args()
    torch.manual_seed(0)
    name, config, card = read_config(model_folder(given.source))
    grown = replace(config, vocoder=replace(config.vocoder, short=given.window, harmonics=True))
    given.target.mkdir(parents=True)
    copy_parts((given.source,), given.target)
    write_config(given.target, grown, name, card)
    old = load_file(model_folder(given.source) / "vocoder.safetensors")
    new = build("vocoder", grown)
    state = new.state_dict() | {key: old[key].float() for key in old.keys()}  # noqa: SIM118
    loudness, phase, noise, *_ = new.sizes
    hissing = slice(loudness + phase, loudness + phase + noise)
    if given.pitch:
        state |= load_file(given.pitch)
    if config.vocoder.short:  # only what is new
        save_part(given.target, "vocoder", state)
        raise SystemExit
    state["head.weight"], state["head.bias"] = state["head.weight"].clone(), state["head.bias"].clone()
    state["head.weight"][hissing] = 0
    state["head.bias"][hissing] = 0
    state["head.bias"][:loudness] -= 1.5
    save_part(given.target, "vocoder", state)
