"""The part that both pipelines share: loading, sampling and output.

Letters: B prompts times waveforms, C channels, T' F' latent grid.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..diffusion.diffusers_schedulers import run_scheduler
from ..diffusion.guidance import Guidance, cfg_denoiser
from ..diffusion.sampling import run_sampler, sampler_timesteps
from ..diffusion.schedule import Schedule
from ..errors import UsageError
from ..generation.denoise import PreparedUNet
from ..generation.engine import Engine
from ..generation.system import System
from ..loaders.hub import fetch
from ..loaders.resolve import hub_location, resolve_model
from ..types import Conditioning, Denoiser, Step
from . import components, library
from .arguments import StepCallbacks, draw_noise
from .components import DDIMScheduler
from .lora import LoRAMethods
from .pipeline_objects import REFERENCE, PipelineObjects
from .variants import link_variant

_ANY_DEVICE = ("auto", "balanced", "balanced_low_0", "sequential")
"""Values of `device_map` that leave the choice of the device to the library."""


_SETTINGS = (
    *("cache_dir", "device", "device_map", "dtype", "local_files_only", "reference", "revision"),
    *("torch_dtype", "use_safetensors", "variant"),
)
"""Keywords of `from_pretrained` beside components."""
_WITHOUT_EFFECT = (
    *("custom_pipeline", "custom_revision", "disable_mmap", "force_download"),
    *("low_cpu_mem_usage", "max_memory", "mirror", "offload_folder", "offload_state_dict"),
    *("provider", "provider_options", "proxies", "sess_options", "trust_remote_code", "use_onnx"),
)
"""Keywords of diffusers that change no result, and that this package does not need."""


@dataclass
class SamplingArguments:
    """Arguments of a call that concern sampling.

    Attributes:
        duration: Seconds; None: the model's default.
        num_steps: Inference steps.
        guidance_scale: Guidance scale; 1 or less switches guidance off.
        eta: Fresh noise of a DDIM step, 0 to 1.
        generator: torch.Generator of the noise, or a list with one for each clip.
        latents: The first noise [B, C, T', F'].
        callbacks: Functions that run at every step.
    """

    duration: float | None
    num_steps: int
    guidance_scale: float
    eta: float = 0.0
    generator: Any = None
    latents: Tensor | None = None
    callbacks: StepCallbacks = field(default_factory=StepCallbacks)


class BasePipeline(LoRAMethods, PipelineObjects):
    """What both pipelines share; `from_pretrained` makes one.

    Attributes:
        num_timesteps: Steps of the latest call.
        guidance_scale: Guidance scale of the latest call.
    """

    _callback_tensor_inputs = ("latents",)

    def __init__(self, system: System | None, objects: dict[str, Any]) -> None:
        super().__init__(system, objects)
        self._progress_bar_settings: dict[str, Any] = {}
        self._guidance_scale = 1.0
        self.num_timesteps = 0

    @classmethod
    def from_pretrained(cls, name: str | Path, **keywords: Any) -> Any:
        """Return the pipeline of a model, as in diffusers.

        Args:
            name: A model name, hub id or folder.
            keywords: `torch_dtype` or `dtype`: a type, or {component: type, "default": type}.
                `device_map` or `device`. `variant`, `use_safetensors`, `revision`, `cache_dir`,
                `local_files_only`. `reference`. Components, which replace those of the folder.

        Raises:
            UsageError: A keyword has a value that cannot be used, or the model needs the other
                pipeline.
        """
        _warn_of_unknown(set(keywords) - set(cls.component_names), cls.__name__)
        folders: list[library.TemporaryFolder] = []
        folder = _find_folder(name, keywords)
        variant = keywords.get("variant")
        if variant or keywords.get("use_safetensors") is not None:
            folders.append(library.TemporaryFolder())
            target = folders[0].path
            link_variant(Path(folder), variant, target, keywords.get("use_safetensors") is not True)
            folder = target
        source = resolve_model(folder, reference=keywords.get("reference", REFERENCE))
        if source.config.unet.is_audioldm1 == cls.is_audioldm2:
            other = "AudioLDMPipeline" if cls.is_audioldm2 else "AudioLDM2Pipeline"
            raise UsageError(f"{name} is a model for {other}; use that class")
        objects = {key: keywords[key] for key in cls.component_names if key in keywords}
        device = keywords.get("device", keywords.get("device_map")) or "cpu"
        if isinstance(device, dict):
            device = next(iter(device.values()), "cpu")
        if source.layout == "diffusers":
            folders.append(library.TemporaryFolder())
            small_files = folders[-1].path
            library.describe({}, cls.__name__, small_files, source.path)
            tensors = library.open_weights(source.path)
            library.log_components(source.path, name, objects)
            fields = {**vars(source), "path": small_files, "tensors": tensors}
            source = library.ModuleSource(**fields)
        system = System(source, "auto" if device in _ANY_DEVICE else str(device), "fp32")
        pipeline = cls._of_system(system, objects)
        pipeline._folders.extend(folders)
        dtype = keywords.get("torch_dtype", keywords.get("dtype"))
        if dtype is not None and dtype != "auto":
            pipeline._set_dtype(dtype)
        return pipeline

    @classmethod
    def _of_system(cls, system: System, objects: dict[str, Any]) -> Any:
        """Return a pipeline of a model on disk, some of whose components are given."""
        pipeline = cls.__new__(cls)
        BasePipeline.__init__(pipeline, system, objects)
        return pipeline

    @property
    def guidance_scale(self) -> float:
        """Guidance scale of the latest call."""
        return self._guidance_scale

    @property
    def vae_scale_factor(self) -> int:
        """Mel frames of a latent frame."""
        return self.system.config.vae.downsampling

    def maybe_free_model_hooks(self) -> None:
        """Do nothing: there are no hooks."""

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Set options of the progress bar, such as disable=True."""
        self._progress_bar_settings = settings

    def progress_bar(self, iterable: Any = None, total: int | None = None) -> Any:
        """Return a progress bar with the options of `set_progress_bar_config`."""
        from huggingface_hub.utils import tqdm

        return tqdm(iterable, total=total, **self._progress_bar_settings)

    def _sample(
        self, cond: Conditioning, uncond: Conditioning, arguments: SamplingArguments
    ) -> tuple[Tensor, int]:
        """Return latents [B, C, T', F'] after the last step, and the samples needed of each."""
        config = self.system.config
        duration = self._validate(arguments)
        latents = self._initial_latents(cond, duration, arguments).to(self.device, torch.float32)
        schedule = Schedule(config.schedule)
        self._guidance_scale = arguments.guidance_scale
        denoise = self._make_denoiser(cond, uncond, schedule)
        num_steps = arguments.num_steps
        self.num_timesteps = num_steps
        generator = arguments.generator
        steps: Iterator[Step]
        scheduler = self._objects["scheduler"]
        if isinstance(scheduler, DDIMScheduler):
            steps = run_sampler(
                "ddim",
                denoise,
                latents,
                schedule,
                sampler_timesteps("ddim", schedule, num_steps),
                eta=arguments.eta,
                noise=lambda shape: draw_noise((len(latents), *shape), generator),
            )
        else:
            steps = run_scheduler(
                denoise, latents, scheduler, num_steps, eta=arguments.eta, generator=generator
            )
        for step in self._reported_steps(steps, num_steps):
            arguments.callbacks.notify(self, step)
        return step.z, int(duration * config.mel.sample_rate)

    def _make_denoiser(
        self, cond: Conditioning, uncond: Conditioning, schedule: Schedule
    ) -> Denoiser:
        """Return the guided network. Callbacks may change `_guidance_scale` between steps."""
        network = PreparedUNet(self.system.components)
        by_scale: dict[float, Denoiser] = {}

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            scale = self._guidance_scale if self._guidance_scale > 1 else 1.0
            if scale not in by_scale:
                by_scale[scale] = cfg_denoiser(network, cond, uncond, Guidance(scale), schedule)
            return by_scale[scale](z, t)

        return denoise

    def _validate(self, arguments: SamplingArguments) -> float:
        """Return the duration in seconds, or raise UsageError for impossible arguments."""
        config = self.system.config
        frame_s = config.mel.hop_length / config.mel.sample_rate
        duration = arguments.duration
        if duration is None:
            num_frames = components.default_latent_frames(self.system) * config.vae.downsampling
            duration = num_frames * config.mel.hop_length / config.mel.sample_rate
        if not math.isfinite(duration) or math.isnan(arguments.guidance_scale):
            raise UsageError(
                f"audio_length_in_s = {duration} and guidance_scale = {arguments.guidance_scale} "
                f"must be finite numbers"
            )
        num_steps = arguments.num_steps
        if not isinstance(num_steps, int) or num_steps < 1:
            raise UsageError(f"num_inference_steps = {num_steps} must be a whole number, 1 or more")
        shortest = frame_s * config.vae.downsampling
        if duration < shortest:
            raise UsageError(
                f"audio_length_in_s = {duration:g} is too short; it must be {shortest:g} or more"
            )
        return duration

    def _initial_latents(
        self, cond: Conditioning, duration: float, arguments: SamplingArguments
    ) -> Tensor:
        """Return the caller's latents, checked, or noise."""
        config = self.system.config
        downsampling = config.vae.downsampling
        num_frames = int(duration / (config.mel.hop_length / config.mel.sample_rate))
        batch_size = len(cond.film if cond.film is not None else cond.contexts[0].tokens)
        shape = (
            batch_size,
            config.vae.latent_channels,
            math.ceil(num_frames / downsampling),
            config.mel.n_mels // downsampling,
        )
        if arguments.latents is None:
            return draw_noise(shape, arguments.generator)
        actual = tuple(arguments.latents.shape)
        # diffusers takes any number of frames; the result is as long as they allow
        if len(actual) != len(shape) or (*actual[:2], actual[3]) != (*shape[:2], shape[3]):
            raise UsageError(
                f"latents are {list(actual)}; for this call they must be {list(shape)}, of any "
                f"number of frames"
            )
        return arguments.latents

    def prepare_latents(
        self,
        batch_size: int,
        num_channels_latents: int,
        height: int,
        dtype: torch.dtype = torch.float32,
        device: Any = None,
        generator: Any = None,
        latents: Tensor | None = None,
    ) -> Tensor:
        """Return the first latents of the scheduler.

        Args:
            batch_size: Number of clips.
            num_channels_latents: Channels C of the latents.
            height: Mel frames.
            dtype: Type of the result.
            device: Device of the result; None: the pipeline's.
            generator: One generator for the whole batch, a list with one for each clip, or None.
            latents: Noise to use; None: it is drawn.

        Returns:
            [B, C, T', F'].
        """
        config = self.system.config
        downsampling = config.vae.downsampling
        shape = (
            batch_size,
            num_channels_latents,
            height // downsampling,
            config.mel.n_mels // downsampling,
        )
        noise = draw_noise(shape, generator) if latents is None else latents
        sigma = getattr(self._objects["scheduler"], "init_noise_sigma", 1.0)
        return noise.to(device or self.device, dtype) * sigma

    @torch.no_grad()
    def mel_spectrogram_to_waveform(self, mel_spectrogram: Tensor) -> Tensor:
        """Return waveforms [B, samples] of log-mels [B, 1, T, F] or [B, T, F]."""
        mel = mel_spectrogram.squeeze(1) if mel_spectrogram.ndim == 4 else mel_spectrogram
        waveform: Tensor = self.system.components["vocoder"](mel[:, None].float())
        return waveform.reshape(len(mel), -1).cpu().float()

    def _reported_steps(self, steps: Iterator[Step], num_steps: int) -> Iterator[Step]:
        """Yield the steps that diffusers reports, and show progress.

        Of a second-order solver, two updates count as one step; the last one is always reported.
        """
        order = getattr(self._objects["scheduler"], "order", 1)
        with self.progress_bar(total=num_steps) as progress_bar:
            for step in steps:
                completed = step.index + 1
                is_last = completed == step.total
                # the first updates of some solvers are extra
                is_counted = completed > step.total - num_steps * order
                if is_last or (completed % order == 0 and is_counted):
                    progress_bar.update()
                    yield replace(step, index=step.index // order)

    def _format_output(
        self,
        latents: Tensor,
        num_samples: int,
        output_type: str,
        prompts: Sequence[str] | None,
        num_waveforms: int,
    ) -> Any:
        """Return latents or audio in the requested form; AudioLDM 2's best waveform comes first."""
        if output_type == "latent":
            return latents
        if output_type not in ("np", "pt"):
            raise UsageError(f"output_type {output_type!r} is unknown; choose np, pt or latent")
        decoded = np.concatenate(self.system.codec.decode(latents))
        waveforms = torch.from_numpy(decoded)[:, :num_samples]
        if self.is_audioldm2 and num_waveforms > 1 and prompts is not None:
            waveforms = self._sort_by_prompt(waveforms, prompts, num_waveforms)
        return waveforms.numpy() if output_type == "np" else waveforms

    def _sort_by_prompt(
        self, waveforms: Tensor, prompts: Sequence[str], num_waveforms: int
    ) -> Tensor:
        """Return the waveforms [B, samples], those of each prompt sorted by CLAP score."""
        engine = Engine(self.system)
        groups = []
        for index, prompt in enumerate(prompts):
            group = waveforms[index * num_waveforms : (index + 1) * num_waveforms]
            scores = engine.similarity(list(group.numpy()), [prompt])[:, 0]
            best_first = np.argsort(-scores, kind="stable")
            groups.append(group[torch.from_numpy(best_first)])
        return torch.cat(groups)

    def _repeat(self, conditioning: Conditioning, num_waveforms: int) -> Conditioning:
        """Return a conditioning with each item repeated, on the pipeline's device."""

        def repeat(values: Tensor) -> Tensor:
            return values.repeat_interleave(num_waveforms, 0).to(self.device)

        return conditioning.map(repeat)


def _warn_of_unknown(names: set[str], class_name: str) -> None:
    """Warn of keywords of `from_pretrained` that are not read, as diffusers does."""
    unknown = sorted(names.difference(_SETTINGS, _WITHOUT_EFFECT))
    if unknown:
        warnings.warn(
            f"{class_name}.from_pretrained does not know {', '.join(unknown)}, and ignores it",
            stacklevel=3,
        )


def _find_folder(name: str | Path, keywords: dict[str, Any]) -> str | Path:
    """Return the folder of a model of the hub with its own settings, or the name as it is."""
    settings = {key: keywords[key] for key in ("revision", "cache_dir") if keywords.get(key)}
    is_offline = bool(keywords.get("local_files_only"))
    variant = keywords.get("variant")
    is_path = Path(name).expanduser().exists()
    if is_path or not (settings or is_offline or variant):
        return name
    repository, file = hub_location(str(name))
    if file is not None:
        raise UsageError(f"{name} is one file on the hub; leave out {', '.join(keywords)}")
    return fetch(
        repository,
        revision=settings.get("revision"),
        cache=settings.get("cache_dir"),
        is_offline=is_offline,
        variant=variant or "",
    )
