"""Shared by the golden outcomes: fingerprints of values, temporary files, tiny models, a test clip.

An outcome is a function without arguments that returns a `Value`. Its fingerprint survives renames:
it does not depend on names of tensors, tags or keys of this project (see `Nameless`), on paths, on
time, or on the outcomes that were computed before it.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from latentaudio import Audio
from latentaudio.conditioning.tokenizer import build_tokenizer
from latentaudio.config.architecture import ModelConfig
from latentaudio.config.registry import MODELS, ModelSpec
from latentaudio.loaders.components import build_component, component_names
from latentaudio.loaders.model_folder import TOKENIZER_FILE, save_component, write_config
from latentaudio.train.text_distillation import lexicon

RATE = 16000
VOCAB_SIZE = 1200  # of a tiny model's tokenizer
GOLDEN = Path(__file__).parent
ROOT = GOLDEN.parents[1]


@dataclass(frozen=True)
class Nameless:
    """Tensors whose names do not count: their fingerprints of dtype, shape and bytes are sorted."""

    tensors: tuple[Tensor, ...]


Value: TypeAlias = (
    "np.ndarray[Any, Any] | Tensor | str | bytes | bool | int | float | Nameless | "
    "Sequence[Value] | None"
)
Outcome: TypeAlias = Callable[[], Value]


def fingerprint(value: Value) -> str:
    """Return the SHA-256 of types, shapes and bytes of a value."""
    digest = hashlib.sha256()
    for chunk in _chunks(value):
        digest.update(len(chunk).to_bytes(8, "little") + chunk)
    return digest.hexdigest()


def _chunks(value: Value) -> Iterator[bytes]:
    match value:
        case Tensor():
            plain = value.detach().cpu().contiguous()
            raw = plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain
            yield f"{str(plain.dtype).removeprefix('torch.')} {tuple(plain.shape)}".encode()
            yield raw.numpy().tobytes()
        case np.ndarray():
            yield f"{value.dtype} {value.shape}".encode()
            yield np.ascontiguousarray(value).tobytes()
        case Nameless():
            yield from sorted(fingerprint(tensor).encode() for tensor in value.tensors)
        case bytes():
            yield value
        case str() | bool() | int() | None:
            yield f"{type(value).__name__} {value}".encode()
        case np.floating() | float():
            yield f"float {float(value).hex()}".encode()
        case np.integer():
            yield f"int {int(value)}".encode()
        case _:
            yield f"list {len(value)}".encode()
            for item in value:
                yield from _chunks(item)


def summary(value: Value) -> Any:
    """Return statistics of a value, of at most six items of a list, to compare with a tolerance."""
    match value:
        case Tensor() | np.ndarray():
            return _statistics(value)
        case Nameless():
            flat = [tensor.detach().double().flatten() for tensor in value.tensors]
            return {
                "tensors": len(flat),
                "numbers": sum(map(len, flat)),
                "sum": _rounded(sum(float(tensor.sum()) for tensor in flat)),
                "abs": _rounded(sum(float(tensor.abs().sum()) for tensor in flat)),
            }
        case bytes():
            return {"bytes": len(value)}
        case str():
            return value if len(value) <= 80 else f"{value[:76]} ... ({len(value)} letters)"
        case bool() | int() | None:
            return value
        case np.floating() | float():
            return _rounded(float(value))
        case np.integer():
            return int(value)
        case _:
            more = [f"and {len(value) - 6} more"] if len(value) > 6 else []
            return [*(summary(item) for item in value[:6]), *more]


def _statistics(value: Tensor | np.ndarray[Any, Any]) -> dict[str, Any]:
    dtype = str(value.dtype).removeprefix("torch.")
    if isinstance(value, Tensor):
        value = value.detach().cpu().double().numpy()
    array = np.asarray(value, np.float64)
    flat = array.reshape(-1)
    shape = {"shape": list(array.shape), "dtype": dtype}
    if not flat.size:
        return shape
    with np.errstate(invalid="ignore"):
        numbers = {"mean": flat.mean(), "std": flat.std(), "min": flat.min(), "max": flat.max()}
    rounded = {name: _rounded(float(number)) for name, number in numbers.items()}
    points = [float(flat[int(part * (flat.size - 1))]) for part in (0.1, 0.37, 0.5, 0.83)]
    return {**shape, **rounded, "at": [_rounded(point) for point in points]}


def _rounded(number: float) -> float | str:
    return float(f"{number:.6g}") if math.isfinite(number) else str(number)


@cache
def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="golden.")


def fresh(name: str) -> Path:
    """Return a new path; its parent exists, the path itself does not."""
    return Path(tempfile.mkdtemp(dir=temporary_folder().name), name)


def clip_values(clips: Sequence[Audio]) -> Value:
    """Return samples, sample rate, seed and ranking score of finished clips."""
    return [[clip.samples, clip.sample_rate, clip.seed, clip.score] for clip in clips]


def source_clip(
    seconds: float = 1.3, rate: int = RATE, seed: int = 0
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a sweep, a pulsed tone and noise, [1, N]."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t))
    sweep = 0.25 * np.sin(2 * np.pi * (300 + 200 * t) * t)
    pulses = 0.1 * np.sin(2 * np.pi * 1760 * t) * (np.sin(2 * np.pi * 3 * t) > 0)
    tone = sweep + pulses
    return np.asarray(tone + 0.02 * noise, np.float32)[None]


@torch.no_grad()
def fill_weights(module: nn.Module) -> nn.Module:
    """Set every parameter to weights of working size, and return the module.

    They depend on the shape and on the number of parameters of that shape before it, not on its
    name and not on the initialization.
    """
    counts: dict[tuple[int, ...], int] = {}
    for weight in module.parameters():
        shape = tuple(weight.shape)
        index = counts[shape] = counts.get(shape, -1) + 1
        if weight.ndim:
            seed = int.from_bytes(
                hashlib.sha256(f"{shape} {index}".encode()).digest()[:4], "little"
            )
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            if weight.ndim > 1:
                weight.copy_(noise * weight[0].numel() ** -0.5)
            else:
                weight.copy_((1.0 if bool((weight == 1).all()) else 0.0) + 0.1 * noise)
    return module


def write_tokenizer(path: Path) -> None:
    """Write the tokenizer of all tiny models: numbers, letters and the lexicon's first words."""
    build_tokenizer(lexicon.list_words()[:500], VOCAB_SIZE).save(str(path))


def write_tiny(folder: Path, config: ModelConfig, name: str) -> Path:
    """Write a model folder of a tiny system, `name` in the model table."""
    folder.mkdir(parents=True)
    write_config(folder, config, name, {"made": "for golden outcomes"})
    for component in component_names(config):
        module = fill_weights(build_component(component, config))
        save_component(folder, component, module.state_dict())
    write_tokenizer(folder / TOKENIZER_FILE)
    return folder


def states_in(folder: Path) -> Nameless:
    """Return all tensors of a folder's safetensors files, without names."""
    tensors: list[Tensor] = []
    for file in sorted(folder.glob("*.safetensors")):
        tensors += load_file(file).values()
    return Nameless(tuple(tensors))


def tensors_of(state: object) -> list[Tensor]:
    """Return all tensors in nested dicts and lists."""
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, Mapping):
        state = list(state.values())
    tensors: list[Tensor] = []
    if isinstance(state, list | tuple):
        for item in state:
            tensors += tensors_of(item)
    return tensors


@contextmanager
def in_model_table(spec: ModelSpec) -> Iterator[ModelSpec]:
    """Add a row to the model table inside the `with` block."""
    MODELS[spec.name] = spec
    try:
        yield spec
    finally:
        del MODELS[spec.name]
