"""Networks converted for a backend, kept on the disk for later starts.

The conversion takes some seconds for `mini` and a minute for the largest models. Its result follows
from the model's files, their shapes and the versions of the converter. All backends and processors
read the same files. They lie in the user's folder of caches, each graph as three files:
`NAME.onnx`, the graph; `NAME.onnx.data`, its weights; `NAME.onnx.json`, which is written last and
states both. Files of the same graph that older weights or converters made are deleted.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from ..backends.conversion import OPSET, WEIGHTS_SUFFIX, convert
from ..backends.graphs import GraphName, unet_graph
from ..config.parsing import parse_json
from ..errors import DataError, LatentAudioError, UsageError, first_line, is_out_of_memory
from ..fileio import locked, temporary_directory, text_key
from ..models.unet import UNet
from .components import build_on_meta
from .layouts import ModelSource
from .prepared import FREE_BYTES, folders, hash_samples, identity_of_component, is_unsettled

_VERSION = "1"
"""Changed when the same network would give another graph."""
LOCK_FILE = ".converting.lock"
"""In a folder of networks: whose process holds it converts one."""
WORK = "converted a network into"
"""What a process has done that gives the lock back, before the folder."""
_CONVERTER = ("torch", "latentaudio", "onnxscript", "onnx-ir")
"""Packages whose versions decide the content of a graph."""
_BYTES_PER_WEIGHT = 4
_PARTS: dict[GraphName, str] = {"full": "", "shallow": "first level of the "}
"""Graphs in messages, before the name of the component."""


class ConvertedNetwork:
    """The files of one graph of a network.

    Attributes:
        file: The .onnx file.
    """

    def __init__(self, file: Path, temporary: ExitStack | None = None) -> None:
        """Keep where a graph lies.

        Args:
            file: The .onnx file.
            temporary: Deletes its folder, with this object; None: the files stay.
        """
        self.file = file
        self._delete: Callable[[], object] | None = None
        if temporary is not None:
            self._delete = weakref.finalize(self, temporary.close)

    @property
    def is_temporary(self) -> bool:
        """Whether the files are deleted with this object."""
        return self._delete is not None

    def close(self) -> None:
        """Delete the files, unless they are kept for later starts."""
        if self._delete is not None:
            self._delete()


def converted_network(
    source: ModelSource, name: str, graph: GraphName, backend: str, use_cache: bool
) -> ConvertedNetwork:
    """Return a graph of a denoiser, from the disk or converted now.

    Args:
        source: The model.
        name: The denoiser.
        graph: The graph.
        backend: Who needs it, for messages.
        use_cache: Whether it is kept for later starts. If not, or if the disk does not take it, it
            lies in a temporary folder.

    Raises:
        WeightsError: A file of the model is missing, damaged or has other shapes.
        UsageError: The installed converter fails.
        DataError: No folder takes it.
    """
    if not use_cache:
        return _convert_for_now(source, name, graph, backend, "nothing is kept for later starts")
    files, _ = source.open_component(name)
    if is_unsettled(files.files):
        reason = "the files of the model changed a moment ago"
        return _convert_for_now(source, name, graph, backend, reason)
    identity = _identity(source, name, graph)
    file = _file(source, name, graph, identity)
    folder = file.parent
    if not _is_valid(file, identity):
        needed = _num_bytes(source, name)
        reason = _why_not(folder, needed)
        if reason:
            return _convert_for_now(source, name, graph, backend, reason)
        try:
            with locked(folder / LOCK_FILE, f"{WORK} {folder}"):
                if not _is_valid(file, identity):  # another process may have converted it meanwhile
                    consequence = f"it is kept in {folder} (up to {needed / 1e9:.2f} GB)"
                    consequence += "; latentaudio cache shows and deletes it"
                    _announce(source, name, graph, backend, consequence)
                    _write(file, identity, lambda path: _convert(source, name, graph, path))
                    _delete_stale(file)
        except (OSError, DataError) as error:
            reason = f"{folder} does not take it ({first_line(error)})"
            return _convert_for_now(source, name, graph, backend, reason)
    return ConvertedNetwork(file)


def is_kept(source: ModelSource, name: str, graph: GraphName) -> bool:
    """Return whether a graph of a denoiser lies on the disk.

    Args:
        source: The model.
        name: The denoiser.
        graph: The graph.
    """
    try:
        identity = _identity(source, name, graph)
        return _is_valid(_file(source, name, graph, identity), identity)
    except (LatentAudioError, OSError):  # of the model, which loading it reports
        return False


def is_network_file(file: Path) -> bool:
    """Return whether a file in a folder of `prepared` belongs to a network or its conversion.

    Args:
        file: The file.
    """
    is_part = file.parent.suffix == ".part"
    return is_part or file.name == LOCK_FILE or ".onnx" in file.suffixes


def _file(source: ModelSource, name: str, graph: GraphName, identity: str) -> Path:
    """Return the .onnx file of a graph: what was converted, and then the hash of all of it."""
    files, _ = source.open_component(name)
    places = [str(file.absolute()) for file in sorted(files.files)]
    key = text_key("\n".join([*places, *_shapes(source)]))[:8]
    return folders(source.path)[1] / f"{name}.{graph}.{key}.{identity[:16]}.onnx"


def _shapes(source: ModelSource) -> list[str]:
    """Return what one set of files leaves open: which weights, and the shapes of the network."""
    config = source.config
    return [repr(config.unet), repr(config.vae), str(config.mel.n_mels), repr(source.use_ema)]


def _version_of(package: str) -> str:
    """Return the version of a package, also if this one runs from its source."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "from source"


def _identity(source: ModelSource, name: str, graph: GraphName) -> str:
    """Return a hash of everything that decides the content of a converted graph."""
    lines = [_VERSION, str(OPSET), graph, *_shapes(source)]
    lines += [f"{package} {_version_of(package)}" for package in _CONVERTER]
    lines.append(identity_of_component(source, name))
    return text_key("\n".join(lines))


def _convert(source: ModelSource, name: str, graph: GraphName, file: Path) -> None:
    """Write a graph to a file and one beside it.

    Raises:
        OSError: The disk does not take them.
        MemoryError: Memory does not suffice.
        UsageError: The installed converter fails.
    """
    config = source.config
    unet = source.load_base_component(name, torch.float32).requires_grad_(False).eval()
    assert isinstance(unet, UNet)
    try:
        convert(unet_graph(unet, graph, config.mel.n_mels // config.vae.downsampling), file)
    except OSError:
        raise
    except Exception as error:  # of any kind: it comes from torch, onnx or onnxscript
        if is_out_of_memory(error):
            raise MemoryError(first_line(error)) from error
        raise UsageError(
            f"torch {torch.__version__} cannot convert the {name} of {source.name} "
            f"({first_line(error)}); choose backend torch, or install the versions of "
            "constraints.txt"
        ) from error


def _convert_for_now(
    source: ModelSource, name: str, graph: GraphName, backend: str, reason: str
) -> ConvertedNetwork:
    """Return a graph that lies in a temporary folder; say that each start converts it."""
    _announce(source, name, graph, backend, f"each start does this, because {reason}")
    folder = Path(tempfile.gettempdir())
    try:
        with ExitStack() as stack:
            folder = _own_temporary_folder()
            file = stack.enter_context(temporary_directory(folder)) / f"{name}.{graph}.onnx"
            _convert(source, name, graph, file)
            return ConvertedNetwork(file, stack.pop_all())
    except OSError as error:
        raise DataError(
            f"cannot write a network into {folder} ({error.strerror or error}); free some space, "
            "or set TMPDIR to another folder"
        ) from None


def _own_temporary_folder() -> Path:
    """Return the user's folder of temporary networks, which no other user can change.

    Killed processes leave their networks there; the next conversion deletes them.

    Raises:
        OSError: It cannot be written, or another user made it.
    """
    has_users = hasattr(os, "getuid")
    user = os.getuid() if has_users else 0
    folder = Path(tempfile.gettempdir()) / f"latentaudio-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if has_users and folder.lstat().st_uid != user:
        raise PermissionError(errno.EPERM, "it is of another user", str(folder))
    return folder


def _announce(
    source: ModelSource, name: str, graph: GraphName, backend: str, consequence: str
) -> None:
    part = _PARTS[graph] + name
    warnings.warn(
        f"converting the {part} of {source.name} for {backend}; {consequence}", stacklevel=3
    )


def _num_bytes(source: ModelSource, name: str) -> int:
    """Return the bytes of a component's weights in float32."""
    module = build_on_meta(name, source.config)
    return _BYTES_PER_WEIGHT * sum(weight.numel() for weight in module.parameters())


def _why_not(folder: Path, num_bytes: int) -> str:
    """Return why a folder cannot take that many bytes, or ""."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not os.access(existing, os.W_OK):
        return f"{folder} cannot be written"
    if shutil.disk_usage(existing).free < num_bytes + FREE_BYTES:
        return f"{existing} has too little room for {num_bytes / 1e9:.2f} GB"
    return ""


def _write(file: Path, identity: str, write: Callable[[Path], None]) -> None:
    """Write the three files of a graph.

    Raises:
        OSError: The disk does not take them.
    """
    with temporary_directory(file.parent) as temporary:
        new = temporary / file.name
        write(new)
        record = {"identity": identity, "files": _states(new)}
        for path in list(temporary.iterdir()):
            path.replace(file.parent / path.name)
        _record_file(new).write_text(json.dumps(record), encoding="utf-8")
        _record_file(new).replace(_record_file(file))


def _record_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _is_valid(file: Path, identity: str) -> bool:
    """Whether the files of a graph are complete and as they were written."""
    try:
        record = parse_json(_record_file(file).read_text(encoding="utf-8"))
        return bool(record == {"identity": identity, "files": _states(file)})
    except (OSError, ValueError):
        return False


def _states(file: Path) -> dict[str, list[int | str]]:
    """Return size and hash of samples of a graph and its weights."""
    states: dict[str, list[int | str]] = {}
    for path in (file, file.with_name(file.name + WEIGHTS_SUFFIX)):
        with path.open("rb", buffering=0) as stream:
            states[path.name] = [path.stat().st_size, hash_samples(stream, 0)]
    return states


def _delete_stale(file: Path) -> None:
    """Delete older files of a graph."""
    for path in file.parent.glob(f"{file.stem.rpartition('.')[0]}.*"):
        if not path.name.startswith(f"{file.stem}."):
            with suppress(OSError):
                path.unlink()
