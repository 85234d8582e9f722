"""Denoises one batch from noise to latent, window by window.

Letters: B batch, C channels; T' F' latent grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor

from ..backends.networks import ArrayConditioning, GraphUNet
from ..codec import WINDOW_OVERLAP_FRACTION
from ..config.options import GenerationOptions
from ..config.samplers import SAMPLERS
from ..diffusion.guidance import Guidance, cfg_denoiser, compose_weighted
from ..diffusion.sampling import Noise, run_sampler, sampler_timesteps
from ..diffusion.schedule import Schedule
from ..diffusion.sdedit import init_from_latent
from ..loaders.component_store import ComponentStore
from ..models.tiling import apply_overlapping
from ..models.unet import DeepCache, PreparedConditioning, UNet
from ..types import Conditioning, Denoiser, LatentEdit, Step, WeightedConditioning
from .system import System

Prepared: TypeAlias = PreparedConditioning | ArrayConditioning
UNetName = Literal["unet", "distilled_unet"]


class PreparedUNet:
    """The UNet as classifier-free guidance calls it.

    Values that are equal at all steps are computed once. It returns float32. Calls repeat in the
    same order at every step: one for each prompt of each window. Each of them keeps its own deep
    features (DeepCache, arXiv 2312.00858).

    Adapters that are limited to some noise levels give the UNet other weights there: at each level
    the UNet with the adapters of that level runs.

    Attributes:
        call_index: Number of the next call within a step.
    """

    def __init__(
        self,
        components: ComponentStore,
        name: UNetName = "unet",
        cache_interval: int = 1,
        num_calls: int = 1,
    ) -> None:
        """Prepare a UNet for one run from noise to latent.

        Args:
            components: The components of the model.
            name: The component: the UNet or the distilled UNet.
            cache_interval: Steps that share the deep features; 1 computes them at every step.
            num_calls: Calls within one step.
        """
        self._components = components
        self._name: UNetName = name
        self._cache_interval = cache_interval
        self._num_calls = num_calls
        self._num_timesteps = components.source.config.schedule.num_train_timesteps
        self._variants: dict[tuple[int, ...] | None, _UNetVariant] = {}
        self._depends_on_level = components.adapters_at(name, 1.0) is not None
        if not self._depends_on_level:
            self._variant_at(1.0)
        self.call_index = 0

    def __call__(self, z: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """Predict from noisy latents z [B, C, T', F'] at steps t [B]; float32 of the same shape."""
        # reading t waits for the device, so it is read only where it matters
        level = float(t.max()) / self._num_timesteps if self._depends_on_level else 1.0
        variant = self._variant_at(level)
        prepared = variant.prepare(conditioning)
        if not variant.deep_caches:
            return cast(Tensor, variant.callable(z, t, prepared)).float()
        deep_cache = variant.deep_caches[self.call_index]
        self.call_index = (self.call_index + 1) % len(variant.deep_caches)
        return cast(Tensor, variant.callable(z, t, prepared, deep_cache)).float()

    def _variant_at(self, level: float) -> _UNetVariant:
        """Return the UNet with the adapters of a noise level."""
        key = self._components.adapters_at(self._name, level)
        if key not in self._variants:
            unet = cast(UNet | GraphUNet, self._components.at_noise_level(self._name, level))
            function: Callable[..., Any] = unet
            # a CUDA graph cannot skip the deep part at every other step
            if self._cache_interval == 1 and key is None:
                function = self._components.callable(self._name)
            deep_caches = []
            if self._cache_interval > 1:
                deep_caches = [DeepCache(self._cache_interval) for _ in range(self._num_calls)]
            self._variants[key] = _UNetVariant(unet, function, deep_caches)
        return self._variants[key]


@dataclass
class _UNetVariant:
    """A UNet with some adapters, and what is computed once for it.

    Attributes:
        unet: The network.
        callable: The network, its CUDA graph, or that of a backend.
        deep_caches: Deep features of each call within a step; empty: they are not kept.
        prepared: Prepared conditionings by the id of the conditioning, which is kept, too, so that
            no other object gets its id.
    """

    unet: UNet | GraphUNet
    callable: Callable[..., Any]
    deep_caches: list[DeepCache]
    prepared: dict[int, tuple[Conditioning, Prepared]] = field(default_factory=dict)

    def prepare(self, conditioning: Conditioning) -> Prepared:
        """Return a conditioning as the network needs it at every step."""
        key = id(conditioning)
        if key not in self.prepared:
            self.prepared[key] = (conditioning, self.unet.prepare(conditioning))
        return self.prepared[key][1]


@dataclass(frozen=True)
class BatchInputs:
    """Inputs for denoising one batch.

    Attributes:
        requests: Resolved options of its clips; they differ in prompt and seed only.
        windows: For each window of the latent, its prompts and their weights.
        edit: Source latent of an edit, or None.
    """

    requests: Sequence[GenerationOptions]
    windows: Sequence[Sequence[WeightedConditioning]]
    edit: LatentEdit | None = None


class DenoiserRun:
    """The sampling of one batch, from noise to latent.

    `steps` runs the sampler. The caller iterates over it, and takes z of the last step.

    Attributes:
        system: The model.
        batch: The requests, their conditioning, and the latent of an edit.
        options: Options that all clips of the batch share.
        schedule: Noise schedule of the model.
        window_index: Number of the next window within a step.
        denoisers: One denoiser for each window: the UNet with guidance, and with the prompts of
            that window.
    """

    def __init__(self, system: System, batch: BatchInputs, guidance_scale: float) -> None:
        """Prepare the UNet and its guidance.

        Args:
            system: The model.
            batch: Inputs of the batch.
            guidance_scale: Scale of classifier-free guidance; 1 is no guidance.
        """
        self.system = system
        self.batch = batch
        self.options = batch.requests[0]
        self.schedule = Schedule(system.config.schedule)
        self.window_index = 0
        num_calls = sum(len(prompts) for prompts in batch.windows)
        component = SAMPLERS[self.options.sampler].component
        self._network = PreparedUNet(
            system.components, component, self.options.cache_interval, num_calls
        )
        self._guidance = Guidance(
            guidance_scale,
            self.options.apg_eta,
            self.options.guidance_rescale,
            self.options.guidance_start,
            self.options.guidance_stop,
            self.options.guidance_interval,
        )
        self._guided: dict[tuple[int, int], Denoiser] = {}
        self.denoisers = [compose_weighted(self._guide, prompts) for prompts in batch.windows]

    def _guide(self, cond: Conditioning, uncond: Conditioning) -> Denoiser:
        """Return the guided denoiser of a pair; windows with the same prompt share it.

        They do not if it keeps differences of guidance, which belong to one window.
        """
        key = (id(cond), id(uncond))
        if key not in self._guided or self._guidance.interval > 1:
            self._guided[key] = cfg_denoiser(
                self._network, cond, uncond, self._guidance, self.schedule
            )
        return self._guided[key]

    def denoise(self, z: Tensor, t: Tensor) -> Tensor:
        """Predict for whole latents z [B, C, T', F'] at steps t [B], in overlapping windows."""
        self.window_index = 0

        def denoise_window(window: Tensor) -> Tensor:
            prediction = self.denoisers[self.window_index](window, t)
            self.window_index += 1
            return prediction

        length = self.system.codec.max_window
        return apply_overlapping(denoise_window, z, length, length // WINDOW_OVERLAP_FRACTION)

    @torch.inference_mode()
    def steps(self) -> Iterator[Step]:
        """Yield every step of the sampler. z of the last one is the latent [B, C, T', F']."""
        options = self.options
        config = self.system.config
        num_frames = self.system.codec.num_frames(options.duration)
        noise = Noise([request.seed for request in self.batch.requests])
        shape = (
            config.vae.latent_channels,
            num_frames // config.vae.downsampling,
            config.mel.n_mels // config.vae.downsampling,
        )
        z = noise(shape).to(self.system.components.device)
        timesteps = sampler_timesteps(
            options.sampler, self.schedule, options.steps, config.distilled_unet
        )
        start = 0
        pre_step = None
        if self.batch.edit is not None:
            z, start, timesteps, pre_step = init_from_latent(
                self.batch.edit, z, self.schedule, timesteps, noise
            )
            if start == len(timesteps):  # strength 0: nothing to denoise
                yield Step(start - 1, start, 0, z, z)
        yield from run_sampler(
            options.sampler,
            self.denoise,
            z,
            self.schedule,
            timesteps,
            eta=options.eta,
            noise=noise,
            start=start,
            pre_step=pre_step,
        )
