"""Pack a finished run into the model that ships with the package: half precision, vocabularies in 8 bits, every part, a card.

python recipes/mini/pack.py runs/joint src/latentaudio/assets/mini
"""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import Embedding

from latentaudio.weights.folder import (
    TOKENIZER_FILE,
    build,
    load_part,
    model_folder,
    parts_of,
    read_config,
    save_part,
    write_config,
)

LIMIT, VOCABULARY = 60e6, 1000


def pack(run: Path, target: Path) -> int:
    """Write the packed model to `target`; returns its size in bytes."""
    source = model_folder(run)
    name, config, _ = read_config(source)
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    target.mkdir(parents=True, exist_ok=True)
    slim = replace(config, audiomae=config.audiomae and replace(config.audiomae, decoder_depth=0))  # only its encoder is heard
    for part in parts_of(config):
        module, kept = load_part(source, part, config), build(part, slim).state_dict()
        state = {key: value for key, value in module.state_dict().items() if key in kept}
        tables = ((name, m) for name, m in module.named_modules() if isinstance(m, Embedding))
        words = [f"{name}.weight" for name, m in tables if m.num_embeddings >= VOCABULARY]
        save_part(target, part, state, torch.float16, coarse=words)
    shutil.copyfile(source / TOKENIZER_FILE, target / TOKENIZER_FILE)
    write_config(target, slim, name, {"stage": recipe["stage"], "steps": recipe["steps"], "seed": recipe["seed"]})
    return sum(file.stat().st_size for file in target.iterdir())


if __name__ == "__main__":
    size = pack(Path(sys.argv[1]), Path(sys.argv[2]))
    assert size <= LIMIT, f"{size / 1e6:.1f} MB is more than {LIMIT / 1e6:.0f}"
    sys.stdout.write(f"{size / 1e6:.1f} MB\n")
