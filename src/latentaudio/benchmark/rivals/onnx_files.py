"""The ONNX files that both runtimes read: the UNet as `backends` converts it, and a decoder.

Letters: B = 1 clip, C channels, T' F' latent grid, N samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import Problem

if TYPE_CHECKING:
    from ...loaders.layouts import ModelSource

_FOLDER = "onnx"
_FILE = "model.onnx"


def unet_file(folder: Path) -> Path:
    """Return the ONNX file of the UNet in the folder of a race; its weights are beside it."""
    return folder / _FOLDER / "unet" / _FILE


def decoder_file(folder: Path) -> Path:
    """Return the ONNX file of VAE and vocoder: latent [1, C, T', F'] -> samples [1, 1, N]."""
    return folder / _FOLDER / "decoder" / _FILE


def write_onnx_files(source: ModelSource, problem: Problem, folder: Path) -> None:
    """Write both files, unless they are there."""
    import torch

    from ...backends.graphs import unet_graph
    from .graphs import decoder_graph

    file = unet_file(folder)
    if not file.is_file():
        unet: Any = source.load_component("unet", torch.float32)
        _write(unet_graph(unet.requires_grad_(False), "full", problem.z.shape[3]), file)
    if problem.has_decoder and not decoder_file(folder).is_file():
        _write(decoder_graph(source, problem), decoder_file(folder))


def _write(graph: Any, file: Path) -> None:
    from ...backends.conversion import convert
    from ...fileio import atomic_directory

    file.parent.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(file.parent) as temporary:
        convert(graph, temporary / _FILE)
