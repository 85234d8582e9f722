"""The folder of a run: its recipe, its data and the model that it builds on.

`run/recipe.json` and `run/data.json` describe the run, so that a resume with other settings is
refused. `run/model` is a model folder like any other, with the averaged weights of the last
checkpoint.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from ..config.architecture import ModelConfig
from ..config.registry import get_model_spec
from ..data.manifest import manifest_fingerprint
from ..errors import ConfigError
from ..fileio import atomic_write
from ..loaders.model_folder import copy_components, find_model_folder, read_config, write_config
from . import checkpoint
from .recipe import Recipe

UNTRAINED_MARKER = ".untrained"
"""File in a run's model folder until there is a checkpoint."""
_RECIPE_FILE = "recipe.json"
_DATA_FILE = "data.json"
_MAY_CHANGE = ("steps", "device", "save_every", "sample_every", "log_every")
"""Settings that a resumed run may change; any other change is another run."""


def prepare_run_folder(
    recipe: Recipe, data: tuple[Path, ...], run_folder: Path, init_from: tuple[Path, ...]
) -> ModelConfig:
    """Write the recipe and the components to build on into a run's folder.

    Before the first checkpoint nothing was trained. A command that was refused may therefore be
    corrected and repeated: a model folder with `UNTRAINED_MARKER` is removed. One without the
    marker is a trained model and is never overwritten.

    Args:
        recipe: Recipe of the run.
        data: Folders of captioned audio.
        run_folder: Folder of the run.
        init_from: Model or run folders whose components the stage builds on.

    Returns:
        Architecture of the run's model.

    Raises:
        ConfigError: The folder holds another run or another model.
    """
    model_folder = run_folder / "model"
    is_resumed = checkpoint.exists(run_folder)
    fingerprints = json.dumps([manifest_fingerprint(folder) for folder in data])
    if is_resumed:
        _check_same_run(recipe, fingerprints, run_folder)
    _write_text(run_folder / _RECIPE_FILE, recipe.model_dump_json(indent=1))
    _write_text(run_folder / _DATA_FILE, fingerprints)
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
    copy_components(init_from, model_folder)
    config = _initial_config(recipe, init_from)
    write_config(model_folder, config, recipe.model)
    return config


def _initial_config(recipe: Recipe, init_from: tuple[Path, ...]) -> ModelConfig:
    """Return the recipe's architecture, with values that belong to components of `init_from`."""
    config = get_model_spec(recipe.model).config
    for folder in map(find_model_folder, init_from):
        if (folder / "vae.safetensors").is_file():
            # The statistics of the latents were measured on this VAE.
            source = read_config(folder)[1]
            config = replace(config, latent_mean=source.latent_mean, latent_std=source.latent_std)
        if config.audiomae and (folder / "audiomae.safetensors").is_file():
            # A published AudioMAE has no decoder, so its shape differs from the registry's.
            config = replace(config, audiomae=read_config(folder)[1].audiomae)
    return config


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
    changes = {key: getattr(recipe, key) for key in _MAY_CHANGE}
    if before.model_copy(update=changes) != recipe:
        raise ConfigError(
            f"{run_folder} holds a run of another recipe; "
            f"choose another --output, or repeat the settings in {recipe_file}"
        )
    if data_file.is_file() and data_file.read_text(encoding="utf-8").strip() != fingerprints:
        raise ConfigError(
            f"{run_folder} holds a run on other data; "
            "choose another --output, or repeat its --data in the same order"
        )


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
