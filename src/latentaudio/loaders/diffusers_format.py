"""Folders in the layout of diffusers: `model_index.json` and one folder for each network.

The diffusers library is not needed. `diffusers_configs` has the content of the config.json files,
`key_rules` the names of tensors (numerics: published checkpoints: layouts and key names).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..config.architecture import ModelConfig
from ..errors import UsageError, WeightsError
from . import diffusers_configs as configs
from .components import COMPONENTS, component_names
from .tensor_files import PICKLED, Tensors, open_tensors

INDEX = "model_index.json"
SCHEDULER = "scheduler/scheduler_config.json"
UNET_CONFIG = "unet/config.json"
_WEIGHT_STEMS = ("model", "diffusion_pytorch_model", "pytorch_model")
"""Names of weight files without their endings."""
_OLD_ATTENTION_NAMES = {
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
}
"""Names of the VAE's attention layers before diffusers 0.18 -> names of today."""


def is_diffusers_folder(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return (folder / INDEX).is_file()


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file.

    Raises:
        WeightsError: It is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing; download the folder again") from None
    except ValueError:
        raise WeightsError(f"{path} is damaged; download it again") from None
    return content


def read_config(folder: Path) -> ModelConfig:
    """Return the dimensions of the system in a folder; numbers of heads are those of its JSON.

    Raises:
        WeightsError: A file is missing, damaged or of no AudioLDM.
    """
    try:
        return _read_config(folder)
    except KeyError as error:
        raise WeightsError(
            f"a config.json in {folder} has no {error}; download the folder again"
        ) from None
    except (TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(
            f"a config.json in {folder} has an impossible value ({error}); "
            f"download the folder again"
        ) from None


def _read_config(folder: Path) -> ModelConfig:
    index = read_json(folder / INDEX)

    def read_optional(name: str) -> dict[str, Any] | None:
        entry = index.get(name)
        if not isinstance(entry, list) or entry[-1] is None:
            return None
        return read_json(folder / name / "config.json")

    vocoder = read_json(folder / "vocoder" / "config.json")
    vae = read_json(folder / "vae" / "config.json")
    clap = read_optional("text_encoder")
    second = read_optional("text_encoder_2")
    projection = read_optional("projection_model")
    is_vits = second is not None and second.get("model_type") == "vits"
    t5 = None
    phonemes = None
    translator = None
    if second:
        if is_vits:
            phonemes = configs.read_phonemes(second, projection or {})
        else:
            t5 = configs.read_t5(second)
    if projection:
        language_model = read_json(folder / "language_model" / "config.json")
        translator = configs.read_translator(language_model, projection)
    return ModelConfig(
        mel=configs.read_mel(vocoder),
        vae=configs.read_vae(vae),
        unet=configs.read_unet(read_json(folder / UNET_CONFIG)),
        vocoder=configs.read_vocoder(vocoder),
        schedule=configs.read_schedule(read_json(folder / SCHEDULER)),
        clap=configs.read_clap(clap) if clap is not None else None,
        t5=t5,
        phonemes=phonemes,
        translator=translator,
        latent_std=(1 / vae.get("scaling_factor", configs.DEFAULT_SCALING_FACTOR),),
    )


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
    return merged


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


def check_exportable(config: ModelConfig) -> None:
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
        UsageError: The layout cannot hold the system (see `check_exportable`).
    """
    check_exportable(config)
    files = {SCHEDULER: configs.scheduler_config(config)}
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
