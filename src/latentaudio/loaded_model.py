"""A loaded model: its components, what it measures, and where it computes. Base of the facade.

Letters: C channels, N samples, T mel frames, F mel bins; K clips, M texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .audio.ops import Samples
from .codec import AudioCodec
from .conditioning.base import TextEncoders
from .config.architecture import ModelConfig
from .generation.engine import Engine
from .generation.memory import MemoryEstimate
from .generation.resolve import ResolvedRequest
from .generation.system import System
from .generation.window_conditioning import WindowConditioner
from .loaders.component_store import ComponentStore
from .loaders.resolve import ModelSource

if TYPE_CHECKING:
    from .models.unet import UNet
    from .models.vae import VAE


class LoadedModel:
    """One model in memory.

    Attributes:
        system: Its components and codec.
        engine: Runs resolved requests.
    """

    def __init__(
        self,
        source: ModelSource,
        device: str = "auto",
        precision: str = "auto",
        low_memory: bool = False,
    ) -> None:
        self.system = System(source, device, precision, low_memory)
        self.engine = Engine(self.system)

    def estimate_memory(self, requests: Sequence[ResolvedRequest]) -> MemoryEstimate:
        """Estimate the memory of the largest of some requests. Loads nothing."""
        return self.engine.estimate_memory(requests)

    def similarity(self, audio: Sequence[Samples], texts: Sequence[str]) -> NDArray[np.float32]:
        """Return CLAP similarities [K, M] between K clips and M texts.

        Args:
            audio: Clips, each [C, N] or [N] at `sample_rate`.
            texts: Texts.
        """
        return self.engine.similarity(audio, texts)

    def reconstruct(self, samples: Samples) -> Samples:
        """Encode and decode samples [1, N] or [N] at `sample_rate`: the codec's best quality."""
        return self.codec.reconstruct(samples)

    def to(self, device: str | torch.device, precision: str | None = None) -> None:
        """Move the model to a device or a precision."""
        self.system.to(device, precision)

    @property
    def source(self) -> ModelSource:
        """The model on disk."""
        return self.system.source

    @property
    def config(self) -> ModelConfig:
        """Shapes of the components."""
        return self.system.config

    @property
    def components(self) -> ComponentStore:
        """The networks by name; each loads when it is first used."""
        return self.system.components

    @property
    def codec(self) -> AudioCodec:
        """Waveform <-> latent."""
        return self.system.codec

    @property
    def text_encoders(self) -> TextEncoders:
        """The encoders of prompts, with their tokenizers."""
        return self.system.text_encoders

    @property
    def unet(self) -> UNet:
        """The denoiser."""
        return cast("UNet", self.components["unet"])

    @property
    def vae(self) -> VAE:
        """The mel VAE."""
        return self.codec.vae

    @property
    def vocoder(self) -> nn.Module:
        """Log-mel [B, 1, T, F] -> samples [B, 1, N]."""
        return self.codec.vocoder

    @property
    def device(self) -> torch.device:
        """The device it computes on."""
        return self.components.device

    @property
    def dtype(self) -> torch.dtype | None:
        """The type of the components with most of the work; None is float32."""
        return self.components.dtype

    @property
    def sample_rate(self) -> int:
        """Sample rate of its clips in Hz."""
        return self.system.sample_rate

    @property
    def max_duration(self) -> float:
        """Seconds that one window covers; longer clips are made of several."""
        return self.system.spec.max_duration

    @property
    def conditioner(self) -> WindowConditioner:
        """Builds the conditioning of windows."""
        return self.engine.conditioner

    @property
    def batch_size(self) -> int:
        """Clips that are denoised together; see `System`."""
        return self.system.batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self.system.batch_size = value
