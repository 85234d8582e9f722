"""Export a finished run as the model that ships with the package.

    python recipes/mini/export.py runs/joint src/latentaudio/assets/mini
    python recipes/mini/export.py runs/distilled src/latentaudio/assets/mini --distilled
    python recipes/mini/export.py runs/vocoder src/latentaudio/assets/mini --vocoder

Weights are stored in half precision, and vocabularies in 8 bits. `--distilled` adds the distilled
UNet of a run to a model that is exported already. Its matrices are stored in 8 bits with a scale
for each row. `--vocoder` replaces the vocoder of such a model.
"""

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

MAX_BYTES = 65e6  # of the whole model, without the distilled UNet
MAX_DISTILLED_BYTES = 13e6  # of the distilled UNet
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


def export(run: Path, target: Path) -> int:
    """Write the exported model to `target`; return its size in bytes."""
    source = find_model_folder(run)
    name, config, _ = read_config(source)
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    target.mkdir(parents=True, exist_ok=True)
    exported = config
    if config.audiomae is not None:  # only its encoder is used after training
        exported = replace(config, audiomae=replace(config.audiomae, decoder_num_layers=0))
    for component in component_names(config):
        export_component(source, target, component, config, exported)
    shutil.copyfile(source / TOKENIZER_FILE, target / TOKENIZER_FILE)
    card = {key: recipe[key] for key in ("stage", "steps", "seed")}
    write_config(target, exported, name, card)
    return sum(file.stat().st_size for file in target.iterdir())


def add_distilled(run: Path, target: Path) -> int:
    """Add a run's distilled UNet to the model in `target`; return the size of its file in bytes."""
    source = find_model_folder(run)
    _, distilled_config, _ = read_config(source)
    name, config, card = read_config(target)
    config = replace(config, distilled_unet=distilled_config.distilled_unet)
    export_component(source, target, DISTILLED, distilled_config, config)
    write_config(target, config, name, card)
    return (target / f"{DISTILLED}.safetensors").stat().st_size


def replace_vocoder(run: Path, target: Path) -> int:
    """Replace the vocoder of the model in `target`; return the size of the model in bytes."""
    source = find_model_folder(run)
    _, trained_config, _ = read_config(source)
    name, config, card = read_config(target)
    config = replace(config, vocoder=trained_config.vocoder)
    export_component(source, target, "vocoder", trained_config, config)
    write_config(target, config, name, card)
    files = (file for file in target.iterdir() if file.stem != DISTILLED)
    return sum(file.stat().st_size for file in files)


def main() -> None:
    """Export, and check the size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("target", type=Path, help="folder of the exported model")
    parser.add_argument("--distilled", action="store_true", help="add only the distilled UNet")
    parser.add_argument("--vocoder", action="store_true", help="replace only the vocoder")
    flags = parser.parse_args()
    max_size = MAX_BYTES
    if flags.distilled:
        size = add_distilled(flags.run, flags.target)
        max_size = MAX_DISTILLED_BYTES
    elif flags.vocoder:
        size = replace_vocoder(flags.run, flags.target)
    else:
        size = export(flags.run, flags.target)
    assert size <= max_size, f"{size / 1e6:.1f} MB exceed the maximum of {max_size / 1e6:.0f} MB"
    sys.stdout.write(f"{size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
