"""Writes a model as a folder of ONNX files, with its tokenizer and a description.

The program that runs them draws the first noise, so a seed gives the same clip on every machine.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor

from ..backends.conversion import OPSET
from ..codec import AudioCodec
from ..config.architecture import ModelConfig
from ..config.extras import install_command
from ..errors import DataError, UsageError, first_line
from ..fileio import atomic_directory
from ..loaders.tokenizers import load_encoders
from ..models.oscillators import POOL_FRAMES
from .description import TOKENIZER_FILE, describe, mel_frames_per_loa_token
from .graphs import Graph, Sizes, graphs_of
from .vocoder_graph import NOISE, NOISE_BLOCK
from .weight_storage import compact_weights

if TYPE_CHECKING:
    import onnx

    from ..loaders.layouts import ModelSource

Weights: TypeAlias = Literal["compact", "float32"]
Progress: TypeAlias = Callable[[int, int], None]
"""Called with (graphs written, graphs in all)."""

DESCRIPTION_FILE = "model.json"
_TRACED_TOKENS = 6
_TRACED_LATENT_FRAMES = 24
_MODULES = ("onnx", "onnxscript")


def export_onnx(
    codec: AudioCodec,
    target: Path,
    duration: float | None = None,
    weights: Weights = "compact",
    progress: Progress | None = None,
) -> dict[str, int]:
    """Write a model as ONNX files.

    Args:
        codec: The model.
        target: A new folder.
        duration: The only duration that the graphs take, in seconds. None: any that fits into one
            window.
        weights: "compact" keeps weights in 8 or 16 bits, "float32" in 32.
        progress: Called after every graph.

    Returns:
        The size of each file in bytes.

    Raises:
        DataError: The target exists or cannot be written.
        UsageError: The model has another architecture than mini, the duration does not fit, or
            packages are missing.
    """
    source = codec.source
    check_exportable(source.name, codec)
    _check_duration(codec, duration)
    if target.exists():
        raise DataError(f"{target} exists already; choose another name")
    _import_packages()
    sizes = _sizes(codec, duration)
    max_frames = codec.num_frames(source.spec.max_duration if duration is None else duration)
    graphs = graphs_of(source.config, max_frames)
    dimensions = _dimensions(source.config, max_frames)
    if duration is not None:
        dimensions = {"tokens": dimensions["tokens"]}
    rules = load_encoders(source.path, source.config, {}, source.layout).tokenizers["clap"]
    try:
        with atomic_directory(target) as folder:
            for index, graph in enumerate(graphs):
                model = _trace(source, graph, sizes, dimensions)
                if weights == "compact":
                    compact_weights(model, exact=(NOISE,))
                (folder / f"{graph.name}.onnx").write_bytes(model.SerializeToString())
                if progress is not None:
                    progress(index + 1, len(graphs))
            rules.rules.save(str(folder / TOKENIZER_FILE))
            text = json.dumps(describe(codec, rules, graphs, duration), indent=1)
            (folder / DESCRIPTION_FILE).write_text(text + "\n")
            return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    except OSError as error:
        raise DataError(
            f"cannot write {target} ({error}); choose another place or free some space"
        ) from None


def check_exportable(name: str, codec: AudioCodec) -> None:
    """Raise `UsageError` for a model that has another architecture than mini.

    Args:
        name: The model's name, for the error.
        codec: The model.
    """
    config = codec.config
    lengths = (config.mel.hop_length, config.vocoder.n_fft)
    vocoder_fits = config.vae.downsampling % POOL_FRAMES == 0
    vocoder_fits = vocoder_fits and not any(length % NOISE_BLOCK for length in lengths)
    needed = {
        "a distilled UNet": config.distilled_unet is not None,
        "an inverse-STFT vocoder": config.vocoder.kind == "istft" and vocoder_fits,
        "CLAP, T5 and a translator": bool(config.clap and config.t5 and config.translator),
        "an AudioMAE": config.audiomae is not None,
        "a latent prior": config.latent_prior is not None and config.unet.use_prior,
        "a UNet with FiLM and two contexts": _has_inputs_of_mini(config),
    }
    missing = [part for part, is_present in needed.items() if not is_present]
    if missing:
        raise UsageError(
            f"only models with the architecture of mini can be written as ONNX; {name} lacks "
            f"{missing[0]}"
        )


def _has_inputs_of_mini(config: ModelConfig) -> bool:
    num_contexts = len(config.unet.cross_attention_dims)
    return config.unet.film_dim is not None and num_contexts == 2 and config.phonemes is None


def _check_duration(codec: AudioCodec, duration: float | None) -> None:
    longest = codec.source.spec.max_duration
    if duration is not None and not 0 < duration <= longest:
        raise UsageError(
            f"duration is {duration:g} s; ONNX graphs compute one window, so choose more than 0 "
            f"and at most {longest:g}"
        )


def _import_packages() -> None:
    """Raise `UsageError` if a package of the extra is missing."""
    try:
        for name in _MODULES:
            __import__(name)
    except ImportError as error:
        raise UsageError(
            f"{first_line(error)}; the export needs: {install_command('export')}"
        ) from None


def _sizes(codec: AudioCodec, duration: float | None) -> Sizes:
    """Return the sizes to trace with: those of the duration, or any that differ."""
    if duration is None:
        return Sizes(_TRACED_TOKENS, _TRACED_LATENT_FRAMES, 3)
    num_frames = codec.num_frames(duration)
    loa_tokens = -(-num_frames // mel_frames_per_loa_token(codec))
    return Sizes(_TRACED_TOKENS, num_frames // codec.config.vae.downsampling, loa_tokens)


def _trace(
    source: ModelSource, graph: Graph, sizes: Sizes, dimensions: Mapping[str, Any]
) -> onnx.ModelProto:
    """Return the ONNX model of one graph, with float32 weights; `dimensions` depend on the clip."""
    network = source.load_component(graph.component, torch.float32).eval().requires_grad_(False)
    module = graph.make(network).eval()
    inputs = []
    axes = []
    for name, shape in graph.inputs.items():
        inputs.append(_example(name in graph.integers, _numbers(shape, sizes, source.config)))
        axes.append(_dynamic_axes(shape, dimensions))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, for its developers
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            module,
            tuple(inputs),
            dynamo=True,
            dynamic_shapes=tuple(axes),
            input_names=list(graph.inputs),
            output_names=[graph.output],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _numbers(shape: tuple[str | int, ...], sizes: Sizes, config: ModelConfig) -> list[int]:
    """Return the axes of an input as numbers."""
    mel_frames = sizes.latent_frames * config.vae.downsampling
    named = {
        "tokens": sizes.tokens,
        "latent_frames": sizes.latent_frames,
        "loa_tokens": sizes.loa_tokens,
        "mel_frames": mel_frames,
    }
    return [named[axis] if isinstance(axis, str) else axis for axis in shape]


def _example(is_integer: bool, shape: list[int]) -> Tensor:
    """Return an input to trace with: numbers near 1, which are valid token ids, too."""
    return torch.ones(shape, dtype=torch.int64) if is_integer else torch.rand(shape)


def _dimensions(config: ModelConfig, max_frames: int) -> dict[str, Any]:
    """Return the sizes that depend on the clip, as the exporter names them."""
    from torch.export import Dim

    assert config.clap is not None
    factor = config.vae.downsampling
    frames: Any = Dim("latent_frames", min=2, max=max_frames // factor)
    return {
        "tokens": Dim("tokens", min=2, max=config.clap.text_max_length),
        "latent_frames": frames,
        "loa_tokens": Dim("loa_tokens"),
        "mel_frames": factor * frames,
    }


def _dynamic_axes(shape: tuple[str | int, ...], dimensions: Mapping[str, Any]) -> dict[int, Any]:
    """Return the axes of an input that depend on the clip."""
    result = {}
    for index, axis in enumerate(shape):
        if isinstance(axis, str) and axis in dimensions:
            result[index] = dimensions[axis]
    return result
