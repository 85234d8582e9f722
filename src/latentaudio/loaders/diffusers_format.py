"""Folders in the layout of diffusers: `model_index.json` and one folder for each network.

The diffusers library is not needed. `diffusers_configs` has the content of the config.json files,
`key_rules` the names of tensors (numerics: published checkpoints: layouts and key names).
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from ..config.architecture import ModelConfig
from ..config.registry import MODELS, ModelSpec
from ..errors import UsageError, WeightsError
from . import diffusers_configs, transformers_configs
from .components import COMPONENTS, component_names
from .diffusers_settings import INDEX, SCHEDULER, UNET_CONFIG, read_config, read_json
from .layouts import LAYOUTS, ModelSource, Progress
from .tensor_files import PICKLED, Tensors, open_tensors
from .tokenizers import read_tokenizer, tokenizer_spec, write_json, write_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from ..conditioning.tokenizer import Tokenizer

LANGUAGE_MODEL_CONFIG = "language_model/config.json"
_WEIGHT_STEMS = ("model", "diffusion_pytorch_model", "pytorch_model")
"""Names of weight files without their endings."""
_OLD_ATTENTION_NAMES = {
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
}
"""Names of the VAE's attention layers before diffusers 0.18 -> names of today."""


def has_component(folder: Path, name: str) -> bool:
    """Return whether a folder contains the subfolders that hold a component."""
    folders = COMPONENTS[name].diffusers.folders
    return bool(folders) and all((folder / part.name).is_dir() for part in folders)


def open_component(folder: Path, name: str) -> Tensors:
    """Return the tensors of a component under the names of `key_rules`.

    Args:
        folder: The model's folder.
        name: The component.

    Raises:
        WeightsError: A folder or its weights are missing or damaged.
    """
    first, *others = COMPONENTS[name].diffusers.folders
    if not others:
        return open_component_folder(folder / first.name)
    merged: Tensors | None = None
    for part in (first, *others):
        tensors = open_component_folder(folder / part.name)
        tensors = tensors.drop(frozenset(key for key in tensors if not re.search(part.keys, key)))
        names = {key: f"{part.name}/{key.removeprefix(part.strip_prefix)}" for key in tensors}
        tensors = tensors.rename(names)
        merged = tensors if merged is None else merged.merge(tensors)
    assert merged is not None
    # names of tensors begin with their folder, so that errors name the right one
    return merged.with_source(folder)


def open_component_folder(folder: Path) -> Tensors:
    """Return the tensors of one component's folder, .safetensors before pickled files.

    Raises:
        WeightsError: The folder has no weights, or they are damaged.
    """
    for ending in (".safetensors", *PICKLED):
        for stem in _WEIGHT_STEMS:
            for file in (folder / f"{stem}{ending}", folder / f"{stem}{ending}.index.json"):
                if file.is_file():
                    return _update_old_names(open_tensors(file))
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return _update_old_names(open_tensors(files[0]))
    raise WeightsError(f"{folder} has no weights; download the model's folder again")


def _update_old_names(tensors: Tensors) -> Tensors:
    """Return the tensors with today's names of the VAE's attention layers."""
    changes = {}
    for name in tensors:
        words = name.split(".")
        if "mid_block" not in words or "attentions" not in words:
            continue
        if words[-2] in _OLD_ATTENTION_NAMES and words[-3] == "0":
            new = _OLD_ATTENTION_NAMES[words[-2]]
            changes[name] = ".".join([*words[:-2], new, words[-1]])
    return tensors.rename(changes) if changes else tensors


def check_storable(config: ModelConfig) -> None:
    """Check that the layouts of diffusers and of the authors can hold a system.

    Raises:
        UsageError: It has components or statistics that those layouts have no place for.
    """
    own = []
    for name in component_names(config):
        spec = COMPONENTS[name]
        if not spec.diffusers.folders and not spec.audioldm.prefixes:
            own.append(name)
    if own or config.vocoder.kind != "hifigan" or config.unet.merge_frequency_bins is not None:
        raise UsageError(
            "only latentaudio has networks of this kind; convert the model to --layout latentaudio"
        )
    if len(config.latent_std) > 1 or config.latent_mean != (0.0,):
        raise UsageError(
            "other layouts scale latents by one number, and this model has statistics for each "
            "channel; convert it to --layout latentaudio"
        )


def component_configs(config: ModelConfig) -> dict[str, dict[str, Any]]:
    """Return {file: content} of every JSON file but `model_index.json`.

    Raises:
        UsageError: The layout cannot hold the system (see `check_storable`).
    """
    check_storable(config)
    files = {SCHEDULER: diffusers_configs.scheduler_config(config)}
    for name in component_names(config):
        for part in COMPONENTS[name].diffusers.folders:
            files[f"{part.name}/config.json"] = part.write_config(config)
    return files


def model_index(config: ModelConfig) -> dict[str, Any]:
    """Return the content of `model_index.json`: the library and class of every component."""
    is_audioldm1 = config.unet.is_audioldm1
    index: dict[str, Any] = {
        "_class_name": "AudioLDMPipeline" if is_audioldm1 else "AudioLDM2Pipeline",
        "_diffusers_version": "0.20.0",
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    for name in component_names(config):
        spec = COMPONENTS[name]
        for part in spec.diffusers.folders:
            class_name = part.class_name
            if is_audioldm1 and part.audioldm1_class_name:
                class_name = part.audioldm1_class_name
            index[part.name] = [part.library, class_name]
        if spec.tokenizer is not None:
            index[spec.tokenizer.folder] = ["transformers", spec.tokenizer.class_name]
    if not is_audioldm1:
        index["feature_extractor"] = ["transformers", "ClapFeatureExtractor"]
    return index


# The functions of `layouts.LayoutFile`.


def detect(path: Path) -> bool:
    """Return whether a folder has this layout."""
    return (path / INDEX).is_file()


def identify(name: str, path: Path, architecture: ModelSpec | None) -> ModelSource:
    """Return the model of a folder.

    Args:
        name: The model as the user named it.
        path: The folder.
        architecture: The published model that it must be; None: it is found by its shapes.

    Raises:
        UsageError: The folder has other shapes than that model.
        WeightsError: A file is missing, damaged or of no AudioLDM.
    """
    config = read_config(path)
    if architecture is not None and not _has_unet_of(architecture, config):
        raise UsageError(
            f"{path} does not have the shapes of {architecture.name}; leave out architecture= "
            f"(--architecture)"
        )
    spec = architecture or MODELS.get(name) or _find_spec(name, path, config)
    if spec is None:
        spec = ModelSpec(path.name, "a diffusers folder", "unknown", config)
    return ModelSource(name, path, replace(spec, config=config), {}, "diffusers")


def _find_spec(name: str, folder: Path, config: ModelConfig) -> ModelSpec | None:
    """Return the published model of a folder's shapes, by hub id, by folder name, or the first."""
    matching = [spec for spec in MODELS.values() if _has_unet_of(spec, config)]
    for spec in matching:
        if spec.hub_id and spec.hub_id == name:
            return spec
    for spec in matching:  # a clone of a repository has its name
        if spec.hub_id and spec.hub_id.split("/")[1] == folder.name:
            return spec
    return next((spec for spec in matching if spec.is_published), None)


def _has_unet_of(spec: ModelSpec, config: ModelConfig) -> bool:
    """Return whether a config has the UNet of a model, apart from its numbers of heads."""
    # vars() and not replace(), which validates and fails if the numbers of levels differ
    return {**vars(spec.config.unet), "num_heads": config.unet.num_heads} == vars(config.unet)


def open_model_component(model: ModelSource, name: str) -> Tensors:
    """Return the tensors of one component of a folder."""
    return open_component(model.path, name)


def open_part(path: Path, name: str, use_ema: bool) -> Tensors | None:
    """Return a component's tensors from a model's folder or from its own; None: it is no folder."""
    if not path.is_dir() or (path / "model.json").is_file():
        return None
    if has_component(path, name):
        return open_component(path, name)
    return open_component_folder(path)


def open_tokenizer(path: Path, name: str, config: ModelConfig) -> Tokenizer:
    """Return the tokenizer of a component's own folder."""
    spec = tokenizer_spec(name)
    return read_tokenizer(path / spec.folder, spec.max_length(config))


def missing_parts(config: ModelConfig) -> tuple[str, ...]:
    """Return nothing: a folder of this layout is complete."""
    return ()


def write(model: ModelSource, target: Path, progress: Progress | None) -> None:
    """Fill an empty folder with a model.

    Args:
        model: The model.
        target: The folder.
        progress: Called after every component.

    Raises:
        UsageError: The layout cannot hold the model.
    """
    config = model.config
    source = model.path if model.layout == "diffusers" else None
    index = model_index(config)
    for file, content in component_configs(config).items():
        if source is not None:
            _keep_source_choices(source, file, content, index)
        write_json(target / file, content)
    if source is not None:
        shutil.copyfile(source / SCHEDULER, target / SCHEDULER)
    write_json(target / INDEX, index)
    _write_tensors(model, target, progress)
    for name in component_names(config):
        write_tokenizer(model, name, target)
    if config.clap is not None:
        front_end = transformers_configs.feature_extractor_config(config)
        write_json(target / "feature_extractor/preprocessor_config.json", front_end)


def _keep_source_choices(
    source: Path, file: str, content: dict[str, Any], index: dict[str, Any]
) -> None:
    """Take over from a source in the same layout what our dimensions do not contain.

    Args:
        source: The source's folder.
        file: A configuration file.
        content: Its new content, which is changed.
        index: The new `model_index.json`, which is changed.
    """
    if not (source / file).is_file():
        return
    stored = read_json(source / file)
    if file == UNET_CONFIG:  # the default duration
        content["sample_size"] = stored.get("sample_size", content["sample_size"])
    if file == LANGUAGE_MODEL_CONFIG:
        # of two classes with the same weights, versions of diffusers need one or the other
        stored_index = read_json(source / INDEX)
        index["language_model"] = stored_index.get("language_model", index["language_model"])
        content["architectures"] = stored.get("architectures") or content["architectures"]


def _write_tensors(model: ModelSource, target: Path, progress: Progress | None) -> None:
    """Write the weights of all folders; a folder can hold tensors of two components."""
    tensors: dict[str, dict[str, Tensor]] = {}
    stems: dict[str, str] = {}
    for name, state in model.stored_states(progress):
        spec = COMPONENTS[name]
        folders = spec.diffusers.folders
        if not folders:
            continue
        stems.update({part.name: part.file_stem for part in folders})
        renamed = LAYOUTS["diffusers"].to_foreign(spec, state, model.config)
        for key, value in renamed.items():
            subfolder, _, inner = key.rpartition("/")
            tensors.setdefault(subfolder or folders[0].name, {})[inner] = value
    for subfolder, state in tensors.items():
        path = target / subfolder / f"{stems[subfolder]}.safetensors"
        path.parent.mkdir(exist_ok=True)
        contiguous = {key: value.contiguous() for key, value in state.items()}
        save_file(contiguous, path, {"format": "pt"})
        path.chmod(0o644)
