"""Add short frames for attacks and harmonics to the vocoder of a model.

    python recipes/mini/extend_vocoder.py src/latentaudio/assets/mini runs/extended

New layers get random weights. In a vocoder without short frames, noise starts at the level of the
mel, and predicted frames start 13 dB lower.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from latentaudio.loaders.components import build_component
from latentaudio.loaders.model_folder import (
    find_model_folder,
    load_component,
    read_config,
    save_component,
    write_config,
)
from latentaudio.train.initial_components import resolve_initial_model

COHERENT_NEPERS = -1.5  # change of the predicted frames' log gain


def main() -> None:
    """Write the model folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="model or run folder")
    parser.add_argument("target", type=Path, help="model folder to write")
    parser.add_argument("--window", type=int, default=256, help="short frames, in samples")
    parser.add_argument("--pitch", type=Path, help="file of train_pitch_estimator.py")
    flags = parser.parse_args()
    source = find_model_folder(flags.source)
    name, config, card = read_config(source)
    old = load_component(source, "vocoder", config).state_dict()
    vocoder_config = replace(config.vocoder, attack_n_fft=flags.window, use_harmonics=True)
    extended = replace(config, vocoder=vocoder_config)
    torch.manual_seed(0)
    vocoder = build_component("vocoder", extended)
    state = vocoder.state_dict() | {key: value.float() for key, value in old.items()}
    if flags.pitch:
        state |= load_file(flags.pitch)
    if not config.vocoder.attack_n_fft:
        num_bins = vocoder.sizes[0]
        noise = slice(2 * num_bins, 2 * num_bins + config.vocoder.n_mels)
        state["head.weight"] = state["head.weight"].clone()
        state["head.bias"] = state["head.bias"].clone()
        state["head.weight"][noise] = 0
        state["head.bias"][noise] = 0
        state["head.bias"][:num_bins] += COHERENT_NEPERS
    flags.target.mkdir(parents=True)
    resolve_initial_model(source, name).copy_into(flags.target)
    write_config(flags.target, extended, name, card)
    save_component(flags.target, "vocoder", state)


if __name__ == "__main__":
    main()
