"""Builders of all networks. Their modules are imported when a network is first built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..config.architecture import ModelConfig
from ..errors import ConfigError, LatentAudioError, first_line

if TYPE_CHECKING:
    from torch import nn


def build_vae(config: ModelConfig) -> nn.Module:
    """Return the mel VAE with fresh weights."""
    from ..models.vae import VAE

    return VAE(config.vae, config.latent_mean, config.latent_std)


def build_vocoder(config: ModelConfig) -> nn.Module:
    """Return the vocoder with fresh weights."""
    from ..models.vocoders import build_vocoder

    return build_vocoder(config.vocoder)


def build_clap(config: ModelConfig) -> nn.Module:
    """Return CLAP, or its text tower alone with fresh weights."""
    from ..models.text_encoders import build_clap

    assert config.clap is not None
    module: nn.Module = build_clap(config.clap)
    return module


def build_t5(config: ModelConfig) -> nn.Module:
    """Return T5's encoder with fresh weights."""
    from ..models.text_encoders import build_t5

    assert config.t5 is not None
    module: nn.Module = build_t5(config.t5)
    return module


def build_phonemes(config: ModelConfig) -> nn.Module:
    """Return the phoneme encoder with fresh weights."""
    from ..models.phoneme_encoder import PhonemeEncoder

    assert config.phonemes is not None
    return PhonemeEncoder(config.phonemes)


def build_audiomae(config: ModelConfig) -> nn.Module:
    """Return AudioMAE with fresh weights."""
    from ..models.audiomae import AudioMAE

    assert config.audiomae is not None
    return AudioMAE(config.audiomae)


def build_translator(config: ModelConfig) -> nn.Module:
    """Return GPT-2 with its projections with fresh weights."""
    from ..models.translator import Translator

    assert config.translator is not None
    return Translator(config.translator)


def build_latent_prior(config: ModelConfig) -> nn.Module:
    """Return the latent prior with fresh weights."""
    from ..models.latent_prior import LatentPrior

    assert config.latent_prior is not None and config.t5 is not None
    num_bins = config.mel.n_mels // config.vae.downsampling
    return LatentPrior(
        config.latent_prior, config.t5.hidden_size, config.vae.latent_channels, num_bins
    )


def build_unet(config: ModelConfig) -> nn.Module:
    """Return a UNet with fresh weights."""
    from ..models.unet import UNet

    return UNet(config.unet)


@contextmanager
def refused_dimensions_reported() -> Iterator[None]:
    """Turn every error of the block, which builds a network, into one of its configuration.

    Raises:
        ConfigError: A constructor, often of another library, refuses the dimensions.
    """
    try:
        yield
    except LatentAudioError:
        raise
    except (ValueError, TypeError, ArithmeticError, LookupError, AssertionError) as error:
        raise ConfigError(
            f"the configuration of the model describes no network ({first_line(error)}); "
            "correct it, or download the model again"
        ) from None


def build_on_meta(
    build: Callable[[ModelConfig], nn.Module], config: ModelConfig, uses_transformers: bool
) -> nn.Module:
    """Return a network on the meta device: shapes without memory, to assign weights to.

    Args:
        build: One of the builders.
        config: The system's dimensions.
        uses_transformers: Whether the transformers library builds the network.
    """
    import torch

    from .state_dict import SkipInit

    if uses_transformers:
        from ..models.text_encoders import preload_transformers

        preload_transformers()
    with torch.device("meta"), SkipInit(), refused_dimensions_reported():
        return build(config)
