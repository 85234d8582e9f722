"""Files of adapters, read and written: .safetensors that diffusers, peft and ComfyUI read.

Names of tensors are `unet.<layer>.lora_A.weight` and `lora_B.weight`, DoRA's
`lora_magnitude_vector`. Layers have diffusers' names where diffusers has the network, and our own
otherwise. The factor alpha / rank is inside of B, so that programs that do not read metadata
compute the same. Pickles are never opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..config.architecture import ModelConfig
from ..config.parsing import parse_json, read_bounded
from ..errors import DataError, UsageError, WeightsError, first_line
from ..fileio import atomic_write, sha256_of_file
from ..models.low_rank import LowRankUpdate
from .adapters import ADAPTABLE, Adapter, AdapterCard, Updates
from .components import COMPONENTS, build_on_meta
from .diffusers_format import check_storable
from .hub import fetch
from .layouts import LAYOUTS
from .tensor_files import PICKLED, Tensors, open_tensors

ADAPTER_FILE = "adapter.safetensors"
"""File of an adapter in the folder of a run."""
FILE_NAMES = (ADAPTER_FILE, "pytorch_lora_weights.safetensors", "adapter_model.safetensors")
"""Files that a folder of an adapter can have: ours, diffusers', peft's."""
_PEFT_CONFIG = "adapter_config.json"
_DIFFUSERS_METADATA = "lora_adapter_metadata"
"""Key of the metadata that diffusers writes and reads."""
_CARD_METADATA = "latentaudio_adapter"
"""Key of the metadata with our card."""
_FORMAT_VERSION = 1
_MAX_BYTES = 2**32
_MAX_TENSORS = 20_000
_MAX_LISTED = 3
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(?<!\.safetensors)")

_PARTS: tuple[tuple[str, str], ...] = (
    (r"\.lora_A(\.default)?\.weight$", "down"),
    (r"\.lora_B(\.default)?\.weight$", "up"),
    (r"\.lora[._]down\.weight$", "down"),
    (r"\.lora[._]up\.weight$", "up"),
    (r"\.lora_magnitude_vector(\.default)?(\.weight)?$", "magnitude"),
    (r"\.dora_scale$", "magnitude"),
    (r"\.alpha$", "alpha"),
)
"""Endings of tensor names in files of peft, diffusers, kohya's scripts and ComfyUI."""
_PREFIXES = ("base_model.model.", "diffusion_model.", "unet.", "")
"""What may stand before the name of a layer."""


@dataclass(frozen=True)
class _Layer:
    """A layer that an adapter can change.

    Attributes:
        component: Its component.
        weight: Name of its weight.
        shape: Shape [D', D, ...] of the weight, as an update has it.
        trailing: Axes of size 1 that a foreign file has behind them.
    """

    component: str
    weight: str
    shape: tuple[int, ...]
    trailing: int = 0


def find_adapter_file(place: str | Path) -> Path:
    """Return the file of an adapter; one of the hub is downloaded.

    Args:
        place: The file, the folder of a run or of another program, or a hub id.

    Raises:
        WeightsError: There is no such file, or it is a pickle.
    """
    path = Path(place).expanduser()
    if not path.exists() and _HUB_ID.fullmatch(str(place)):
        path = fetch(str(place), ["*.safetensors", "*.json"])
    if path.is_dir():
        for name in FILE_NAMES:
            if (path / name).is_file():
                return path / name
        raise WeightsError(
            f"{path} has no {ADAPTER_FILE}, so it is no adapter; name the folder of a run of "
            "latentaudio finetune, or a .safetensors file"
        )
    if not path.is_file():
        raise WeightsError(f"there is no adapter {path}; name its file or folder")
    if path.suffix in PICKLED:
        raise WeightsError(
            f"{path} can contain code and was not opened; use a .safetensors file of the adapter"
        )
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path} is no adapter; name a .safetensors file or its folder")
    return path


def read_adapter(path: str | Path, config: ModelConfig) -> Adapter:
    """Read an adapter of a model; nothing is read before all shapes are checked.

    Args:
        path: File or folder.
        config: Architecture of the model.

    Raises:
        WeightsError: The file is missing, damaged, too large, or of another model.
    """
    file = find_adapter_file(path)
    if file.stat().st_size > _MAX_BYTES:
        raise WeightsError(
            f"{file} has {file.stat().st_size / 2**30:.1f} GB, which no adapter has; "
            "name the file of an adapter"
        )
    tensors = open_tensors(file)
    if len(tensors) > _MAX_TENSORS:
        raise WeightsError(
            f"{file} has {len(tensors)} tensors, which no adapter has; name the file of an adapter"
        )
    layers = _layers(config)
    parts = _sort_tensors(file, tensors, layers)
    metadata = _metadata(file)
    alpha = _read_alpha(file, metadata)
    updates: dict[str, dict[str, LowRankUpdate]] = {}
    for name, own in parts.items():
        layer = layers[name]
        update = _read_update(file, tensors, name, own, layer, alpha)
        updates.setdefault(layer.component, {})[layer.weight] = update
    return Adapter(str(path), updates, _read_card(file, metadata, updates), sha256_of_file(file))


def write_adapter(path: Path, updates: Updates, card: AdapterCard, config: ModelConfig) -> None:
    """Write an adapter's file.

    Args:
        path: The file.
        updates: Its updates.
        card: How it was made.
        config: Architecture of the base model.

    Raises:
        DataError: The file cannot be written.
    """
    names = {(layer.component, layer.weight): name for name, layer in _written(config).items()}
    layers = _written(config)
    state: dict[str, Tensor] = {}
    for component, own in updates.items():
        for weight, update in own.items():
            name = names[component, weight]
            ones = (1,) * layers[name].trailing
            up = update.up.float() * update.scale
            state[f"{name}.lora_A.weight"] = update.down.reshape(*update.down.shape, *ones)
            kernel_axes = len(layers[name].shape) - 2 + len(ones)
            state[f"{name}.lora_B.weight"] = up.reshape(*up.shape, *[1] * kernel_axes)
            if update.magnitude is not None:
                length = update.magnitude.float()
                shape = (1, -1, *[1] * kernel_axes) if kernel_axes else (-1,)
                state[f"{name}.lora_magnitude_vector"] = length.reshape(shape)
    metadata = {
        "format": "pt",
        _DIFFUSERS_METADATA: json.dumps(_diffusers_config(state), indent=2, sort_keys=True),
        _CARD_METADATA: json.dumps({"format_version": _FORMAT_VERSION, **asdict(card)}),
    }
    contiguous = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with atomic_write(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata)
        except SafetensorError as error:
            raise DataError(f"cannot write {path} ({error}); free some space and repeat") from None
        temporary.chmod(0o644)


def _diffusers_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration as diffusers stores it: peft's LoraConfig under the component's prefix."""
    ranks: dict[str, dict[str, int]] = {}
    for key, value in state.items():
        if key.endswith(".lora_A.weight"):
            component, _, layer = key.removesuffix(".lora_A.weight").partition(".")
            ranks.setdefault(component, {})[layer] = len(value)
    has_magnitudes = any(key.endswith(".lora_magnitude_vector") for key in state)
    content: dict[str, Any] = {}
    for component, layers in ranks.items():
        rank = max(layers.values())
        other = {layer: own for layer, own in layers.items() if own != rank}
        values = {
            "peft_type": "LORA",
            "r": rank,
            "lora_alpha": rank,
            "target_modules": sorted(layers),
            "rank_pattern": other,
            "alpha_pattern": other,
            "use_dora": has_magnitudes,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": False,
        }
        content |= {f"{component}.{key}": value for key, value in values.items()}
    return content


def _layers(config: ModelConfig) -> dict[str, _Layer]:
    """Every layer that can be changed, by all names that a file can have for it."""
    layers: dict[str, _Layer] = {}
    for layout in ("diffusers", "latentaudio"):
        layers |= _named_layers(config, layout)
    return layers


def _written(config: ModelConfig) -> dict[str, _Layer]:
    """Every layer that can be changed, by the name that we write."""
    return _named_layers(config, "diffusers" if has_diffusers_names(config) else "latentaudio")


def has_diffusers_names(config: ModelConfig) -> bool:
    """Return whether diffusers has the networks of a model.

    Args:
        config: Architecture of the model.
    """
    try:
        check_storable(config)
    except UsageError:
        return False
    return True


def _named_layers(config: ModelConfig, layout: str) -> dict[str, _Layer]:
    layers: dict[str, _Layer] = {}
    if layout == "diffusers" and not has_diffusers_names(config):
        return layers
    for component in ADAPTABLE:
        spec = COMPONENTS[component]
        if not spec.is_present(config):
            continue
        module = build_on_meta(component, config)
        weights = {
            name: value
            for name, value in module.state_dict().items()
            if name.endswith(".weight") and value.ndim > 1
        }
        refs = LAYOUTS[layout].tensor_refs(spec, config, weights)
        for name, value in weights.items():
            ref = refs[name]
            if ref.kind not in ("same", "conv2d", "conv1d"):
                continue
            layer_name = ref.names[0].replace("/", ".").removesuffix(".weight")
            is_own_folder = layout == "diffusers" and "/" in ref.names[0]
            prefix = "" if is_own_folder else f"{component}."
            owner = module.get_submodule(name.rpartition(".")[0])
            shape = tuple(value.shape)
            if type(owner).__name__ == "Conv1D":
                shape = shape[::-1]
            trailing = {"conv2d": 2, "conv1d": 1}.get(ref.kind, 0)
            layers[prefix + layer_name] = _Layer(component, name, shape, trailing)
    return layers


def _sort_tensors(
    file: Path, tensors: Tensors, layers: Mapping[str, _Layer]
) -> dict[str, dict[str, str]]:
    """Return {layer: {part: tensor}} of a file; raise WeightsError for other tensors."""
    parts: dict[str, dict[str, str]] = {}
    unknown = []
    for tensor in tensors:
        place = _find_place(tensor, layers)
        if place is None:
            unknown.append(tensor)
        else:
            name, part = place
            parts.setdefault(name, {})[part] = tensor
    if unknown:
        raise WeightsError(
            f"{file} is no adapter of this model; the model has no place for "
            f"{', '.join(unknown[:_MAX_LISTED])} and {max(0, len(unknown) - _MAX_LISTED)} more; "
            "load the model that it was trained on"
        )
    if not parts:
        raise WeightsError(f"{file} has no tensors; name the file of an adapter")
    return parts


def _find_place(tensor: str, layers: Mapping[str, _Layer]) -> tuple[str, str] | None:
    """Return the layer of a tensor and what the tensor is for it; None for other tensors."""
    for pattern, part in _PARTS:
        match = re.search(pattern, tensor)
        if match:
            name = _layer_name(tensor[: match.start()], layers)
            return None if name is None else (name, part)
    return None


def _layer_name(text: str, layers: Mapping[str, _Layer]) -> str | None:
    for prefix in _PREFIXES:
        if text.startswith(prefix):
            inner = text.removeprefix(prefix)
            for name in (inner, f"unet.{inner}"):
                if name in layers:
                    return name
    return None


def _read_update(
    file: Path,
    tensors: Tensors,
    name: str,
    parts: Mapping[str, str],
    layer: _Layer,
    alpha: float | None,
) -> LowRankUpdate:
    """Return one update, whose shapes are checked before anything is read."""
    if "down" not in parts or "up" not in parts:
        raise WeightsError(f"{file} lacks a matrix of {name}; the file is damaged, copy it again")
    down_shape = _without_ones(tensors.shape(parts["down"]), len(layer.shape))
    up_shape = _without_ones(tensors.shape(parts["up"]), 2)
    rank = down_shape[0] if down_shape else 0
    if down_shape != (rank, *layer.shape[1:]) or up_shape != (layer.shape[0], rank) or not rank:
        raise WeightsError(
            f"{file}: {name} is {list(tensors.shape(parts['up']))} by "
            f"{list(tensors.shape(parts['down']))} for a weight of {list(layer.shape)}; "
            "the adapter is of another model, load that one"
        )
    magnitude = None
    if "magnitude" in parts:
        magnitude = tensors[parts["magnitude"]].float().flatten()
        if len(magnitude) != layer.shape[0]:
            raise WeightsError(
                f"{file}: {parts['magnitude']} has {len(magnitude)} values for "
                f"{layer.shape[0]} rows; the adapter is of another model, load that one"
            )
    scale = 1.0 if alpha is None else alpha / rank
    if "alpha" in parts:
        scale = float(tensors[parts["alpha"]]) / rank
    down = tensors[parts["down"]].float().reshape(down_shape).clone()
    up = tensors[parts["up"]].float().reshape(up_shape).clone()
    finite = [down, up] if magnitude is None else [down, up, magnitude]
    if not all(bool(torch.isfinite(value).all()) for value in finite):
        raise WeightsError(f"{file}: {name} has values that are not finite; train it again")
    return LowRankUpdate(down, up, scale, magnitude)


def _without_ones(shape: tuple[int, ...], num_axes: int) -> tuple[int, ...]:
    """A shape without trailing axes of size 1 beyond `num_axes`."""
    while len(shape) > num_axes and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _metadata(file: Path) -> dict[str, str]:
    try:
        with safe_open(file, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file} is damaged ({first_line(error)}); copy it again") from None


def _read_alpha(file: Path, metadata: Mapping[str, str]) -> float | None:
    """Return alpha of the training; None: the factor alpha / rank is 1.

    diffusers writes peft's configuration into the metadata, peft into a file beside.
    """
    config_file = file.with_name(_PEFT_CONFIG)
    try:
        if _DIFFUSERS_METADATA in metadata:
            config = parse_json(metadata[_DIFFUSERS_METADATA])
            config = {key.rpartition(".")[2]: value for key, value in config.items()}
        elif config_file.is_file() and file.name == FILE_NAMES[2]:
            config = parse_json(read_bounded(config_file))
        else:
            return None
        if config.get("use_rslora") or config.get("peft_type", "LORA") != "LORA":
            raise WeightsError(
                f"{file} is an adapter of a kind that is not supported; use LoRA or DoRA"
            )
        own_alphas = config.get("alpha_pattern") or {}
        has_same_scale = own_alphas == (config.get("rank_pattern") or {})
        if own_alphas and not has_same_scale:
            raise WeightsError(
                f"{file} has alphas for single layers in its metadata, which are not supported; "
                "write them as tensors that end in .alpha"
            )
        alpha = float(config["lora_alpha"])
        rank = float(config["r"])
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise WeightsError(
            f"the configuration of {file} is damaged ({first_line(error)}); copy it again"
        ) from None
    return None if alpha == rank and has_same_scale else alpha


def _read_card(file: Path, metadata: Mapping[str, str], updates: Updates) -> AdapterCard:
    text = metadata.get(_CARD_METADATA)
    if text is None:
        first = next(iter(next(iter(updates.values())).values()))
        method = "lora" if first.magnitude is None else "dora"
        return AdapterCard(method, len(first.down), len(first.down) * first.scale)
    try:
        content = parse_json(text)
        version = content.pop("format_version")
        if version != _FORMAT_VERSION:
            raise ValueError(f"format {version!r}, not {_FORMAT_VERSION}")
        return TypeAdapter(AdapterCard).validate_python(content)
    except (ValueError, TypeError, KeyError, AttributeError, ValidationError) as error:
        raise WeightsError(
            f"the metadata of {file} cannot be read ({first_line(error)}); "
            "copy it again or update latentaudio"
        ) from None
