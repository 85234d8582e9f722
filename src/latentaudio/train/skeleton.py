"""A stage without data and without trained weights, of which a step can be measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..audio.mel import CLAP_RATE
from ..conditioning import used_conditioners
from ..config.architecture import ModelConfig
from ..data.pre_encoded import AUDIO_PREFIX, CAPTION_PREFIX, LATENT
from ..errors import ConfigError
from ..loaders.components import build_component, build_on_meta
from ..models.lpips import LPIPS
from .adapters import add_adapter
from .recipe import Recipe
from .stages.base import Batch, Stage, stage_class
from .stages.latent_stage import GENERATED_LOA, TRUE_LOA
from .unconditional import UnconditionalInputs

MAX_FRAMES = 1024
"""Mel frames of a clip of 10.24 s, the longest of a batch."""
TEXT_TOKENS = 32
"""Tokens of a caption in an example batch."""
_KINDS = ("vae", "vocoder", "clap", "audiomae", "translator", "latent_prior")
_UNET_KINDS = ("diffusion", "joint", "finetune")
_NEEDS_DATA = {"channel_loss_weighting": 0.0, "old_data": (), "concat_fraction": 0.0}
"""Options that read data before the first step, and their values without it."""


class _FullTexts:
    """A tokenizer whose texts all have the greatest length."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, texts: Any, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Return ids and mask [B, N]."""
        ids = torch.full((len(texts), self.length), 2)
        return ids, torch.ones_like(ids)


class _Skeleton(Stage):
    """Replaces every method of a stage that reads a file. It comes before the stage's class."""

    is_meta: ClassVar[bool]
    clip_frames: ClassVar[int]

    def build_shape(self, component: str) -> nn.Module:
        """Return a component on the meta device, or with random weights."""
        return (build_on_meta if self.is_meta else build_component)(component, self.config)

    def has_component(self, component: str) -> bool:
        """Return True: every component exists, as a shape."""
        return True

    def load_frozen(self, component: str) -> nn.Module:
        """Return the shape of a component."""
        module = self.build_shape(component).requires_grad_(False).eval()
        self.frozen[component] = module
        return module

    def load_trainable(self, component: str) -> nn.Module:
        """Return the shape of a component, with its adapter."""
        module = self.build_shape(component)
        if self.recipe.adapter is not None:
            add_adapter(module, component, self.recipe.adapter)
            self.adapted[component] = module
        return module

    def load_lpips(self) -> nn.Module:
        """Return the shape of LPIPS."""
        return LPIPS().requires_grad_(False)

    def load_tokenizer(self) -> Any:
        """Return a tokenizer of long texts."""
        assert self.config.clap is not None
        return _FullTexts(self.config.clap.text_max_length)

    def read_clips(self) -> None:
        """Read nothing. A batch has as many clips as the recipe says."""
        self.clips: Any = (None,) * self.recipe.batch_size

    def open_dataset(self) -> None:
        """Open nothing."""

    def translate_captions(self) -> None:
        """Translate nothing."""

    def load_unconditional(self) -> UnconditionalInputs:
        """Return zeros as the unconditional form of every encoding."""
        return UnconditionalInputs({})

    def batch(self, position: int) -> Batch:
        """Return a batch of the recipe's shape."""
        return example_batch(self)


def build_skeleton(
    recipe: Recipe, config: ModelConfig, is_meta: bool = True, clip_frames: int = MAX_FRAMES
) -> Stage:
    """Return the stage of a recipe, with shapes in the place of weights and data.

    Args:
        recipe: The recipe.
        config: Architecture of the model.
        is_meta: Whether it is on the meta device. False: it has random weights, and zeros as data.
        clip_frames: Mel frames of a clip in stages on latents.

    Raises:
        ConfigError: An option is not allowed, or the stage cannot be estimated.
    """
    if recipe.stage not in (*_KINDS, *_UNET_KINDS):
        raise ConfigError(f"there is no estimate for the stage {recipe.stage}")
    kind = stage_class(recipe.stage)
    options = dict(recipe.options)
    for name, value in _NEEDS_DATA.items():
        if name in kind.Options.model_fields:
            options[name] = value
    recipe = recipe.model_copy(update={"options": options, "validation": None})
    skeleton: Any = type(
        f"Skeleton{kind.__name__}",
        (_Skeleton, kind),
        {"is_meta": is_meta, "clip_frames": clip_frames},
    )
    stage: Stage = skeleton(recipe, config, (), Path())
    if is_meta:
        for module in (*stage.trainables.values(), *stage.frozen.values()):
            module.to("meta")
    return stage


def example_batch(stage: _Skeleton) -> Batch:
    """Return a batch of a stage: zeros, in clips of `clip_frames` where lengths differ.

    Args:
        stage: The stage.
    """
    make = _EXAMPLES.get(stage.recipe.stage, _latents)
    with torch.device("meta" if stage.is_meta else "cpu"):
        return make(stage)


def _mels(stage: Stage) -> Batch:
    frames = stage.options.crop_frames
    return _zeros(stage.recipe.batch_size, 1, frames, stage.config.mel.n_mels)


def _samples(stage: Stage) -> Batch:
    return _zeros(stage.recipe.batch_size, stage.options.crop_frames * stage.config.mel.hop_length)


def _filterbanks(stage: Stage) -> Batch:
    assert stage.config.audiomae is not None
    return _zeros(
        stage.recipe.batch_size, 1, stage.options.crop_frames, stage.config.audiomae.n_mels
    )


def _captioned_mels(stage: Stage) -> Batch:
    assert stage.config.clap is not None
    spec = stage.config.clap.mel
    frames = 1 + int(spec.duration_s * CLAP_RATE) // spec.hop_length
    mel = _zeros(stage.recipe.batch_size, 1, frames, spec.n_mels)
    return {"mel": mel, "captions": [""] * stage.recipe.batch_size}


def _latents(stage: _Skeleton) -> Batch:
    """Arrays of a pre-encoded batch."""
    config = stage.config
    size = max(1, stage.options.frames_per_batch // stage.clip_frames)
    factor = config.vae.downsampling
    bins = config.mel.n_mels // factor
    arrays = {LATENT: _zeros(size, config.vae.latent_channels, stage.clip_frames // factor, bins)}
    for conditioner in used_conditioners(config):
        inputs = conditioner.clip_inputs(config)
        width = _vector_width(config) if conditioner.name == "clap" else None
        if width is not None:
            arrays[f"{CAPTION_PREFIX}clap.vector"] = _zeros(size, width)
            if "audio" in inputs:
                arrays[f"{AUDIO_PREFIX}clap.vector"] = _zeros(size, width)
    for name, tokens, width in _token_shapes(config):
        arrays[f"{CAPTION_PREFIX}{name}.tokens"] = _zeros(size, tokens, width)
        arrays[f"{CAPTION_PREFIX}{name}.mask"] = torch.ones(size, tokens)
    loa = _loa_shape(stage)
    if loa is not None:
        arrays[TRUE_LOA] = _zeros(size, *loa)
        if stage.recipe.stage != "joint" and getattr(stage.options, "true_loa_prob", 1) < 1:
            arrays[GENERATED_LOA] = _zeros(size, *loa)
    return {"new": arrays} if stage.recipe.stage == "finetune" else arrays


def _vector_width(config: ModelConfig) -> int | None:
    return None if config.clap is None else config.clap.projection_dim


def _token_shapes(config: ModelConfig) -> list[tuple[str, int, int]]:
    """Name, number and width of the tokens of every encoder of texts."""
    shapes = []
    if config.t5 is not None:
        shapes.append(("t5", min(TEXT_TOKENS, config.t5.max_length), config.t5.hidden_size))
    if config.phonemes is not None:
        shapes.append(("phonemes", config.phonemes.max_length, config.phonemes.hidden_size))
    return shapes


def _loa_shape(stage: _Skeleton) -> tuple[int, int] | None:
    """Number and width of the tokens of the language of audio of an example clip."""
    config = stage.config
    if config.audiomae is None or config.translator is None:
        return None
    patch = config.audiomae.patch_size
    pools = getattr(stage.options, "loa_pools", ())
    time_pool = 1 if pools else config.translator.time_pool
    freq_pool = 1 if pools else config.translator.freq_pool
    rows = stage.clip_frames // patch // time_pool
    return rows * (config.audiomae.n_mels // patch // freq_pool), config.audiomae.hidden_size


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


_EXAMPLES: dict[str, Callable[[_Skeleton], Batch]] = {
    "vae": _mels,
    "vocoder": _samples,
    "audiomae": _filterbanks,
    "clap": _captioned_mels,
}
