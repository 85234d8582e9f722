"""The ONNX graphs of a model: a table of networks, their inputs and outputs.

Each graph computes one clip. Sizes that depend on the clip are axes with a name: `tokens` of a
prompt, `latent_frames` of a clip, `loa_tokens` of its language of audio.

N tokens of a prompt, n tokens of the language of audio, D width, C T' F' latent, T mel frames, F
mel bins, S samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..config.architecture import ModelConfig
from ..models.latent_prior import LatentPrior
from ..models.translator import Translator
from ..models.unet import UNet
from ..models.vae import VAE
from ..types import Conditioning, Context, Latent
from .vocoder_graph import VocoderGraph

Axis: TypeAlias = str | int
"""A number, or the name of a size that depends on the clip."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the clip that a graph is traced with.

    Attributes:
        tokens: Tokens N of the prompt.
        latent_frames: Frames T' of the latent.
        loa_tokens: Tokens n of the language of audio.
    """

    tokens: int
    latent_frames: int
    loa_tokens: int


@dataclass(frozen=True)
class Graph:
    """One ONNX file.

    Attributes:
        name: Its name, without `.onnx`.
        component: The network whose weights it holds.
        make: Builds the module that is traced from that network.
        inputs: Axes of each input by name, in order. The first axis is always 1. An axis
            "mel_frames" follows from `latent_frames`.
        output: Name of its output.
        integers: Inputs of type int64; the others are float32.
    """

    name: str
    component: str
    make: Callable[[Any], nn.Module]
    inputs: Mapping[str, tuple[Axis, ...]]
    output: str
    integers: tuple[str, ...] = ()


class CLAPGraph(nn.Module):
    """Token ids [1, N] -> CLAP's unit vector [1, D]."""

    def __init__(self, clap: nn.Module) -> None:
        super().__init__()
        self.clap: Any = clap

    def forward(self, ids: Tensor) -> Tensor:
        """See the class."""
        mask = torch.ones_like(ids)
        vectors = self.clap.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
        return normalize(vectors, dim=-1)


class T5Graph(nn.Module):
    """Token ids [1, N] -> hidden states [1, N, D]."""

    def __init__(self, t5: nn.Module) -> None:
        super().__init__()
        self.t5: Any = t5

    def forward(self, ids: Tensor) -> Tensor:
        """See the class."""
        mask = torch.ones_like(ids)
        states: Tensor = self.t5(input_ids=ids, attention_mask=mask).last_hidden_state
        return states


class TranslatorGraph(nn.Module):
    """The next token [1, 1, D] of the language of audio.

    Its inputs are CLAP's vector [1, D], T5's states [1, N, D], the tokens [1, n, D], and the number
    of tokens [1] that are known. It does not read the others. The program calls it once per token.
    """

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.translator = translator

    def forward(self, vector: Tensor, states: Tensor, loa: Tensor, count: Tensor) -> Tensor:
        """See the class."""
        sources = (Context.unmasked(vector[:, None]), Context.unmasked(states))
        prompt = self.translator.build_prompt(sources).tokens
        # without a cache of keys and values: the sequence is short
        inputs = torch.cat([prompt, loa], dim=1)
        hidden: Tensor = self.translator.gpt2(inputs_embeds=inputs, use_cache=False)[0]
        return hidden.index_select(1, prompt.shape[1] - 1 + count)


class PriorGraph(nn.Module):
    """T5's states [1, N, D] and the noise [1, C, T', F'] -> predicted latent [1, C, T', F'].

    Of the noise it reads the number of frames alone.
    """

    def __init__(self, prior: LatentPrior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, states: Tensor, noise: Tensor) -> Tensor:
        """See the class."""
        prediction: Tensor = self.prior(Context.unmasked(states), noise.shape[2])
        return prediction


class UNetGraph(nn.Module):
    """One step of the distilled UNet: a noisy latent [1, C, T', F'] -> its prediction.

    Its other inputs are the timestep [1], CLAP's vector [1, D], the language of audio [1, n, D],
    T5's states [1, N, D] and the prior's latent.
    """

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self, z: Tensor, t: Tensor, vector: Tensor, loa: Tensor, states: Tensor, prior: Tensor
    ) -> Tensor:
        """See the class."""
        contexts = (Context.unmasked(loa), Context.unmasked(states))
        prediction: Tensor = self.unet(z, t, Conditioning(vector, contexts, prior))
        return prediction


class GroupNormGraph(nn.Module):
    """Group norm of one grid [1, C, T, F], whose sums are done in parts.

    A runtime adds the numbers of a group one after the other; see `models.group_norm`.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.num_groups = norm.num_groups
        self.eps = norm.eps
        self.weight = norm.weight
        self.bias = norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        grid = x.unflatten(1, (self.num_groups, -1))
        centered = grid - _mean_of_parts(grid)
        spread = (_mean_of_parts(centered.square()) + self.eps).sqrt()
        normal = (centered / spread).flatten(1, 2)
        out: Tensor = normal * self.weight[:, None, None] + self.bias[:, None, None]
        return out


def _mean_of_parts(grid: Tensor) -> Tensor:
    """Means of groups [1, G, C/G, T, F] -> [1, G, 1, 1, 1]: over bins, then frames, channels."""
    return grid.mean(4, keepdim=True).mean(3, keepdim=True).mean(2, keepdim=True)


def replace_norms(module: nn.Module) -> None:
    """Replace the group norms below a module by `GroupNormGraph`, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, GroupNormGraph(child))
        else:
            replace_norms(child)


class DecoderGraph(nn.Module):
    """Latent [1, C, T', F'] -> log-mel [1, 1, T, F]."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae
        replace_norms(vae.decoder)

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        return self.vae.decode(Latent(z))


def graphs_of(config: ModelConfig, max_frames: int) -> tuple[Graph, ...]:
    """Return the graphs of a model, in the order in which a prompt passes them.

    Args:
        config: Shapes of a model with the architecture of mini.
        max_frames: Mel frames of the longest clip.
    """
    clap, t5, translator = config.clap, config.t5, config.translator
    assert clap is not None and t5 is not None and translator is not None
    vector = (1, clap.projection_dim)
    states = (1, "tokens", t5.hidden_size)
    loa = (1, "loa_tokens", translator.hidden_size)
    bins = config.mel.n_mels // config.vae.downsampling
    latent = (1, config.vae.latent_channels, "latent_frames", bins)
    step: Mapping[str, tuple[Axis, ...]] = {
        "z": latent,
        "t": (1,),
        "vector": vector,
        "loa": loa,
        "states": states,
        "prior": latent,
    }
    prior = {"states": states, "noise": latent}
    sources: Mapping[str, tuple[Axis, ...]] = {
        "vector": vector,
        "states": states,
        "loa": loa,
        "count": (1,),
    }
    mel = {"log_mel": (1, 1, "mel_frames", config.mel.n_mels)}
    vocoder = partial(VocoderGraph, max_frames=max_frames)

    return (
        Graph("clap_text", "clap", CLAPGraph, {"ids": (1, "tokens")}, "vector", ("ids",)),
        Graph("t5", "t5", T5Graph, {"ids": (1, "tokens")}, "states", ("ids",)),
        Graph("latent_prior", "latent_prior", PriorGraph, prior, "prior"),
        Graph("translator", "translator", TranslatorGraph, sources, "token", ("count",)),
        Graph("unet", "distilled_unet", UNetGraph, step, "prediction", ("t",)),
        Graph("vae_decoder", "vae", DecoderGraph, {"z": latent}, "log_mel"),
        Graph("vocoder", "vocoder", vocoder, mel, "samples"),
    )
