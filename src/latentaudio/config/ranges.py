"""Ranges of all numbers in a model's configuration, so that no file is believed blindly.

A field without a row here is a size: a whole number from 1 to `MAX_SIZE`. To add a field that can
be 0 or that has a fraction, add a row to `RANGES`.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, TypeAlias

from ..errors import ConfigError

Range: TypeAlias = tuple[float, float]
"""Least and greatest value."""

MAX_SIZE = 2**16
"""Greatest width, length or number of bands. Published networks stay below 6,000."""
MAX_LAYERS = 512
"""Greatest number of layers, blocks or levels. Published networks have 24."""
MAX_ITEMS = 1024
"""Longest list of numbers."""

_LAYERS: Range = (1, MAX_LAYERS)
_OPTIONAL_LAYERS: Range = (0, MAX_LAYERS)
_OPTIONAL_SIZE: Range = (0, MAX_SIZE)
_EPSILON: Range = (1e-15, 1.0)
_HERTZ: Range = (0.0, 400_000.0)
_RATE: Range = (1_000, 400_000)
_TABLE_ROWS: Range = (1, 2**24)
_BETA: Range = (1e-9, 0.9999)
_TIMESTEPS: Range = (0, 1_000_000)

RANGES: dict[tuple[str, str], Range] = {
    ("MelSpec", "sample_rate"): _RATE,
    ("MelSpec", "fmin"): _HERTZ,
    ("MelSpec", "fmax"): _HERTZ,
    ("MelSpec", "floor"): (1e-15, 1.0),
    ("VAEConfig", "channel_mult"): (1, 64),
    ("VAEConfig", "num_res_blocks"): _LAYERS,
    ("UNetConfig", "channel_mult"): (1, 64),
    ("UNetConfig", "num_res_blocks"): _LAYERS,
    ("UNetConfig", "transformer_depth"): _LAYERS,
    ("UNetConfig", "num_uniform_frequencies"): _OPTIONAL_SIZE,
    ("UNetConfig", "num_position_frequencies"): _OPTIONAL_SIZE,
    ("UNetConfig", "norm_eps"): _EPSILON,
    ("UNetConfig", "freq_shift"): (0.0, 1000.0),
    ("VocoderConfig", "num_layers"): _LAYERS,
    ("VocoderConfig", "sample_rate"): _RATE,
    ("VocoderConfig", "fmin"): _HERTZ,
    ("VocoderConfig", "fmax"): _HERTZ,
    ("VocoderConfig", "leaky_relu_slope"): (0.0, 1.0),
    ("VocoderConfig", "pitch_smoothing_frames"): _OPTIONAL_SIZE,
    ("VocoderConfig", "attack_n_fft"): _OPTIONAL_SIZE,
    ("ScheduleConfig", "num_train_timesteps"): (2, 1_000_000),
    ("ScheduleConfig", "beta_start"): _BETA,
    ("ScheduleConfig", "beta_end"): _BETA,
    ("ScheduleConfig", "ddim_offset"): (0, 1_000),
    ("DistilledUNetConfig", "timesteps"): _TIMESTEPS,
    ("ModelConfig", "latent_mean"): (-1e6, 1e6),
    ("ModelConfig", "latent_std"): (1e-6, 1e6),
    ("AudioMAEConfig", "num_layers"): _LAYERS,
    ("AudioMAEConfig", "decoder_num_layers"): _OPTIONAL_LAYERS,
    ("CLAPMelSpec", "fmin"): _HERTZ,
    ("CLAPMelSpec", "fmax"): _HERTZ,
    ("CLAPMelSpec", "duration_s"): (0.01, 3600.0),
    ("CLAPConfig", "text_num_layers"): _LAYERS,
    ("CLAPConfig", "vocab_size"): _TABLE_ROWS,
    ("CLAPConfig", "text_layer_norm_eps"): _EPSILON,
    ("CLAPConfig", "text_pad_id"): (0, 2**24),
    ("CLAPConfig", "audio_layer_norm_eps"): _EPSILON,
    ("CLAPConfig", "audio_depths"): _LAYERS,
    ("CLAPConfig", "audio_mlp_ratio"): (0.01, 64.0),
    ("T5Config", "num_layers"): _LAYERS,
    ("T5Config", "vocab_size"): _TABLE_ROWS,
    ("T5Config", "layer_norm_eps"): _EPSILON,
    ("PhonemesConfig", "num_layers"): _LAYERS,
    ("PhonemesConfig", "window_size"): _OPTIONAL_SIZE,
    ("PhonemesConfig", "layer_norm_eps"): _EPSILON,
    ("TranslatorConfig", "num_layers"): _LAYERS,
    ("TranslatorConfig", "vocab_size"): _TABLE_ROWS,
    ("TranslatorConfig", "layer_norm_eps"): _EPSILON,
    ("LatentPriorConfig", "num_layers"): _LAYERS,
    ("LatentPriorConfig", "num_uniform_frequencies"): _OPTIONAL_SIZE,
    ("LatentPriorConfig", "num_position_frequencies"): _OPTIONAL_SIZE,
}
"""Ranges by the names of class and field."""

_CAN_BE_EMPTY = {("CLAPConfig", "audio_depths"), ("CLAPConfig", "audio_num_heads")}


def require_ranges(config: Any) -> None:
    """Check every number of a configuration.

    Args:
        config: A dataclass of `config.architecture`.

    Raises:
        ConfigError: A number is out of its range, not finite, or has a fraction where a whole
            number is needed; or a list is empty or too long.
    """
    class_name = type(config).__name__
    for field in fields(config):
        value = getattr(config, field.name)
        place = (class_name, field.name)
        name = f"{class_name.removesuffix('Config')} {field.name}"
        if isinstance(value, list | tuple):
            low = 0 if place in _CAN_BE_EMPTY else 1
            if not low <= len(value) <= MAX_ITEMS:
                raise ConfigError(
                    f"{name} has {len(value)} values; give {low or 'up'} to {MAX_ITEMS}"
                )
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                _require_range(name, number, RANGES.get(place, (1, MAX_SIZE)))


def _require_range(name: str, number: float, allowed: Range) -> None:
    low, high = allowed
    is_whole = isinstance(low, int)
    if is_whole and isinstance(number, float):
        raise ConfigError(f"{name} = {number} must be a whole number from {low:g} to {high:g}")
    if not (math.isfinite(number) and low <= number <= high):
        raise ConfigError(f"{name} = {number} must be a number from {low:g} to {high:g}")
