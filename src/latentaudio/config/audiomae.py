"""The AudioMAE of published AudioLDM 2, which its training needs and its generation does not.

Torch-free.
"""

from __future__ import annotations

from dataclasses import replace

from .architecture import AudioMAEConfig, ModelConfig

PUBLISHED_AUDIOMAE = AudioMAEConfig(decoder_num_layers=0)
"""The encoder alone: the decoder of published files is of another kind and is not loaded."""


def training_config(config: ModelConfig) -> ModelConfig:
    """Return a configuration with all networks that its training needs.

    Published AudioLDM 2 generates without the AudioMAE that it was trained with. Training gets one
    with the published encoder and a plain decoder (numerics: AudioMAE).

    Args:
        config: Configuration of a model.
    """
    if config.translator is None or config.audiomae is not None:
        return config
    return replace(config, audiomae=AudioMAEConfig())
