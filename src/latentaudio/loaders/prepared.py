"""Weights that are prepared once: a component's tensors in the type that it computes in.

At later starts the file is mapped into memory, so that nothing is converted. Its content follows
from the model's own files and the type alone, so all processors share it. It is found by the times,
sizes and samples of those files, and written again when they change. Text encoders compute in
float32, as published files are stored, so only networks that compute in another type are prepared.

A file lies in `.latentaudio` in the model's folder (beside a checkpoint), or else, if that cannot
be written, in the user's folder of caches.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import shutil
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from torch import Tensor

from ..config.parsing import parse_json
from ..errors import DataError, LatentAudioError
from ..fileio import atomic_write, cache_folder, text_key
from .components import COMPONENTS, build_on_meta, component_names
from .layouts import LocatedTensors, ModelSource, locate_tensors
from .state_dict import assign_state, read_state
from .tensor_files import Tensors

if TYPE_CHECKING:
    from torch import nn

OFF_VARIABLE = "LATENTAUDIO_NO_CACHE"
"""Environment variable that switches off what `--no-cache` does."""
FOLDER = ".latentaudio"
"""Folder in that of a model."""
MIN_BYTES = 64 << 20
"""Size from which a component is prepared; below, the conversion takes no time."""
SETTLE_S = 2.0
"""A file that was changed in the last 2 s may change again within the resolution of its times."""
FREE_BYTES = 1 << 30
"""Room that is left on the disk."""
_VERSION = "1"
"""Changed when the same files would give other tensors."""
_ALIGNMENT = 64
"""Bytes. Some kernels round differently at other addresses, so mapped tensors begin like others."""
_SMALL_BYTES = 64 << 10
"""Tensors up to this size are copied into memory, which is as quick as mapping them."""
_BLOCK_BYTES = 4096
_NUM_BLOCKS = 16
"""Blocks of a file that are compared, beside its first and last one."""
_EDGE_BYTES = 64 << 10
_MAX_HEADER_BYTES = 16 << 20
_PATTERNS = ("*.safetensors", "*.onnx", "*.onnx.*", ".converting.lock", ".*.part", ".*.part/*")
"""Prepared weights, networks of `converted`, and what killed processes left of both."""
_ANNOUNCED: set[Path] = set()
"""Folders of which this process has said that it writes to them."""
_NAMES = {
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float32: "F32",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Types that a prepared component may have, as .safetensors files call them."""
_TYPES = {name: dtype for dtype, name in _NAMES.items()}


def is_switched_off() -> bool:
    """Return whether the environment forbids to keep anything for later starts."""
    return os.environ.get(OFF_VARIABLE, "") not in ("", "0")


def folders(model: Path) -> tuple[Path, Path]:
    """Return where prepared weights of a model may lie: beside it, and in the user's caches.

    Args:
        model: The model's folder or file.
    """
    beside = (model if model.is_dir() else model.parent) / FOLDER
    return beside, cache_folder() / "prepared" / text_key(str(model.absolute()))


def prepared_files(model: Path) -> list[Path]:
    """Return prepared weights and converted networks of a model, and what killed processes left.

    Args:
        model: The model's folder or file.
    """
    files: list[Path] = []
    for folder in folders(model):
        for pattern in _PATTERNS:
            files += sorted(path for path in folder.glob(pattern) if path.is_file())
    return files


def load_prepared(source: ModelSource, name: str, dtype: torch.dtype) -> nn.Module | None:
    """Return a component with prepared weights, which are written if there are none yet.

    The tensors are those of `source.load_base_component`, bit for bit.

    Args:
        source: The model.
        name: The component.
        dtype: The type that it computes in.

    Returns:
        The component in evaluation mode. None: it gains nothing, or the disk takes no more.

    Raises:
        WeightsError: A file of the model is missing, damaged or has other names or shapes.
    """
    tensors, layout = source.open_component(name)
    num_bytes = _bytes_to_convert(tensors, dtype)
    if num_bytes < MIN_BYTES or not tensors.files:
        return None
    module = build_on_meta(name, source.config)
    located = locate_tensors(module, tensors, name, source.config, layout)
    identity = _identity(located, dtype)
    file_name = f"{name}.{_NAMES[dtype].lower()}.{_key_of_files(tensors.files)}.safetensors"
    for folder in folders(source.path):
        state = _read(folder / file_name, identity, module, dtype)
        if state is not None:
            return assign_state(module, state)
    place = None if is_unsettled(tensors.files) else _place_to_write(source, num_bytes)
    if place is None:
        return None
    _announce(source, dtype, place)
    try:
        state = _write(place / file_name, module, located, dtype, identity)
    except (DataError, OSError) as error:
        warnings.warn(f"no weights are kept for later starts: {error}", stacklevel=2)
        return None
    return assign_state(module, state)


def identity_of_component(source: ModelSource, name: str) -> str:
    """Return a hash that changes if the files of a component do, without reading them whole.

    Args:
        source: The model.
        name: The component.
    """
    tensors, _ = source.open_component(name)
    names = sorted(f"{name} {tensors.stored_name(name)}" for name in tensors)
    return _hash([*names, *_states_of_files(tensors.files)])


def _bytes_to_convert(tensors: Tensors, dtype: torch.dtype) -> int:
    """Return the bytes that the tensors of another type have after their conversion."""
    num_values = 0
    for name in tensors:
        if tensors.float_type(name) not in (None, dtype):
            num_values += math.prod(tensors.shape(name))
    return num_values * dtype.itemsize


def _identity(located: LocatedTensors, dtype: torch.dtype) -> str:
    """Return a hash of everything that decides the content of prepared weights."""
    lines = [_VERSION, str(dtype)]
    for key, ref in sorted(located.refs.items()):
        present = [name for name in ref.names if name in located.tensors]
        stored = [located.tensors.stored_name(name) for name in present]
        lines.append(f"{key} {ref.names} {stored} {ref.kind} {ref.third}")
    return _hash([*lines, *_states_of_files(located.tensors.files)])


def _states_of_files(files: frozenset[Path]) -> list[str]:
    """Return size, times and a hash of samples of each file."""
    states = []
    for file in sorted(files):
        state = file.stat()
        with file.open("rb", buffering=0) as stream:
            samples = hash_samples(stream, 0)
        # no user can set the time of a change of status, so an edit is always seen
        states.append(f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {samples}")
    return states


def hash_samples(stream: BinaryIO, start: int) -> str:
    """Return a hash of both ends and some blocks of a file.

    Args:
        stream: The file, open.
        start: First byte that counts.
    """
    digest = hashlib.blake2b(digest_size=16)
    size = os.fstat(stream.fileno()).st_size
    places = [(start, _EDGE_BYTES), (max(start, size - _EDGE_BYTES), _EDGE_BYTES)]
    for k in range(1, _NUM_BLOCKS + 1):
        places.append((start + (size - start) * k // (_NUM_BLOCKS + 1), _BLOCK_BYTES))
    for offset, length in places:
        stream.seek(offset)
        digest.update(stream.read(length))
    return digest.hexdigest()


def _hash(lines: list[str]) -> str:
    return text_key("\n".join(lines))


def _key_of_files(files: frozenset[Path]) -> str:
    """Return a short name of where a component's files lie."""
    return _hash([str(file.absolute()) for file in sorted(files)])[:8]


def is_unsettled(files: frozenset[Path]) -> bool:
    """Whether a file has changed so lately that its times cannot show another change."""
    changes = [max(file.stat().st_mtime, file.stat().st_ctime) for file in files]
    return time.time() - max(changes) < SETTLE_S


def _place_to_write(source: ModelSource, num_bytes: int) -> Path | None:
    """Return the first folder that can be written and has room; None: there is none."""
    for folder in folders(source.path):
        existing = folder
        while not existing.exists():
            existing = existing.parent
        if not os.access(existing, os.W_OK):
            continue
        if shutil.disk_usage(existing).free < num_bytes + FREE_BYTES:
            warnings.warn(
                f"no weights are kept for later starts: {existing} has too little room for "
                f"{num_bytes / 1e9:.1f} GB",
                stacklevel=3,
            )
            return None
        return folder
    warnings.warn(
        f"no weights are kept for later starts: neither {source.path} nor the folder of caches "
        "can be written",
        stacklevel=3,
    )
    return None


def _announce(source: ModelSource, dtype: torch.dtype, folder: Path) -> None:
    """Say once what is written, and how large it will be."""
    if folder in _ANNOUNCED:
        return
    _ANNOUNCED.add(folder)
    num_bytes = 0
    for name in component_names(source.config):
        if COMPONENTS[name].role == "text":
            continue
        with suppress(LatentAudioError):
            component_bytes = _bytes_to_convert(source.open_component(name)[0], dtype)
            num_bytes += component_bytes if component_bytes >= MIN_BYTES else 0
    warnings.warn(
        f"keeping weights for faster starts in {folder} (up to {num_bytes / 1e9:.1f} GB); "
        "latentaudio cache shows and deletes them, --no-cache keeps nothing",
        stacklevel=4,
    )


def _read(
    file: Path, identity: str, module: nn.Module, dtype: torch.dtype
) -> dict[str, Tensor] | None:
    """Return the tensors of prepared weights; None: they are missing, stale or damaged."""
    try:
        with file.open("rb", buffering=0) as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > _MAX_HEADER_BYTES:
                return None
            stated = parse_json(stream.read(length))
            layout = _lay_out(module.state_dict(), dtype)
            samples = hash_samples(stream, 8 + length)
            if stated != {"__metadata__": {"identity": identity, "samples": samples}, **layout}:
                return None
            return _map(stream, 8 + length, module, layout)
    except (OSError, ValueError):
        return None


def _map(
    stream: BinaryIO, start: int, module: nn.Module, layout: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return tensors, each mapped from its file for itself or, if it is small, in memory.

    A tensor that is laid out for the processor gives its memory back at once.

    Args:
        stream: The file, open.
        start: First byte of the tensors.
        module: The component.
        layout: Places of the tensors.

    Raises:
        ValueError: The file is cut short.
    """
    state = {}
    for key, expected in module.state_dict().items():
        begin, end = (start + offset for offset in layout[key]["data_offsets"])
        if end - begin <= _SMALL_BYTES or (end - begin) % _ALIGNMENT:
            stream.seek(begin)
            raw = torch.frombuffer(bytearray(stream.read(end - begin)), dtype=torch.uint8).clone()
        else:
            page = begin - begin % mmap.ALLOCATIONGRANULARITY
            mapped = mmap.mmap(stream.fileno(), end - page, access=mmap.ACCESS_COPY, offset=page)
            raw = torch.frombuffer(mapped, dtype=torch.uint8, offset=begin - page)
        if len(raw) != end - begin:
            raise ValueError("cut short")
        state[key] = raw.view(_TYPES[layout[key]["dtype"]]).view(expected.shape)
    return state


def _write(
    file: Path, module: nn.Module, located: LocatedTensors, dtype: torch.dtype, identity: str
) -> dict[str, Tensor]:
    """Write prepared weights tensor by tensor, and return them mapped from the new file.

    The file gets its name when it is safe on the disk, while the caller computes already.

    Raises:
        DataError: The disk takes no more.
    """
    with ExitStack() as guard:
        temporary = guard.enter_context(atomic_write(file))
        with temporary.open("r+b", buffering=0) as stream:
            values = read_state(module, located.tensors, located.refs, dtype, located.label)
            state = _write_tensors(stream, module, values, dtype, identity)
        stack = guard.pop_all()
    threading.Thread(target=_finish, args=(stack,), name="prepared weights").start()
    return state


def _finish(stack: ExitStack) -> None:
    """Wait until a file is on the disk, and give it its name."""
    with suppress(DataError):
        stack.close()


def _write_tensors(
    stream: BinaryIO,
    module: nn.Module,
    values: Iterator[tuple[str, Tensor]],
    dtype: torch.dtype,
    identity: str,
) -> dict[str, Tensor]:
    """Write a .safetensors file, of which one tensor at a time is in memory; return its tensors.

    Large tensors come first, so that all of them begin at multiples of `_ALIGNMENT`.
    """
    expected = module.state_dict()
    layout = _lay_out(expected, dtype)
    metadata = {"identity": identity, "samples": "0" * 32}
    header = _header(layout, metadata)
    for key, value in values:
        stored = value if value.is_floating_point() else value.to(expected[key].dtype)
        raw = stored.contiguous().view(-1).view(torch.uint8).numpy().data
        stream.seek(len(header) + layout[key]["data_offsets"][0])
        while raw:
            raw = raw[stream.write(raw) :]
    samples = hash_samples(stream, len(header))
    stream.seek(0)
    stream.write(_header(layout, {**metadata, "samples": samples}))
    return _map(stream, len(header), module, layout)


def _lay_out(expected: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, dict[str, Any]]:
    """Return type, shape and place of each tensor, as the header of a .safetensors file has them.

    Args:
        expected: The tensors of a component; their values do not count.
        dtype: Type of floating-point tensors.
    """
    types = {
        key: dtype if each.is_floating_point() else each.dtype for key, each in expected.items()
    }
    sizes = {key: each.numel() * types[key].itemsize for key, each in expected.items()}
    entries = {}
    begin = 0
    for key in sorted(expected, key=lambda key: sizes[key] % _ALIGNMENT != 0):
        end = begin + sizes[key]
        entries[key] = {
            "dtype": _NAMES[types[key]],
            "shape": list(expected[key].shape),
            "data_offsets": [begin, end],
        }
        begin = end
    return entries


def _header(layout: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """Return the beginning of a .safetensors file: the length of its description, and that."""
    text = json.dumps({"__metadata__": metadata, **layout}).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
