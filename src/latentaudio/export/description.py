"""The file `model.json` of an ONNX folder: every number that a program without torch needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..audio.ops import EDGE_FADE_S, MAX_PEAK
from ..codec import AudioCodec
from ..conditioning import numbers, tokenizer
from ..diffusion.schedule import Schedule
from .graphs import Graph

FORMAT = "latentaudio-onnx"
VERSION = 1
TOKENIZER_FILE = "tokenizer.json"


def describe(
    codec: AudioCodec,
    rules: tokenizer.Tokenizer,
    graphs: Sequence[Graph],
    duration: float | None,
) -> dict[str, Any]:
    """Return the content of `model.json`.

    Args:
        codec: The model.
        rules: Its tokenizer.
        graphs: Its graphs.
        duration: The only duration that the graphs take, in seconds; None: any.
    """
    source = codec.source
    config = codec.config
    factor = config.vae.downsampling
    translator = config.translator
    assert translator is not None
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": source.name,
        "license": source.spec.license,
        "sample_rate": config.mel.sample_rate,
        "hop_length": config.mel.hop_length,
        "duration_s": {
            "only": duration,
            "min": source.spec.min_duration,
            "max": source.spec.max_duration,
        },
        "latent": {
            "channels": config.vae.latent_channels,
            "bins": config.mel.n_mels // factor,
            "mel_frames": factor,
            "frame_multiple": config.unet.downsampling,
            "mean": list(config.latent_mean),
            "std": list(config.latent_std),
        },
        "loa": {"mel_frames": mel_frames_per_loa_token(codec), "width": translator.hidden_size},
        "schedule": _schedule(codec),
        "peak": MAX_PEAK,
        "fade_s": EDGE_FADE_S,
        "tokenizer": _tokenizer(rules),
        "graphs": {graph.name: _signature(graph) for graph in graphs},
    }


def mel_frames_per_loa_token(codec: AudioCodec) -> int:
    """Return the mel frames that one token of the language of audio covers."""
    audiomae, translator = codec.config.audiomae, codec.config.translator
    assert audiomae is not None and translator is not None
    return audiomae.patch_size * translator.time_pool


def _schedule(codec: AudioCodec) -> dict[str, Any]:
    """Timesteps of the distilled UNet, and the two factors of each step.

    A step is linear: the next latent is a factor times the latent, plus a factor times the
    prediction. `diffusion.samplers.distilled` gives both.
    """
    config = codec.config
    assert config.distilled_unet is not None
    schedule = Schedule(config.schedule)
    timesteps = config.distilled_unet.timesteps
    steps = []
    for t, following in zip(timesteps, (*timesteps[1:], -1), strict=True):
        alpha, sigma = schedule.alpha_sigma(following)
        factors = []
        # of the latent (1, 0) and of the prediction (0, 1)
        for z, prediction in ((1.0, 0.0), (0.0, 1.0)):
            inputs = torch.tensor([z, prediction], dtype=torch.float64)
            x0, epsilon = schedule.to_x0_and_eps(inputs[:1], torch.tensor([t]), inputs[1:])
            factors.append(float(alpha * x0 + sigma * epsilon))
        steps.append({"t": t, "z": factors[0], "prediction": factors[1]})
    return {"kind": config.schedule.prediction, "steps": steps}


def _tokenizer(rules: tokenizer.Tokenizer) -> dict[str, Any]:
    """Name and limits of the tokenizer, and the grid of its number tokens."""
    result: dict[str, Any] = {
        "file": TOKENIZER_FILE,
        "max_length": rules.max_length,
        "ids": {name: rules.rules.token_to_id(name) for name in _SPECIAL},
    }
    if rules.has_number_tokens:
        result["numbers"] = {
            "note_token": numbers.NOTE,
            "num_exact": numbers.NUM_EXACT,
            "steps_per_octave": numbers.STEPS_PER_OCTAVE,
            "lowest_octave": numbers.LOWEST_OCTAVE,
            "highest_octave": numbers.HIGHEST_OCTAVE,
        }
    return result


_SPECIAL = (tokenizer.START, tokenizer.PAD, tokenizer.END, tokenizer.UNKNOWN)


def _signature(graph: Graph) -> dict[str, Any]:
    """File, inputs and output of a graph; axes with a name depend on the clip."""
    inputs = {}
    for name, axes in graph.inputs.items():
        kind = "int64" if name in graph.integers else "float32"
        inputs[name] = {"type": kind, "shape": list(axes)}
    return {"file": f"{graph.name}.onnx", "inputs": inputs, "output": graph.output}
