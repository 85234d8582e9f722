"""One loaded model: its components, its encoders and where it computes. Base of `AudioLDM`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, NoReturn, SupportsIndex, cast

import numpy as np
import torch
from torch import nn

from ..audio.watermark import Watermark, watermark_of_environment
from ..backends import get_backend
from ..codec import AudioCodec
from ..conditioning import encode
from ..conditioning.base import EncoderInputs, Encoders
from ..config.architecture import ModelConfig
from ..config.backends import TORCH, check_backend
from ..config.kernel_cache import KERNELS_OF_SMALL, fix_kernels, keep_kernels
from ..config.reference import ReferenceBehavior
from ..config.registry import ModelSpec
from ..device import fast_dtype, pick_device, uses_int8
from ..errors import UsageError
from ..loaders.component_store import ComponentStore
from ..loaders.prepared import is_switched_off
from ..loaders.tokenizers import load_encoders
from ..types import Conditioning
from .adapters import AdapterMethods
from .prompt_cache import PromptCache

if TYPE_CHECKING:
    from ..loaders.layouts import ModelSource
    from ..models.unet import UNet
    from ..models.vae import VAE

GPU_BATCH_SIZE = 8
MAX_UNREAD_SHARE = 0.5
"""Share of a prompt's pieces, above which a tokenizer that does not know them reads no prompt."""
CACHE_SIZE = 64
"""Encoder inputs whose conditionings are kept."""


class System(AdapterMethods):
    """One model: its networks, its codec, and the encoders of prompts.

    It does not sample: `generation.engine.Engine` does that with a system. Networks load when they
    are used first. Nothing here depends on a request.

    Attributes:
        source: The model on disk, with its row of the table of models.
        components: The networks by name, such as "unet".
        codec: Mel front end, VAE and vocoder: waveform to latent and back.
        batch_size: Clips that are denoised together. A larger batch is hardly faster on a CPU. A
            clip that is generated alone is bit-identical for one seed. In a batch, rounding changes
            samples of `mini` by about 3e-4 in float32 and 0.04 in bf16.
    """

    def __init__(
        self,
        source: ModelSource,
        device: str | torch.device = "auto",
        precision: str = "auto",
        low_memory: bool = False,
        use_cache: bool = False,
        backend: str = TORCH,
    ) -> None:
        check_backend(backend, str(device), precision, source.reference, bool(source.adapters))
        if backend != TORCH:
            device = "cpu"
            precision = get_backend(backend).choose_precision(precision)
        torch_device = pick_device(device)
        use_cache = use_cache and not is_switched_off()
        self.source = source
        if source.spec.is_published:
            fix_kernels()
        else:
            keep_kernels(KERNELS_OF_SMALL)
        self.components = ComponentStore(
            source,
            torch_device,
            fast_dtype(torch_device, precision),
            low_memory and source.spec.is_published,
            uses_int8(torch_device, precision),
            use_cache,
            backend,
        )
        self.codec = AudioCodec(source, self.components)
        self.batch_size = _default_batch_size(torch_device)
        self._encoded: dict[EncoderInputs, Conditioning] = {}
        self._encoded_version = 0
        self._use_cache = use_cache
        self._lock = Lock()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Say why pickle, `copy.copy` and `copy.deepcopy` cannot be used.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"a loaded model cannot be pickled or copied (it has locks and mapped files); "
            f"call latentaudio.load({self.source.name!r}) again, once in each process"
        )

    def to(self, device: str | torch.device, precision: str | None = None) -> None:
        """Move all components to a device or a precision."""
        backend = self.components.backend
        check_backend(backend, str(device), precision or "auto")
        if backend != TORCH:
            device = "cpu"
            if precision is not None:
                precision = get_backend(backend).choose_precision(precision)
        torch_device = pick_device(device)
        dtype = self.components.dtype
        use_int8 = self.components.use_int8 and torch_device.type == "cpu"
        if precision is not None:
            dtype = fast_dtype(torch_device, precision)
            use_int8 = uses_int8(torch_device, precision)
        self.components.to(torch_device, dtype, use_int8)
        self.batch_size = _default_batch_size(torch_device)

    def encode(self, needed: Sequence[EncoderInputs]) -> dict[EncoderInputs, Conditioning]:
        """Return the conditioning of each input; those of the latest inputs are kept."""
        with self._lock:
            version = self.components.version
            if self._encoded_version != version:
                self._encoded.clear()
                self._encoded_version = version
            encoded: dict[EncoderInputs, Conditioning] = {}
            missing = []
            for inputs in needed:
                if inputs in self._encoded:
                    encoded[inputs] = self._encoded.pop(inputs)
                else:
                    missing.append(inputs)
            if missing:
                self._warn_of_unread_texts(missing)
                encoded |= self._encode_missing(missing)
            for inputs, conditioning in encoded.items():  # the latest last
                self._encoded[_cache_key(inputs)] = conditioning
            for oldest in list(self._encoded)[:-CACHE_SIZE]:
                del self._encoded[oldest]
        return encoded

    def _encode_missing(
        self, missing: Sequence[EncoderInputs]
    ) -> dict[EncoderInputs, Conditioning]:
        """Return conditionings from the disk, and the others from the encoders."""
        stored = self._prompt_cache.read(missing) if self._use_cache else {}
        others = [inputs for inputs in missing if inputs not in stored]
        new = dict(zip(others, encode(self.encoders, others), strict=True)) if others else {}
        if self._use_cache and new:
            self._prompt_cache.write(new)
        return stored | new

    @cached_property
    def _prompt_cache(self) -> PromptCache:
        return PromptCache(self.components, self.encoders)

    def _warn_of_unread_texts(self, needed: Sequence[EncoderInputs]) -> None:
        """Warn of texts whose letters no tokenizer knows; all of them give the same clip."""
        tokenizers = list(self.encoders.tokenizers.values())
        for text in dict.fromkeys(text for inputs in needed for text in inputs.texts):
            shares = [tokenizer.unread_share(text) for tokenizer in tokenizers]
            if shares and min(shares) > MAX_UNREAD_SHARE:
                warnings.warn(
                    f"this model reads English only and does not know the letters of {text!r:.60};"
                    " write the prompt in English",
                    stacklevel=2,
                )

    @cached_property
    def watermark(self) -> Watermark | None:
        """The watermark of all clips, or None."""
        return watermark_of_environment()

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
        """Sample rate of its clips in Hz."""
        return self.config.mel.sample_rate

    @property
    def max_duration(self) -> float:
        """Seconds that one window covers; longer clips are made of several."""
        return self.spec.max_duration

    @property
    def device(self) -> torch.device:
        """The device it computes on."""
        return self.components.device

    @property
    def dtype(self) -> torch.dtype | None:
        """The type of the components with most of the work; None is float32."""
        return self.components.dtype

    @cached_property
    def encoders(self) -> Encoders:
        """The encoders of prompts, with their tokenizers."""
        return load_encoders(
            self.source.path,
            self.config,
            self.components,
            layout=self.source.layout,
            reference=self.reference,
        )

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


def _cache_key(inputs: EncoderInputs) -> EncoderInputs:
    """Return the same inputs without samples, so that the cache holds no audio."""
    if inputs.audio_prompt is None:
        return inputs
    no_samples = np.zeros(0, np.float32)
    audio_prompt = replace(inputs.audio_prompt, samples=no_samples, prior_fn=None)
    return replace(inputs, audio_prompt=audio_prompt)


def _default_batch_size(device: torch.device) -> int:
    return 1 if device.type == "cpu" else GPU_BATCH_SIZE
