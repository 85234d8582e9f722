"""Tensors of an authors' checkpoint that follow from a model's dimensions: buffers and averages.

Their classes load with `strict=True`, so a written checkpoint has them (numerics: published
checkpoints: layouts and key names).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..conditioning.clap_buffers import clap_buffers, mel_transform_buffers
from ..config.architecture import ModelConfig
from .components import COMPONENTS

_MIN_VARIANCE = 1e-20
"""Floor of the posterior variance before its logarithm, as in the authors' DDPM."""
_EMA_DECAY = 0.9999
"""Decay of the averaged weights (numerics: training)."""
_WITHOUT_MEL_TRANSFORM = "cond_stage_model.model."
"""Place of CLAP in AudioLDM 1, whose wrapper has no mel transform."""


def checkpoint_buffers(config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor) of the schedule, of the averages' counter and of CLAP's buffers."""
    yield from _schedule_buffers(config)
    yield "model_ema.decay", torch.tensor(_EMA_DECAY)
    yield "model_ema.num_updates", torch.tensor(0, dtype=torch.int32)
    if config.clap is None:
        return
    place = COMPONENTS["clap"].audioldm
    assert place.written_prefixes is not None
    for prefix in place.written_prefixes(config):
        for name, value in clap_buffers(config.clap).items():
            yield prefix + name, value
        if prefix == _WITHOUT_MEL_TRANSFORM:
            continue
        for name, value in mel_transform_buffers(config.clap).items():
            yield f"{prefix.removesuffix('model.')}mel_transform.{name}", value


def _schedule_buffers(config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """Yield the buffers that Lightning keeps of the forward process (DDPM, arXiv 2006.11239)."""
    schedule = config.schedule
    num_steps = schedule.num_train_timesteps
    first = schedule.beta_start**0.5
    last = schedule.beta_end**0.5
    betas = torch.linspace(first, last, num_steps, dtype=torch.float64) ** 2
    alphas_bar = torch.cumprod(1 - betas, 0)
    previous = torch.cat([alphas_bar.new_ones(1), alphas_bar[:-1]])
    variance = betas * (1 - previous) / (1 - alphas_bar)
    buffers = {
        "betas": betas,
        "alphas_cumprod": alphas_bar,
        "alphas_cumprod_prev": previous,
        "sqrt_alphas_cumprod": alphas_bar.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - alphas_bar).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - alphas_bar).log(),
        "sqrt_recip_alphas_cumprod": alphas_bar.rsqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / alphas_bar - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=_MIN_VARIANCE).log(),
        "posterior_mean_coef1": betas * previous.sqrt() / (1 - alphas_bar),
        "posterior_mean_coef2": (1 - previous) * (1 - betas).sqrt() / (1 - alphas_bar),
    }
    for name, value in buffers.items():
        yield name, value.float()
    yield "logvar", torch.zeros(num_steps)
