"""The table of vocoders, by `VocoderConfig.kind`.

Each maps a log-mel [B, 1, T, F] to samples [B, 1, N] in float32.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ..config.architecture import VocoderConfig
from .hifigan import HiFiGAN
from .istft_vocoder import ISTFTVocoder

VOCODERS: dict[str, Callable[[VocoderConfig], nn.Module]] = {
    "hifigan": HiFiGAN,
    "istft": ISTFTVocoder,
}
"""Every vocoder by its kind."""


def build_vocoder(config: VocoderConfig) -> nn.Module:
    """Build the vocoder that the config describes, with random weights."""
    return VOCODERS[config.kind](config)
