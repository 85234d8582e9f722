"""Call signatures of diffusers over this package: `from latentaudio.compat import AudioLDM2Pipeline`."""

from .pipelines import AudioLDM2Pipeline, AudioLDMPipeline

__all__ = ["AudioLDM2Pipeline", "AudioLDMPipeline"]
