"""Files of tensors, opened without reading them: .safetensors, and .bin, .ckpt, .pth, .pt.

Nothing in a file is ever executed: a pickle that holds anything but tensors and plain values is
refused. Trainers wrap a state in other mappings; those are removed here.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..config.parsing import parse_json, read_bounded
from ..errors import WeightsError, first_line

PICKLED = (".bin", ".ckpt", ".pth", ".pt")
"""Endings of files that torch's safe unpickler opens."""
WRAPPER_KEYS = ("state_dict", "model", "generator")
"""Keys under which Lightning, AudioMAE and HiFi-GAN keep the state."""
_COMPILE_PREFIX = "_orig_mod."
"""Prefix that torch.compile adds to names."""
_PARALLEL_PREFIX = "module."
"""Prefix that DistributedDataParallel adds to all names."""
_FLOAT_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
"""safetensors' name of a floating-point type -> torch's."""
_CHUNK_BYTES = 1 << 20
"""Bytes read at a time while a tensor is converted."""
_REMEDY = "download it again"
_SHARD_NAME = re.compile(r"[^/\\:\x00-\x1f]+\.(safetensors|bin)")
"""A file name without a folder: an index must not reach outside its own folder."""


class Tensors(Mapping[str, Tensor]):
    """Tensors of one or several files by name, read when they are used.

    Attributes:
        source: The file, for errors.
        files: All files that they are read from; empty for tensors that lie in memory.
    """

    def __init__(
        self,
        locations: Mapping[str, tuple[Any, str]],
        source: Path,
        files: frozenset[Path] = frozenset(),
    ) -> None:
        """Name tensors.

        Args:
            locations: {name: (what holds the tensor, its name there)}.
            source: The file, for errors.
            files: All files that they are read from.
        """
        self._locations = locations
        self.source = source
        self.files = files

    def __getitem__(self, name: str) -> Tensor:
        holder, inner = self._locations[name]
        if isinstance(holder, _SafetensorsFile):
            return holder.get_tensor(inner)
        value: Tensor = holder[inner]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._locations)

    def __len__(self) -> int:
        return len(self._locations)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape without reading it."""
        holder, inner = self._locations[name]
        if isinstance(holder, _SafetensorsFile):
            return holder.shape(inner)
        return tuple(holder[inner].shape)

    def float_type(self, name: str) -> torch.dtype | None:
        """Return the type of a floating-point tensor; None for other tensors."""
        holder, inner = self._locations[name]
        if isinstance(holder, _SafetensorsFile):
            return holder.float_type(inner)
        value: Tensor = holder[inner]
        return value.dtype if value.is_floating_point() else None

    def stored_name(self, name: str) -> str:
        """Return the name that a tensor has in its file."""
        return self._locations[name][1]

    def cast(self, name: str, dtype: torch.dtype | None) -> Tensor:
        """Return a tensor as `dtype` if it is floating-point; None: as it is stored.

        A conversion reads the bytes of a .safetensors file and does not map them. Mapped pages
        count as memory of the process until the file is closed.
        """
        holder, inner = self._locations[name]
        if dtype is not None and isinstance(holder, _SafetensorsFile):
            stored = holder.float_type(inner)
            if stored is not None and stored != dtype:
                return holder.read(inner, dtype)
        value = self[name]
        return value.to(dtype) if dtype is not None and value.is_floating_point() else value

    def with_source(self, source: Path) -> Tensors:
        """Return the same tensors under another name of their source."""
        return Tensors(self._locations, source, self.files)

    def with_prefix(self, prefix: str) -> Tensors:
        """Return the tensors whose names start with `prefix`, named without it."""
        locations = {
            name.removeprefix(prefix): location
            for name, location in self._locations.items()
            if name.startswith(prefix)
        }
        return Tensors(locations, self.source, self.files)

    def drop(self, names: frozenset[str]) -> Tensors:
        """Return all tensors but those named."""
        locations = {
            name: location for name, location in self._locations.items() if name not in names
        }
        return Tensors(locations, self.source, self.files)

    def rename(self, names: Mapping[str, str]) -> Tensors:
        """Return the tensors under new names; those that `names` lacks keep their own."""
        locations = {names.get(name, name): location for name, location in self._locations.items()}
        return Tensors(locations, self.source, self.files)

    def merge(self, other: Tensors) -> Tensors:
        """Return the tensors of both; those of `other` replace tensors of the same name."""
        locations = {**self._locations, **other._locations}
        return Tensors(locations, self.source, self.files | other.files)


class _SafetensorsFile:
    """One .safetensors file: 8 bytes with the header's length, the header as JSON, all tensors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mapped = safe_open(path, framework="pt")
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            self.header = parse_json(stream.read(length))
        self.start = 8 + length
        self.header.pop("__metadata__", None)

    def get_tensor(self, name: str) -> Tensor:
        """Return a tensor mapped into memory; its pages are read when they are used."""
        value: Tensor = self.mapped.get_tensor(name)  # type: ignore[no-untyped-call]
        return value

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape from the header."""
        return tuple(self.header[name]["shape"])

    def float_type(self, name: str) -> torch.dtype | None:
        """Return a tensor's type if it is a floating-point type that `read` supports."""
        return _FLOAT_TYPES.get(self.header[name]["dtype"])

    def read(self, name: str, dtype: torch.dtype) -> Tensor:
        """Return a floating-point tensor as another floating-point type, through a small buffer."""
        stored = _FLOAT_TYPES[self.header[name]["dtype"]]
        begin, end = self.header[name]["data_offsets"]
        out = torch.empty(self.shape(name), dtype=dtype)
        flat = out.view(-1)
        buffer = bytearray(min(_CHUNK_BYTES, end - begin))
        filled = 0
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(self.start + begin)
            while filled < len(flat):
                num_bytes = min(end - begin - filled * stored.itemsize, len(buffer))
                received = stream.readinto(memoryview(buffer)[:num_bytes])
                if received < num_bytes:
                    raise WeightsError(f"{self.path} is cut short; {_REMEDY}")
                chunk = torch.frombuffer(buffer, dtype=stored, count=received // stored.itemsize)
                flat[filled : filled + len(chunk)] = chunk
                filled += len(chunk)
        return out


def open_tensors(path: Path) -> Tensors:
    """Return the tensors of a file or, for an `X.index.json`, of all files that it lists.

    Raises:
        WeightsError: The file is missing or damaged, or it holds code.
    """
    if not os.path.isfile(path):  # noqa: PTH113  # a Path raises for long names
        raise WeightsError(f"{path} is missing; {_REMEDY}")
    if not path.stat().st_size:
        raise WeightsError(f"{path} is empty; {_REMEDY}")
    if path.name.endswith(".index.json"):
        return _open_shards(path)
    if path.suffix == ".safetensors":
        return _open_safetensors(path)
    if path.suffix in PICKLED:
        return _open_pickle(path)
    raise WeightsError(
        f"{path} is not a file of weights; name one that ends in .safetensors, {', '.join(PICKLED)}"
    )


def _open_safetensors(path: Path) -> Tensors:
    try:
        holder = _SafetensorsFile(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or cut short ({error}); {_REMEDY}") from None
    return Tensors({name: (holder, name) for name in holder.header}, path, frozenset({path}))


def _open_pickle(path: Path) -> Tensors:
    try:
        content = _unpickle(path)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if "Unsupported global" in reason or "Weights only" in reason or "GLOBAL" in reason:
            raise WeightsError(
                f"{path} contains code ({_name_of_code(reason)}) and was not opened; use a "
                f".safetensors file of the same weights"
            ) from None
        raise WeightsError(f"{path} is damaged or not a file of weights; {_REMEDY}") from None
    except Exception as error:  # torch raises errors of many types for broken bytes
        is_foreign = isinstance(error, KeyError | IndexError)
        reason = "not a file of torch" if is_foreign else first_line(error)
        raise WeightsError(f"{path} is damaged or cut short ({reason}); {_REMEDY}") from None
    for key in WRAPPER_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"{path} contains a {type(content).__name__}, not named tensors; "
            f"name the file of the weights"
        )
    state = {}
    for name, value in content.items():
        if isinstance(value, Tensor):
            state[str(name).removeprefix(_COMPILE_PREFIX)] = value
    if all(name.startswith(_PARALLEL_PREFIX) for name in state):
        state = {name.removeprefix(_PARALLEL_PREFIX): value for name, value in state.items()}
    if not state:
        raise WeightsError(f"{path} contains no tensors; name the file of the weights")
    return Tensors({name: (state, name) for name in state}, path, frozenset({path}))


def _unpickle(path: Path) -> Any:
    """Return the content of a pickle; files of torch before 1.6 cannot be mapped and are read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "argparse.Namespace" not in str(error):
            raise
        # AudioMAE's file has the arguments of its training: a record of values without code
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _name_of_code(reason: str) -> str:
    """Return the name of the function that a pickle would call."""
    after = reason.partition("GLOBAL ")[2] or reason.partition("global: ")[2]
    return (after.split() or ["a pickle"])[0].strip("'\"`.")


def _open_shards(path: Path) -> Tensors:
    try:
        files = parse_json(read_bounded(path))["weight_map"]
        if not all(map(_SHARD_NAME.fullmatch, files.values())):
            raise ValueError("a file outside the folder")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WeightsError(f"{path} is damaged; {_REMEDY}") from None
    merged = Tensors({}, path)
    for name in sorted(set(files.values())):
        merged = merged.merge(open_tensors(path.parent / name))
    missing = sorted(set(files) - set(merged))
    if missing:
        raise WeightsError(
            f"{path} lists tensors that its files lack, the first is {missing[0]}; {_REMEDY}"
        )
    return merged
