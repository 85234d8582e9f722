"""Tiny components of diffusers and transformers, each beside ours that is built from its files.

A bench builds a component of a library from a configuration, runs it, and runs ours with the same
weights, built from nothing but the configuration file and the tensors that the library saves.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from published import randomize

from latentaudio.config.architecture import (
    MelSpec,
    ModelConfig,
    UNetConfig,
    VAEConfig,
    VocoderConfig,
)
from latentaudio.loaders.config_keys import KeyTable, read_settings
from latentaudio.loaders.layouts import LAYOUTS, load_tensors
from latentaudio.loaders.tensor_files import Tensors

NUM_FRAMES = 8
NUM_TOKENS = 7


def random(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def as_json(content):
    return json.loads(json.dumps(content))


@dataclass
class Bench:
    """A class of a library, ours, and how both are run.

    `rows` is walked. `base` are arguments of the library's configuration class, `build` returns
    (component, content of its file, state dict). `nested` is the key that the rows are below, and
    `file_rows` the table of the whole file then. `changes` has other legal values: a value, or
    several arguments at once.
    """

    rows: KeyTable
    base: dict[str, Any]
    build: Callable[[dict[str, Any]], tuple[Any, dict[str, Any], dict[str, torch.Tensor]]]
    run_library: Callable[[Any], list[torch.Tensor]]
    run_ours: Callable[[dict[str, Any], dict[str, torch.Tensor]], list[torch.Tensor]]
    nested: str = ""
    file_rows: KeyTable | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    cannot_change: frozenset[str] = frozenset()


def load_ours(name, config, state, prefix=""):
    renamed = {prefix + key: value for key, value in state.items()}
    tensors = Tensors({key: (renamed, key) for key in renamed}, Path("file"))
    return load_tensors(tensors, name, config, LAYOUTS["diffusers"], torch.float32)


def system(**parts):
    unet = parts.get("unet") or UNetConfig(
        latent_channels=4, channels=8, channel_mult=(1,), attention=(True,), num_heads=(1,),
        num_groups=4,
    )  # fmt: skip
    vae = parts.get("vae") or VAEConfig(4, (1,), unet.latent_channels, 1, 2)
    unet = parts.get("unet") or UNetConfig(
        latent_channels=vae.latent_channels, channels=8, channel_mult=(1,), attention=(True,),
        num_heads=(1,), num_groups=4,
    )  # fmt: skip
    vocoder = parts.get("vocoder") or VocoderConfig(kind="istft", channels=16, ffn_dim=16)
    mel = parts.get("mel") or MelSpec(n_mels=vocoder.n_mels)
    rest = {name: parts[name] for name in ("clap", "t5", "phonemes", "translator") if name in parts}
    return ModelConfig(mel=mel, vae=vae, unet=unet, vocoder=vocoder, **rest)


def build_diffusers(library_class):
    def build(arguments):
        module = randomize(library_class(**arguments))
        return module, as_json(dict(module.config)), module.state_dict()

    return build


def build_transformers(model_class, config_class, finish=lambda model: model):
    def build(arguments):
        config = config_class(**arguments)
        model = randomize(finish(model_class(config)))
        content = json.loads(config.to_json_string(use_diff=False))
        for part in (model, *model.children()):  # a form of the output, which we would have to undo
            if hasattr(part, "config"):
                part.config.return_dict = True
        return model, content, model.state_dict()

    return build


def open_ours(bench, content, state):
    """Read a file's content by its table, and run our component on it."""
    settings = read_settings(content, bench.file_rows or bench.rows, "config.json")
    return bench.run_ours(settings, state)
