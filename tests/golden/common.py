"""What the golden outcomes share: values and their fingerprints, a place for files, tiny models, a sound to work on.

Every outcome is a function without arguments that gives a `Value`. Its fingerprint must survive a redesign that renames and
moves: it never depends on names of tensors, tags or keys that are this project's own (see `Nameless`), on places of files, on
time, and on which outcomes were computed before it.
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
from latentaudio.conditioning.tokenizer import build as build_tokenizer
from latentaudio.config.architecture import ModelConfig
from latentaudio.train.text_distillation import lexicon
from latentaudio.config.registry import VARIANTS, Variant
from latentaudio.loaders.model_folder import TOKENIZER_FILE, build, parts_of, save_part, write_config

RATE = 16000
WORDS = 1200  # of a tiny model's tokenizer
GOLDEN = Path(__file__).parent
ROOT = GOLDEN.parents[1]


@dataclass(frozen=True)
class Nameless:
    """Tensors whose names do not count: the fingerprint is that of the sorted fingerprints of dtype, shape and bytes."""

    tensors: tuple[Tensor, ...]


Value: TypeAlias = "np.ndarray[Any, Any] | Tensor | str | bytes | bool | int | float | Nameless | Sequence[Value] | None"
Outcome: TypeAlias = Callable[[], Value]


def fingerprint(value: Value) -> str:
    """SHA-256 of kinds, shapes and bytes of a value, to the last bit."""
    seal = hashlib.sha256()
    for piece in _pieces(value):
        seal.update(len(piece).to_bytes(8, "little") + piece)
    return seal.hexdigest()


def _pieces(value: Value) -> Iterator[bytes]:
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
            for one in value:
                yield from _pieces(one)


def summary(value: Value) -> Any:
    """Numbers to compare with a tolerance where a machine computes otherwise: of at most six parts of a list."""
    match value:
        case Tensor() | np.ndarray():
            return _statistics(value)
        case Nameless():
            flat = [tensor.detach().double().flatten() for tensor in value.tensors]
            whole = {"tensors": len(flat), "numbers": sum(len(one) for one in flat)}
            sums = {"sum": sum(float(one.sum()) for one in flat), "abs": sum(float(one.abs().sum()) for one in flat)}
            return {**whole, **{name: _rounded(number) for name, number in sums.items()}}
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
            return [*(summary(one) for one in value[:6]), *more]


def _statistics(value: Tensor | np.ndarray[Any, Any]) -> dict[str, Any]:
    kind = str(value.dtype).removeprefix("torch.")
    plain = value.detach().cpu().double().numpy() if isinstance(value, Tensor) else np.asarray(value, np.float64)
    flat = plain.reshape(-1)
    known = {"shape": list(plain.shape), "dtype": kind}
    if not flat.size:
        return known
    with np.errstate(invalid="ignore"):
        numbers = {"mean": flat.mean(), "std": flat.std(), "min": flat.min(), "max": flat.max()}
    places = [flat[int(share * (flat.size - 1))] for share in (0.1, 0.37, 0.5, 0.83)]
    stated = {name: _rounded(float(number)) for name, number in numbers.items()}
    return {**known, **stated, "at": [_rounded(float(one)) for one in places]}


def _rounded(number: float) -> float | str:
    return float(f"{number:.6g}") if math.isfinite(number) else str(number)


@cache
def workplace() -> Path:
    """A folder that goes when the recorder ends."""
    keep.append(made := tempfile.TemporaryDirectory(prefix="golden."))
    return Path(made.name)


keep: list[tempfile.TemporaryDirectory[str]] = []


def fresh(name: str) -> Path:
    """A new place in the workplace: its parent is there, itself is not."""
    return Path(tempfile.mkdtemp(dir=workplace()), name)


def heard(clips: Sequence[Audio]) -> Value:
    """What counts of finished clips: samples, rate, seed, and the score of a winner."""
    return [[clip.samples, clip.sample_rate, clip.seed, clip.score] for clip in clips]


def sound(seconds: float = 1.3, rate: int = RATE, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A sweep, a tone that beats, and noise, [1, N]."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t))
    tone = 0.25 * np.sin(2 * np.pi * (300 + 200 * t) * t) + 0.1 * np.sin(2 * np.pi * 1760 * t) * (np.sin(2 * np.pi * 3 * t) > 0)
    return np.asarray(tone + 0.02 * noise, np.float32)[None]


@torch.no_grad()
def filled(module: nn.Module) -> nn.Module:
    """Weights of working size in every parameter. Each depends on its shape and on how many of that shape came before it, not
    on its name and not on what torch draws when a layer is made."""
    before: dict[tuple[int, ...], int] = {}
    for weight in module.parameters():
        shape = tuple(weight.shape)
        turn = before[shape] = before.get(shape, -1) + 1
        if weight.ndim:
            seed = int.from_bytes(hashlib.sha256(f"{shape} {turn}".encode()).digest()[:4], "little")
            drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            gain = 1.0 if weight.ndim == 1 and bool((weight == 1).all()) else 0.0
            weight.copy_(drawn * weight[0].numel() ** -0.5 if weight.ndim > 1 else gain + 0.1 * drawn)
    return module


def write_tokenizer(path: Path) -> None:
    """The tokenizer of all tiny models: numbers, letters and the lexicon's first words."""
    build_tokenizer(lexicon.words()[:500], WORDS).save(str(path))


def write_tiny(folder: Path, config: ModelConfig, name: str) -> Path:
    """A model folder of a tiny system, called `name` in the table."""
    folder.mkdir(parents=True)
    write_config(folder, config, name, {"made": "for golden outcomes"})
    for part in parts_of(config):
        save_part(folder, part, filled(build(part, config)).state_dict())
    write_tokenizer(folder / TOKENIZER_FILE)
    return folder


def states_in(folder: Path) -> Nameless:
    """All tensors of a folder's safetensors files, names left out."""
    files = sorted(folder.glob("*.safetensors"))
    return Nameless(tuple(tensor for file in files for tensor in load_file(file).values()))


def tensors_of(state: object) -> list[Tensor]:
    """All tensors in nested dicts and lists."""
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, Mapping):
        return [tensor for one in state.values() for tensor in tensors_of(one)]
    if isinstance(state, list | tuple):
        return [tensor for one in state for tensor in tensors_of(one)]
    return []


@contextmanager
def in_table(row: Variant) -> Iterator[Variant]:
    """A row of one's own stands in the table of models meanwhile."""
    VARIANTS[row.name] = row
    try:
        yield row
    finally:
        del VARIANTS[row.name]
