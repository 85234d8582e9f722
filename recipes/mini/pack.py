"""Pack a finished run into the model that ships with the package: half precision, vocabularies in 8 bits, every part, a card.

python recipes/mini/pack.py runs/joint src/latentaudio/assets/mini
python recipes/mini/pack.py runs/student src/latentaudio/assets/mini --student
python recipes/mini/pack.py runs/vocoder src/latentaudio/assets/mini --vocoder

--vocoder puts a run's vocoder into a model that is packed already. --student adds a run's student to one; its matrices are stored
in 8 bits, a scale for each row.
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

from latentaudio.configs import ModelConfig
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

LIMIT, STUDENT_LIMIT, VOCABULARY = 60e6, 13e6, 1000


def store(source: Path, target: Path, part: str, config: ModelConfig, slim: ModelConfig) -> None:
    """One part in half precision, what is coarse in 8 bits."""
    module, kept = load_part(source, part, config), build(part, slim).state_dict()
    state = {key: value for key, value in module.state_dict().items() if key in kept}
    save_part(target, part, state, torch.float16, coarse=_coarse(part, module))


def _coarse(part: str, module: nn.Module) -> Collection[str]:
    """Names of what is stored in 8 bits: vocabularies, and of a student every matrix."""
    if part == "student":
        return [name for name, weight in module.state_dict().items() if weight.ndim > 1]
    tables = ((name, m) for name, m in module.named_modules() if isinstance(m, nn.Embedding))
    return [f"{name}.weight" for name, m in tables if m.num_embeddings >= VOCABULARY]


def pack(run: Path, target: Path) -> int:
    """Write the packed model to `target`; returns its size in bytes."""
    source = model_folder(run)
    name, config, _ = read_config(source)
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    target.mkdir(parents=True, exist_ok=True)
    slim = replace(config, audiomae=config.audiomae and replace(config.audiomae, decoder_depth=0))  # only its encoder is heard
    for part in parts_of(config):
        store(source, target, part, config, slim)
    shutil.copyfile(source / TOKENIZER_FILE, target / TOKENIZER_FILE)
    write_config(target, slim, name, {"stage": recipe["stage"], "steps": recipe["steps"], "seed": recipe["seed"]})
    return sum(file.stat().st_size for file in target.iterdir())


def add_student(run: Path, target: Path) -> int:
    """Put a run's student beside the parts packed in `target`; returns its size in bytes."""
    source = model_folder(run)
    taught = read_config(source)[1]
    name, config, card = read_config(target)
    config = replace(config, student=taught.student)
    store(source, target, "student", taught, config)
    write_config(target, config, name, card)
    return (target / "student.safetensors").stat().st_size


def add_vocoder(run: Path, target: Path) -> int:
    """Put a run's vocoder into the parts packed in `target`; returns its size in bytes."""
    source = model_folder(run)
    taught = read_config(source)[1]
    name, config, card = read_config(target)
    store(source, target, "vocoder", taught, taught)
    write_config(target, replace(config, vocoder=taught.vocoder), name, card)
    return (target / "vocoder.safetensors").stat().st_size


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("run", type=Path)
    words.add_argument("target", type=Path)
    words.add_argument("--student", action="store_true")
    words.add_argument("--vocoder", action="store_true")
    given = words.parse_args()
    if given.vocoder:
        sys.stdout.write(f"{add_vocoder(given.run, given.target) / 1e6:.1f} MB\n")
        raise SystemExit
    size, limit = (
        (add_student(given.run, given.target), STUDENT_LIMIT) if given.student else (pack(given.run, given.target), LIMIT)
    )
    assert size <= limit, f"{size / 1e6:.1f} MB is more than {limit / 1e6:.0f}"
    sys.stdout.write(f"{size / 1e6:.1f} MB\n")
