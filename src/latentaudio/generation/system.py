"""One loaded model, as the engine needs it."""

from __future__ import annotations

from functools import cached_property

import torch

from ..codec import AudioCodec
from ..conditioning.base import TextEncoders
from ..config.architecture import ModelConfig
from ..config.reference import ReferenceBehavior
from ..config.registry import ModelSpec
from ..device import fast_dtype, pick_device
from ..loaders.component_store import ComponentStore
from ..loaders.resolve import ModelSource
from ..loaders.tokenizers import load_text_encoders

GPU_BATCH_SIZE = 8


class System:
    """One model in memory: its row of the registry, its components and its codec.

    Components load when first used. No code here depends on a request.

    Attributes:
        source: The resolved model on disk.
        components: The networks by name.
        codec: Waveform <-> latent.
        batch_size: Clips that are denoised together. A larger batch is hardly faster on a CPU. A
            clip that is generated alone is bit-identical for one seed. In a batch, rounding changes
            samples of `mini` by about 3e-4 in float32 and 0.04 in bf16.
    """

    def __init__(
        self,
        source: ModelSource,
        device: str = "auto",
        precision: str = "auto",
        low_memory: bool = False,
    ) -> None:
        torch_device = pick_device(device)
        self.source = source
        self.components = ComponentStore(
            source,
            torch_device,
            fast_dtype(torch_device, precision),
            low_memory and source.spec.is_published,
        )
        self.codec = AudioCodec(source, self.components)
        self.batch_size = _default_batch_size(torch_device)

    @property
    def spec(self) -> ModelSpec:
        """The row of the registry, with the shapes of this model."""
        return self.source.spec

    @property
    def config(self) -> ModelConfig:
        """Shapes of the components."""
        return self.source.config

    @property
    def reference(self) -> ReferenceBehavior:
        """The reference implementation that is imitated."""
        return self.source.reference

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        return self.config.mel.sample_rate

    @cached_property
    def text_encoders(self) -> TextEncoders:
        """The encoders of prompts, with their tokenizers."""
        return load_text_encoders(
            self.source.path,
            self.config,
            self.components,
            layout=self.source.layout,
            reference=self.reference,
        )

    def to(self, device: str | torch.device, precision: str | None = None) -> None:
        """Move all components to a device or a precision."""
        torch_device = pick_device(str(device))
        dtype = self.components.dtype
        if precision is not None:
            dtype = fast_dtype(torch_device, precision)
        self.components.to(torch_device, dtype)
        self.batch_size = _default_batch_size(torch_device)


def _default_batch_size(device: torch.device) -> int:
    return 1 if device.type == "cpu" else GPU_BATCH_SIZE
