"""The folder of a run: its recipe, its data and the model that it builds on.

`run/recipe.json` and `run/data.json` describe the run, so that a resume with other settings is
refused. `run/model` is a model folder like any other, with the averaged weights of the last
checkpoint.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ..config.architecture import ModelConfig
from ..data.file_hashes import FileHashes
from ..data.manifest import DataSources, manifest_fingerprint, read_manifest
from ..errors import ConfigError
from ..fileio import atomic_write
from ..loaders.model_folder import read_config, write_config
from . import checkpoint
from .initial_components import initial_config, resolve_initial_model
from .pre_encode import HASHES_FILE
from .recipe import Recipe
from .stages.base import stage_class

UNTRAINED_MARKER = ".untrained"
"""File in a run's model folder until there is a checkpoint."""
_RECIPE_FILE = "recipe.json"
_DATA_FILE = "data.json"
_SOUNDS_FILE = "sounds.txt"
"""File of a run with a hash of all sounds; runs of older versions have none."""
_STAGES_WITHOUT_SOUNDS = ("text",)
"""Stages that read the captions of their data alone."""
_MAY_CHANGE = (
    "steps", "device", "sharding", "save_every", "sample_every", "log_every", "loggers",
)  # fmt: skip
"""Settings that a resumed run may change; any other change is another run."""


def prepare_run_folder(
    recipe: Recipe, data: DataSources, run_folder: Path, init_from: tuple[str | Path, ...]
) -> ModelConfig:
    """Write the recipe and the components to build on into a run's folder.

    Before the first checkpoint nothing was trained. A command that was refused may therefore be
    corrected and repeated: a model folder with `UNTRAINED_MARKER` is removed. One without the
    marker is a trained model and is never overwritten.

    Args:
        recipe: Recipe of the run.
        data: Folders of captioned audio.
        run_folder: Folder of the run.
        init_from: Models, or components of them, that the stage builds on; see
            `initial_components.resolve_initial_model`.

    Returns:
        Architecture of the run's model.

    Raises:
        ConfigError: The folder holds another run or another model.
        UsageError: There is no such model or component to build on.
        WeightsError: Files to build on are not those of a model.
    """
    model_folder = run_folder / "model"
    is_resumed = checkpoint.exists(run_folder)
    fingerprints = json.dumps([manifest_fingerprint(folder) for folder in data])
    has_sounds = bool(data) and recipe.stage not in _STAGES_WITHOUT_SOUNDS
    sounds = _hash_sounds(data, run_folder) if has_sounds else ""
    if is_resumed:
        _check_same_run(recipe, fingerprints, run_folder)
        _check_same_sounds(sounds, run_folder)
    _write_text(run_folder / _RECIPE_FILE, recipe.model_dump_json(indent=1))
    _write_text(run_folder / _DATA_FILE, fingerprints)
    if sounds:
        _write_text(run_folder / _SOUNDS_FILE, sounds)
    if is_resumed:
        return read_config(model_folder)[1]
    if (model_folder / UNTRAINED_MARKER).is_file():
        shutil.rmtree(model_folder)
    elif any(model_folder.glob("*.safetensors")):
        raise ConfigError(
            f"{model_folder} holds a trained model; "
            "choose another --output, or name it with --init-from"
        )
    model_folder.mkdir(parents=True, exist_ok=True)
    (model_folder / UNTRAINED_MARKER).touch()
    initial_models = [resolve_initial_model(source, recipe.model) for source in init_from]
    for initial in initial_models:
        initial.copy_into(model_folder)
    _share_files(run_folder)
    config = initial_config(recipe.model, initial_models)
    write_config(model_folder, config, recipe.model)
    return config


def _share_files(run_folder: Path) -> None:
    """Replace components by hard links to equal ones of runs beside this one.

    Ten runs from one model need the space of one copy. The model itself is never linked: a program
    that writes into a file of the run would change it. This package replaces files as a whole.
    """
    for file in (run_folder / "model").glob("*.safetensors"):
        for other in sorted(run_folder.parent.glob(f"*/model/{file.name}")):
            with suppress(OSError):  # another file system, or none that has links
                if other.samefile(file) or other.stat().st_size != file.stat().st_size:
                    continue
                link = file.with_name(f".{file.name}.{os.getpid()}.part")
                try:
                    os.link(other, link)
                    if filecmp.cmp(link, file, shallow=False):
                        link.replace(file)
                        break
                finally:
                    link.unlink(missing_ok=True)


def _check_same_run(recipe: Recipe, fingerprints: str, run_folder: Path) -> None:
    recipe_file = run_folder / _RECIPE_FILE
    data_file = run_folder / _DATA_FILE
    try:
        before = Recipe.model_validate_json(recipe_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigError(
            f"{recipe_file} is missing or damaged, so {run_folder} cannot be resumed; "
            "choose another --output"
        ) from None
    unused = stage_class(recipe.stage).unused_settings
    changes = {key: getattr(recipe, key) for key in (*_MAY_CHANGE, *unused)}
    if before.model_copy(update=changes) != recipe:
        raise ConfigError(
            f"{run_folder} holds a run of another recipe; "
            f"choose another --output, or repeat the settings in {recipe_file}"
        )
    if data_file.is_file() and data_file.read_bytes().strip() != fingerprints.encode():
        raise ConfigError(
            f"{run_folder} holds a run on other data; "
            "choose another --output, or repeat its --data in the same order"
        )


def _hash_sounds(data: DataSources, run_folder: Path) -> str:
    """Return a hash of all sounds; a file is read again only if its size or times change."""
    hashes = FileHashes(run_folder / HASHES_FILE)
    digest = hashlib.blake2b(digest_size=16)
    for clip in read_manifest(*data):
        digest.update(hashes.get(clip.path, clip.offset, clip.num_bytes).encode())
    hashes.save()
    return digest.hexdigest()


def _check_same_sounds(sounds: str, run_folder: Path) -> None:
    sounds_file = run_folder / _SOUNDS_FILE
    if not sounds_file.is_file():
        return
    if sounds_file.read_bytes().strip() != sounds.encode():
        raise ConfigError(
            f"the sounds that {run_folder} was trained on have changed; "
            "restore the files, or choose another --output"
        )


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
