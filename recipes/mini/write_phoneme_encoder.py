"""Write the phoneme encoder of `mini-speech`: random weights that are never trained.

    python recipes/mini/write_phoneme_encoder.py runs/phonemes

The published speech models take a trained encoder from VITS. Here the translator learns to read
random vectors of phonemes and of their positions, which costs it little.
"""

import argparse
from pathlib import Path

import torch

from latentaudio.config.model_shapes import MINI_SPEECH
from latentaudio.loaders.components import build_component
from latentaudio.loaders.model_folder import save_component, write_config

POSITION_DEVIATION = 0.7  # with the usual one, positions were too weak to be told apart


def main() -> None:
    """Draw the weights, and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    torch.manual_seed(flags.seed)
    encoder = build_component("phonemes", MINI_SPEECH)
    state = encoder.state_dict()
    torch.nn.init.normal_(state["positional"], std=POSITION_DEVIATION)
    flags.folder.mkdir(parents=True)
    save_component(flags.folder, "phonemes", state)
    write_config(flags.folder, MINI_SPEECH, "mini-speech")


if __name__ == "__main__":
    main()
