"""Files of tensors, opened without reading them: .safetensors, and .bin .ckpt .pth .pt through torch's safe unpickler.

Knows file formats and the wrappings that trainers leave around a state. Refuses to know which tensor belongs where. Nothing
in a file is ever executed: a pickle that holds anything but tensors and plain values is refused.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import WeightsError, said

PICKLED = (".bin", ".ckpt", ".pth", ".pt")
WRAPPINGS = ("state_dict", "model", "generator")  # Lightning's, AudioMAE's, HiFi-GAN's
_FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_PIECE = 1 << 20  # bytes read at a time
_AGAIN = "download it again"
_SHARD = re.compile(r"[^/\\:\x00-\x1f]+\.(safetensors|bin)")


class Tensors(Mapping[str, Tensor]):
    """name -> tensor of one or several files; a tensor is read, by mapping the file into memory, when it is asked for."""

    def __init__(self, places: Mapping[str, tuple[Any, str]], source: Path) -> None:
        self._places, self.source = places, source

    def __getitem__(self, name: str) -> Tensor:
        holder, inner = self._places[name]
        value: Tensor = (
            holder.get_tensor(inner) if isinstance(holder, _Safetensors) else holder[inner]
        )
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it."""
        holder, inner = self._places[name]
        return (
            holder.shape(inner) if isinstance(holder, _Safetensors) else tuple(holder[inner].shape)
        )

    def cast(self, name: str, dtype: torch.dtype | None) -> Tensor:
        """A tensor, floating ones as `dtype` if that is given.

        Where that changes it, the bytes of a .safetensors are read into memory that is free again at once, not mapped: mapped
        pages would count as the process's own until the file is closed.
        """
        holder, inner = self._places[name]
        if (
            dtype is not None
            and isinstance(holder, _Safetensors)
            and holder.dtype(inner) not in (dtype, None)
        ):
            return holder.read(inner, dtype)
        value = self[name]
        return value.to(dtype) if dtype is not None and value.is_floating_point() else value

    def under(self, prefix: str) -> Tensors:
        """Those whose name begins with `prefix`, without it."""
        places = {
            name.removeprefix(prefix): place
            for name, place in self._places.items()
            if name.startswith(prefix)
        }
        return Tensors(places, self.source)

    def without(self, names: frozenset[str]) -> Tensors:
        """All but those."""
        return Tensors(
            {name: place for name, place in self._places.items() if name not in names}, self.source
        )

    def named(self, change: Mapping[str, str]) -> Tensors:
        """The same under other names; what is not mentioned keeps its own."""
        return Tensors(
            {change.get(name, name): place for name, place in self._places.items()}, self.source
        )

    def joined(self, other: Tensors) -> Tensors:
        """Both; the other's win."""
        return Tensors({**self._places, **other._places}, self.source)


class _Safetensors:
    """One .safetensors file: tensors mapped into memory or read (the format is 8 bytes of length, JSON, then all tensors)."""

    def __init__(self, path: Path) -> None:
        self.path, self.mapped = path, safe_open(path, framework="pt")
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            self.header = json.loads(stream.read(length))
        self.start = 8 + length
        self.header.pop("__metadata__", None)

    def get_tensor(self, name: str) -> Tensor:
        """Mapped: pages are read when they are looked at."""
        value: Tensor = self.mapped.get_tensor(name)  # type: ignore[no-untyped-call]
        return value

    def shape(self, name: str) -> tuple[int, ...]:
        """From the header."""
        return tuple(self.header[name]["shape"])

    def dtype(self, name: str) -> torch.dtype | None:
        """Its type if it is a floating one that `read` knows."""
        return _FLOATS.get(self.header[name]["dtype"])

    def read(self, name: str, dtype: torch.dtype) -> Tensor:
        """A floating tensor as another floating type, through a small buffer."""
        stored = _FLOATS[self.header[name]["dtype"]]
        begin, end = self.header[name]["data_offsets"]
        out = torch.empty(self.shape(name), dtype=dtype)
        flat, filled, buffer = out.view(-1), 0, bytearray(min(_PIECE, end - begin))
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(self.start + begin)
            while filled < len(flat):
                wanted = min(end - begin - filled * stored.itemsize, len(buffer))
                got = stream.readinto(memoryview(buffer)[:wanted])
                if got < wanted:
                    raise WeightsError(f"{self.path} is cut short; {_AGAIN}")
                piece = torch.frombuffer(buffer, dtype=stored, count=got // stored.itemsize)
                flat[filled : filled + len(piece)] = piece
                filled += len(piece)
        return out


def open_tensors(path: Path) -> Tensors:
    """What a file holds; of `X.index.json` all the files it lists. Raises WeightsError for a file that is missing, damaged or
    holds code."""
    if not path.is_file():
        raise WeightsError(f"there is no file {path}; {_AGAIN}")
    if not path.stat().st_size:
        raise WeightsError(f"{path} is empty or cut short; {_AGAIN}")
    if path.name.endswith(".index.json"):
        return _sharded(path)
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix in PICKLED:
        return _pickled(path)
    raise WeightsError(
        f"{path} is no file of weights; they end in .safetensors, {', '.join(PICKLED)}"
    )


def _safetensors(path: Path) -> Tensors:
    try:
        holder = _Safetensors(path)
    except (SafetensorError, OSError) as problem:
        raise WeightsError(f"{path} is damaged or cut short ({problem}); {_AGAIN}") from None
    return Tensors({name: (holder, name) for name in holder.header}, path)


def _pickled(path: Path) -> Tensors:
    try:
        content = _unpickled(path)
    except pickle.UnpicklingError as problem:
        reason = str(problem)
        if "Unsupported global" in reason or "Weights only" in reason or "GLOBAL" in reason:
            raise WeightsError(
                f"{path} holds code besides tensors ({_culprit(reason)}) and was not opened; get a .safetensors of it"
            ) from None
        raise WeightsError(f"{path} is damaged or no file of weights; {_AGAIN}") from None
    except Exception as problem:  # whatever torch makes of broken bytes
        reason = "no file of torch" if isinstance(problem, KeyError | IndexError) else said(problem)
        raise WeightsError(f"{path} is damaged or cut short ({reason}); {_AGAIN}") from None
    for key in WRAPPINGS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"{path} holds a {type(content).__name__}, not named tensors; name the file of the weights"
        )
    state = {
        str(name).removeprefix("_orig_mod."): value
        for name, value in content.items()
        if isinstance(value, Tensor)
    }
    if not state:
        raise WeightsError(f"{path} holds no tensors; name the file of the weights")
    return Tensors({name: (state, name) for name in state}, path)


def _unpickled(path: Path) -> Any:
    """The content; files of torch before 1.6 cannot be mapped into memory and are read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as problem:
        if "mmap" not in str(problem):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)


def _culprit(reason: str) -> str:
    """The name of what a pickle wanted to call."""
    after = reason.partition("GLOBAL ")[2] or reason.partition("global: ")[2]
    return (after.split() or ["a pickle"])[0].strip("'\"`.")


def _sharded(path: Path) -> Tensors:
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if not all(map(_SHARD.fullmatch, places.values())):
            raise ValueError("a name that is no plain file of weights")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WeightsError(f"{path} is damaged; {_AGAIN}") from None
    whole = Tensors({}, path)
    for name in sorted(set(places.values())):
        whole = whole.joined(open_tensors(path.parent / name))
    missing = sorted(set(places) - set(whole))
    if missing:
        raise WeightsError(
            f"{path} lists tensors that its files do not have, first {missing[0]}; {_AGAIN}"
        )
    return whole
