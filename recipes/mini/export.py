"""Export a finished run as a model that ships with the package.

    python recipes/mini/export.py runs/joint src/latentaudio/assets/mini
    python recipes/mini/export.py runs/vocoder src/latentaudio/assets/mini --components vocoder
    python recipes/mini/export.py runs/few src/latentaudio/assets/mini --components distilled_unet
    python recipes/mini/export.py runs/speech src/latentaudio/assets/mini-speech --base mini \\
        --components vae phonemes translator unet

Weights are stored in half precision, and vocabularies in 8 bits; of a distilled UNet all matrices
are stored in 8 bits with a scale for each row. With `--components` only those are replaced or
added, and the others of the folder stay. With `--base` a new model is written that has only those
components of its own; the others and the tokenizer come from the folder of that name beside it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from latentaudio.config.architecture import ModelConfig
from latentaudio.loaders.components import build_component, component_names
from latentaudio.loaders.model_folder import (
    TOKENIZER_FILE,
    find_model_folder,
    load_component,
    read_config,
    save_component,
    write_config,
)
from latentaudio.train.checkpoint import latest_step

MAX_BYTES = 78e6  # of the whole model; of what a model with a base adds, a third
MIN_VOCABULARY = 1000  # larger embedding tables are stored in 8 bits
DISTILLED = "distilled_unet"


def export_component(
    source: Path, target: Path, component: str, config: ModelConfig, exported: ModelConfig
) -> None:
    """Write one component of `source` to `target`, without the weights that `exported` lacks."""
    module = load_component(source, component, config)
    keys = build_component(component, exported).state_dict().keys()
    state = {key: value for key, value in module.state_dict().items() if key in keys}
    int8_keys = _int8_keys(component, module)
    save_component(target, component, state, torch.float16, int8_keys=int8_keys)


def _int8_keys(component: str, module: nn.Module) -> Collection[str]:
    """Weights stored in 8 bits: vocabularies, and all matrices of a distilled UNet."""
    if component == DISTILLED:
        return [key for key, weight in module.state_dict().items() if weight.ndim > 1]
    keys = []
    for name, child in module.named_modules():
        if isinstance(child, nn.Embedding) and child.num_embeddings >= MIN_VOCABULARY:
            keys.append(f"{name}.weight")
    return keys


def export(
    run: Path, target: Path, components: Collection[str] | None = None, base: str | None = None
) -> None:
    """Write the exported model to `target`: all components, or some of them and a base."""
    source = find_model_folder(run)
    name, config, _ = read_config(source)
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    target.mkdir(parents=True, exist_ok=True)
    exported = config
    if config.audiomae is not None:  # only its encoder is used after training
        exported = replace(config, audiomae=replace(config.audiomae, decoder_num_layers=0))
    for component in components or component_names(config):
        export_component(source, target, component, config, exported)
    if base is None:
        shutil.copyfile(source / TOKENIZER_FILE, target / TOKENIZER_FILE)
    card = {"stage": recipe["stage"], "steps": latest_step(run), "seed": recipe["seed"]}
    write_config(target, exported, name, card, base)


def replace_components(run: Path, target: Path, components: Collection[str]) -> None:
    """Replace or add components of the model in `target`."""
    source = find_model_folder(run)
    _, trained, _ = read_config(source)
    name, config, card = read_config(target)
    config = replace(config, **{component: getattr(trained, component) for component in components})
    for component in components:
        export_component(source, target, component, trained, config)
    write_config(target, config, name, card)


def main() -> None:
    """Export, and check the size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("target", type=Path, help="folder of the exported model")
    parser.add_argument("--components", nargs="+", help="store only these")
    parser.add_argument("--base", help="folder beside the target that has the other components")
    flags = parser.parse_args()
    if flags.components and not flags.base:
        replace_components(flags.run, flags.target, flags.components)
    else:
        export(flags.run, flags.target, flags.components, flags.base)
    size = sum(file.stat().st_size for file in flags.target.iterdir())
    max_size = MAX_BYTES / 3 if flags.base else MAX_BYTES
    assert size <= max_size, f"{size / 1e6:.1f} MB exceed the maximum of {max_size / 1e6:.0f} MB"
    sys.stdout.write(f"{size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
