"""The mean of one part over several runs of one lineage, weight by weight (arXiv 2203.05482); the rest is the last run's.

python recipes/mini/average.py unet OUT RUN RUN ...
"""

import argparse
from pathlib import Path

import torch

from latentaudio.loaders.model_folder import (
    copy_parts,
    load_part,
    model_folder,
    read_config,
    save_part,
    write_config,
)


def main() -> None:
    """Read, average, write OUT/model."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("part")
    asked.add_argument("out", type=Path)
    asked.add_argument("runs", type=Path, nargs="+")
    given = asked.parse_args()
    folders, model = [model_folder(run) for run in given.runs], given.out / "model"
    name, config, card = read_config(folders[-1])
    states = [load_part(folder, given.part, config).state_dict() for folder in folders]
    copy_parts((folders[-1],), model)
    write_config(model, config, name, card)
    save_part(
        model,
        given.part,
        {key: torch.stack([state[key] for state in states]).mean(0) for key in states[0]},
    )
    recipe = folders[-1].parent / "recipe.json"
    if recipe.is_file():
        (given.out / recipe.name).write_bytes(recipe.read_bytes())


if __name__ == "__main__":
    main()
