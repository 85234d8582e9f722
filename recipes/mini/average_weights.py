"""Average the weights of one component over several runs (arXiv 2203.05482).

    python recipes/mini/average_weights.py COMPONENT OUTPUT RUN RUN ...

The runs must start from the same weights. All other components are those of the last run.
"""

import argparse
from pathlib import Path

import torch

from latentaudio.loaders.model_folder import (
    find_model_folder,
    load_component,
    read_config,
    save_component,
    write_config,
)
from latentaudio.train.initial_components import resolve_initial_model


def main() -> None:
    """Read the runs, average, and write OUTPUT/model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("component", help="component to average, such as unet")
    parser.add_argument("output", type=Path, help="run folder to write")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    flags = parser.parse_args()
    folders = [find_model_folder(run) for run in flags.runs]
    last = folders[-1]
    name, config, card = read_config(last)
    states = []
    for folder in folders:
        states.append(load_component(folder, flags.component, config).state_dict())
    average = {}
    for key in states[0]:
        average[key] = torch.stack([state[key] for state in states]).mean(0)
    model = flags.output / "model"
    model.mkdir(parents=True)
    resolve_initial_model(last, name).copy_into(model)
    write_config(model, config, name, card)
    save_component(model, flags.component, average)
    recipe = last.parent / "recipe.json"
    if recipe.is_file():
        (flags.output / recipe.name).write_bytes(recipe.read_bytes())


if __name__ == "__main__":
    main()
