"""Networks converted for a backend, kept on the disk for later starts.

The conversion takes some seconds for `mini` and a minute for the largest models. Its result follows
from the model's files, their shapes and the versions of the converter. All backends and processors
read the same files. They lie in the user's folder of caches, each graph as three files:
`NAME.onnx`, the graph; `NAME.onnx.data`, its weights; `NAME.onnx.json`, which is written last and
states both. Other files of the graph are stale and are deleted.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import torch

from ..backends.conversion import OPSET, WEIGHTS_SUFFIX, convert
from ..backends.graphs import GraphName, unet_graph
from ..config.parsing import parse_json
from ..errors import DataError, UsageError, first_line
from ..fileio import atomic_write, temporary_directory, text_key
from ..models.unet import UNet
from .components import build_on_meta
from .layouts import ModelSource
from .prepared import FREE_BYTES, folders, hash_samples, identity_of_component, is_unsettled

_VERSION = "1"
"""Changed when the same network would give another graph."""
_LOCK_FILE = ".converting.lock"
_BYTES_PER_WEIGHT = 4
_PARTS: dict[GraphName, str] = {"full": "", "shallow": "first level of the "}
"""Graphs in messages, before the name of the component."""


class ConvertedNetwork:
    """The files of one graph of a network.

    Attributes:
        file: The .onnx file.
    """

    def __init__(self, file: Path, folder: Path | None = None) -> None:
        """Keep where a graph lies.

        Args:
            file: The .onnx file.
            folder: A temporary folder, which is deleted with this object; None: the files stay.
        """
        self.file = file
        self._delete: Callable[[], object] | None = None
        if folder is not None:
            self._delete = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

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
    folder = folders(source.path)[1]
    identity = _identity(source, name, graph)
    place = text_key(" ".join(str(file.absolute()) for file in sorted(files.files)))[:8]
    stem = f"{name}.{graph}.{place}"
    file = folder / f"{stem}.{identity[:16]}.onnx"
    if not _is_valid(file, identity):
        needed = _num_bytes(source, name)
        reason = _why_not(folder, needed)
        if reason:
            return _convert_for_now(source, name, graph, backend, reason)
        with _one_at_a_time(folder):
            if not _is_valid(file, identity):  # another process may have converted it meanwhile
                consequence = (
                    f"it is kept in {folder} (up to {needed / 1e9:.2f} GB); latentaudio cache"
                )
                _announce(source, name, graph, backend, f"{consequence} shows and deletes it")
                _write(file, identity, lambda path: _convert(source, name, graph, path))
                _delete_stale(folder, stem, file)
    return ConvertedNetwork(file)


def _identity(source: ModelSource, name: str, graph: GraphName) -> str:
    """Return a hash of everything that decides the content of a converted graph."""
    config = source.config
    lines = [_VERSION, str(OPSET), graph, repr(config.unet), repr(config.vae), repr(source.use_ema)]
    lines += [f"{package} {version(package)}" for package in ("torch", "latentaudio")]
    lines.append(identity_of_component(source, name))
    return text_key("\n".join(lines))


def _convert(source: ModelSource, name: str, graph: GraphName, file: Path) -> None:
    """Write a graph to a file and one beside it.

    Raises:
        OSError: The disk does not take them.
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
    folder = Path(tempfile.mkdtemp(prefix="latentaudio-"))
    network = ConvertedNetwork(folder / f"{name}.{graph}.onnx", folder)
    try:
        _convert(source, name, graph, network.file)
    except BaseException as error:
        network.close()
        if not isinstance(error, OSError):
            raise
        raise DataError(
            f"cannot write {network.file} ({error.strerror or error}); free some space, or set "
            "TMPDIR to another folder"
        ) from None
    return network


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


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process converts a network into a folder."""
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / _LOCK_FILE):
        yield


def _write(file: Path, identity: str, write: Callable[[Path], None]) -> None:
    """Write the three files of a graph.

    Raises:
        DataError: The disk does not take them.
    """
    try:
        with temporary_directory(file.parent) as temporary:
            write(temporary / file.name)
            for path in temporary.iterdir():
                path.replace(file.parent / path.name)
    except OSError as error:
        raise DataError(
            f"cannot write {file} ({error.strerror or error}); free some space, or add --no-cache"
        ) from None
    record = {"identity": identity, "files": _states(file)}
    with atomic_write(_record_file(file)) as temporary:
        temporary.write_text(json.dumps(record), encoding="utf-8")


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


def _delete_stale(folder: Path, stem: str, file: Path) -> None:
    """Delete older files of a graph."""
    for path in folder.glob(f"{stem}.*"):
        if not path.name.startswith(f"{file.stem}."):
            with suppress(OSError):
                path.unlink()
