"""Model folders: `model.json`, one `<component>.safetensors` each, and the tokenizer.

`model.json` has the dimensions of the components and the card. With `"base": "mini"`, it takes the
components and tokenizers that it lacks from the folder `mini` beside it.

Files are written atomically. Pickles are never read here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ..conditioning.tokenizer import Tokenizer
from ..config.architecture import ModelConfig
from ..config.parsing import parse_json, read_bounded
from ..config.registry import MODELS, ModelSpec
from ..errors import ConfigError, DataError, UsageError, WeightsError, first_line
from ..fileio import atomic_write
from .components import build_on_meta
from .key_mapping import TensorRef, current_key
from .layouts import ModelSource, Progress
from .state_dict import load_state_into
from .tensor_files import Tensors, open_tensors
from .tokenizers import (
    TOKENIZER_FILE as TOKENIZER_FILE,
)
from .tokenizers import (
    text_tokenizer_names,
    tokenizer_spec,
    untruncated_tokenizer,
)

MODEL_FILE = "model.json"
BASE_KEY = "base"
"""Key of `model.json`: the folder beside this one that has the components which this one lacks."""
ROW_SCALE_SUFFIX = ".scale_of_rows"
"""Ending of the name of a tensor that holds the scales of an 8-bit matrix, one for each row."""
_INT8_MAX = 127
_MIN_ROW_PEAK = 1e-12
"""Smallest peak of a row, so that a row of zeros has a scale."""


def save_component(
    folder: Path,
    name: str,
    state: Mapping[str, Tensor],
    dtype: torch.dtype | None = None,
    int8_keys: Collection[str] = (),
) -> None:
    """Write one component's state to a model folder.

    Tensors that share memory are written once, under their first name.

    Args:
        folder: The model folder.
        name: The component.
        state: Its state dict.
        dtype: Type to store floating-point tensors as; None: their own.
        int8_keys: Names of matrices [N, D] to store as 8-bit integers, with a scale for each row.

    Raises:
        DataError: The file cannot be written.
    """
    own = _without_shared(state)
    stored = {}
    for key, value in own.items():
        if dtype is not None and value.is_floating_point():
            value = value.to(dtype)
        stored[key] = value.detach().cpu().contiguous()
    for key in own.keys() & set(int8_keys):
        peak = own[key].abs().amax(dim=1, keepdim=True).clamp(min=_MIN_ROW_PEAK)
        scale = peak / _INT8_MAX
        stored[key] = (own[key] / scale).round().to(torch.int8).cpu()
        stored[key + ROW_SCALE_SUFFIX] = scale.cpu()
    path = folder / f"{name}.safetensors"
    with atomic_write(path) as temporary:
        try:
            save_file(stored, temporary)
        except SafetensorError as error:  # raised for a full disk, too
            raise DataError(f"cannot write {path} ({error}); free some space and repeat") from None
        # safetensors lets only the owner read its files
        temporary.chmod(0o644)


def _without_shared(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state without second names of the same memory, which safetensors cannot store."""
    first_names: dict[Any, str] = {}
    own = {}
    for key, value in state.items():
        identity = (value.data_ptr(), value.shape, value.stride())
        if not value.numel() or first_names.setdefault(identity, key) == key:
            own[key] = value
    return own


_REMEDIES = {
    "audiomae": "AudioLDM 2 is trained with an AudioMAE: name the authors' file, which holds one, "
    "with --init-from, or the AudioMAE of a file beside the model, as in FILE:audiomae"
}
"""What to do without a component, where the usual advice does not suffice."""


def load_component(
    folder: Path, name: str, config: ModelConfig, dtype: torch.dtype | None = torch.float32
) -> nn.Module:
    """Return a component with the weights of a model folder, in evaluation mode.

    Args:
        folder: The model folder.
        name: The component.
        config: The system's dimensions.
        dtype: Type of floating-point tensors; None: as they are stored.

    Raises:
        WeightsError: The file is missing, damaged or has other names or shapes.
    """
    tensors = _open_component(folder, name)
    module = build_on_meta(name, config)
    refs = {key: TensorRef((key,)) for key in module.state_dict()}
    label = f"{tensors.source} (shapes from {MODEL_FILE})"
    return load_state_into(module, tensors, refs, dtype, label)


def component_file(folder: Path, name: str) -> Path:
    """Return the file of a component: of the folder itself, or of its base.

    Args:
        folder: The model folder.
        name: The component.

    Raises:
        WeightsError: `model.json` names a base that is not there, or cannot be read.
    """
    own = folder / f"{name}.safetensors"
    base = None if own.is_file() else base_folder(folder)
    return own if base is None else base / own.name


def base_folder(folder: Path) -> Path | None:
    """Return the folder of the components that a model folder lacks; None: it states none.

    A base has no base of its own.

    Raises:
        WeightsError: `model.json` names a base that is not there, or cannot be read.
    """
    path = folder / MODEL_FILE
    if not path.is_file():
        return None
    try:
        base = parse_json(read_bounded(path)).get(BASE_KEY)
    except (ValueError, AttributeError) as error:
        raise _unreadable(path, error) from None
    if base is None:
        return None
    place = folder.resolve().parent / str(base)
    # A name alone, so that a model reads nothing outside of the folder that holds it.
    is_name = isinstance(base, str) and base not in ("", "..") and base == Path(base).name
    if not is_name or not (place / MODEL_FILE).is_file():
        raise WeightsError(
            f"{path} takes components from the model folder {base!r} beside its own, which is not "
            "there; get that folder, too"
        )
    return place


def _unreadable(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"{path} cannot be read ({first_line(error)}); download or copy the folder again"
    )


def _open_component(folder: Path, name: str) -> Tensors:
    path = component_file(folder, name)
    if not path.is_file():
        remedy = _REMEDIES.get(name, f"train {name} first or name a folder that has it")
        raise WeightsError(f"{folder} has no {path.name}; {remedy}")
    return open_component_file(path)


def open_component_file(path: Path) -> Tensors:
    """Return a file's tensors; 8-bit matrices are multiplied by their scales."""
    tensors = open_tensors(path)
    tensors = tensors.rename({name: current_key(name) for name in tensors})
    quantized = []
    for name in tensors:
        if name.endswith(ROW_SCALE_SUFFIX):
            quantized.append(name.removesuffix(ROW_SCALE_SUFFIX))
    if not quantized:
        return tensors
    state = {name: tensors[name] * tensors[name + ROW_SCALE_SUFFIX] for name in quantized}
    restored = Tensors({name: (state, name) for name in state}, path, tensors.files)
    scales = frozenset(name + ROW_SCALE_SUFFIX for name in quantized)
    return tensors.drop(scales).merge(restored)


def write_config(
    folder: Path,
    config: ModelConfig,
    name: str,
    card: Mapping[str, Any] | None = None,
    base: str | None = None,
) -> None:
    """Write `model.json`.

    Args:
        folder: The model folder.
        config: The system's dimensions.
        name: The model's name.
        card: How the weights were made.
        base: Name of the folder beside this one that has the components which this one lacks.
    """
    content = {"name": name, "config": asdict(config), "card": dict(card or {})}
    if base is not None:
        content[BASE_KEY] = base
    with atomic_write(folder / MODEL_FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_config(folder: Path) -> tuple[str, ModelConfig, dict[str, Any]]:
    """Return the name, dimensions and card of a model folder.

    Raises:
        WeightsError: `model.json` is missing or damaged.
    """
    path = folder / MODEL_FILE
    try:
        content = parse_json(read_bounded(path))
        config = TypeAdapter(ModelConfig).validate_python(content["config"])
        _reject_unknown_fields(content["config"], asdict(config))
        if not isinstance(content["name"], str):
            raise ValueError("name is not a text")
        return content["name"], config, content["card"]
    except FileNotFoundError:
        raise WeightsError(
            f"{folder} has no {MODEL_FILE}, so it is not a model folder; name another folder"
        ) from None
    except (ValueError, KeyError, TypeError, ValidationError, ConfigError) as error:
        raise _unreadable(path, error) from None


def _reject_unknown_fields(content: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise ValueError for a field that would be ignored, with its default taken instead."""
    for name, value in content.items():
        if name not in known:
            raise ValueError(f"unknown field {name!r}")
        if isinstance(value, Mapping) and isinstance(known[name], Mapping):
            _reject_unknown_fields(value, known[name])


def find_model_folder(path: Path) -> Path:
    """Return the folder that holds `model.json`: `path`, or the `model` folder of a run folder."""
    inner = path / "model"
    return inner if (inner / MODEL_FILE).is_file() else path


# The functions of `layouts.LayoutFile`.


def detect(path: Path) -> bool:
    """Return whether a folder, or the `model` folder inside of it, has `model.json`."""
    return (find_model_folder(path) / MODEL_FILE).is_file()


def identify(name: str, path: Path, architecture: ModelSpec | None) -> ModelSource:
    """Return the model of a folder.

    Args:
        name: The model as the user named it.
        path: The folder.
        architecture: Must be None, because the folder states its shapes.

    Raises:
        UsageError: An architecture is named.
        WeightsError: The folder is not a model.
    """
    if architecture is not None:
        raise UsageError(
            f"{path} has its own {MODEL_FILE}; leave out architecture= (--architecture)"
        )
    folder = find_model_folder(path)
    if not (folder / MODEL_FILE).is_file():
        raise WeightsError(
            f"{folder} has neither {MODEL_FILE} nor model_index.json, so it is not a model; "
            f"name another folder"
        )
    model_name, config, card = read_config(folder)
    spec = MODELS.get(model_name)
    if spec is None:
        description = str(card.get("description", ""))
        license_name = str(card.get("license", "unknown"))
        spec = ModelSpec(model_name, description, license_name, config)
    return ModelSource(name, folder, replace(spec, config=config), card)


def open_model_component(model: ModelSource, name: str) -> Tensors:
    """Return the tensors of one component of a model folder."""
    return _open_component(model.path, name)


def open_part(path: Path, name: str, use_ema: bool) -> Tensors | None:
    """Return a component's tensors from a model folder; None: the path is none."""
    return _open_component(find_model_folder(path), name) if detect(path) else None


def open_tokenizer(path: Path, name: str, config: ModelConfig) -> Tokenizer:
    """Return a component's own tokenizer, or the one for all components."""
    max_length = tokenizer_spec(name).max_length(config)
    return Tokenizer.from_file(tokenizer_path(path, name), max_length)


def tokenizer_path(folder: Path, name: str) -> Path:
    """Return the file of a component's own tokenizer, or of the one for all components.

    A component of the base has a tokenizer of the base.
    """
    base = None if (folder / f"{name}.safetensors").is_file() else base_folder(folder)
    for place in (folder,) if base is None else (base, folder):
        for file_name in (f"{name}.{TOKENIZER_FILE}", TOKENIZER_FILE):
            if (place / file_name).is_file():
                return place / file_name
    return folder / TOKENIZER_FILE


def check_storable(config: ModelConfig) -> None:
    """Accept every model."""


def missing_parts(config: ModelConfig) -> tuple[str, ...]:
    """Return nothing: a folder of this layout is complete."""
    return ()


def write(model: ModelSource, target: Path, progress: Progress | None) -> None:
    """Fill an empty folder with a model.

    Args:
        model: The model.
        target: The folder.
        progress: Called after every component.
    """
    card = {
        "description": model.spec.description,
        "license": model.spec.license,
        "converted": f"from {Path(model.name).name}",
    }
    write_config(target, model.config, model.spec.name, card)
    for name, state in model.stored_states(progress):
        save_component(target, name, state)
    for name in text_tokenizer_names(model.config):
        untruncated_tokenizer(model, name).save(str(target / f"{name}.{TOKENIZER_FILE}"))
