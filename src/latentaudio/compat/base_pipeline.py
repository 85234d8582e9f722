"""The part that both pipelines share: loading, saving, attributes, sampling and output.

Letters: B prompts times waveforms, C channels, T' F' latent grid.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..config.parsing import parse_json, read_bounded
from ..diffusion.diffusers_schedulers import run_scheduler
from ..diffusion.guidance import Guidance, cfg_denoiser
from ..diffusion.sampling import run_sampler, sampler_timesteps
from ..diffusion.schedule import Schedule
from ..errors import UsageError
from ..generation.denoise import PreparedUNet
from ..generation.engine import Engine
from ..generation.system import System
from ..loaders.diffusers_settings import INDEX
from ..loaders.resolve import resolve_model
from ..types import Conditioning, Step
from . import components
from .arguments import StepCallbacks, draw_noise
from .components import MODULES, TOKENIZERS, DDIMScheduler

_LOW_PRECISION = (torch.float16, torch.bfloat16)
"""Types of diffusers' callers that select bf16 here."""
_UNSUPPORTED_KEYWORDS = ("revision", *TOKENIZERS, "feature_extractor", "projection_model")


def _noop_methods() -> frozenset[str]:
    features = (
        "attention_slicing",
        "freeu",
        "model_cpu_offload",
        "sequential_cpu_offload",
        "vae_slicing",
        "vae_tiling",
        "xformers_memory_efficient_attention",
    )
    names: set[str] = set()
    for feature in features:
        names.update((f"enable_{feature}", f"disable_{feature}"))
    return frozenset(names)


NOOP_METHODS = _noop_methods()
"""Methods of diffusers that change where and in which pieces work runs, never the sound."""


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


class BasePipeline:
    """What both pipelines share; `from_pretrained` makes one.

    Attributes:
        system: The model.
        scheduler: A scheduler of diffusers, or this package's DDIM.
    """

    is_audioldm2: ClassVar[bool]

    def __init__(self, system: System, scheduler: Any = None) -> None:
        self.system = system
        self.scheduler = scheduler or components.load_scheduler(system)
        self._progress_bar_settings: dict[str, Any] = {}
        self._replaced: set[str] = set()

    @classmethod
    def from_pretrained(cls, name: str | Path, **keywords: Any) -> Any:
        """Return the pipeline of a model, as in diffusers.

        Args:
            name: A model name, hub id or folder.
            keywords: `torch_dtype` or `dtype` (16 bits select bf16; text encoders stay in
                float32), `device`, `reference`, `scheduler`, and modules of diffusers or
                transformers that replace components. Those about downloads are ignored: set the
                environment variables of huggingface_hub instead.

        Raises:
            UsageError: A keyword is not supported, or the model needs the other pipeline.
        """
        for keyword in _UNSUPPORTED_KEYWORDS:
            if keywords.get(keyword) is not None:
                raise UsageError(
                    f"{keyword}= is not supported; save it into a model folder and load that"
                )
        dtype = keywords.get("torch_dtype", keywords.get("dtype"))
        reference = keywords.get("reference", "diffusers")
        precision = "bf16" if dtype in _LOW_PRECISION else "fp32"
        source = resolve_model(name, reference=reference)
        system = System(source, keywords.get("device", "cpu"), precision)
        if (system.config.unet.film_dim is None) != cls.is_audioldm2:
            other = "AudioLDMPipeline" if cls.is_audioldm2 else "AudioLDM2Pipeline"
            raise UsageError(f"{name} is a model for {other}; use that class")
        pipeline = cls(system, keywords.get("scheduler"))
        for keyword, value in keywords.items():
            if isinstance(value, nn.Module):
                setattr(pipeline, keyword, value)
        return pipeline

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Write the model and the scheduler as a folder for diffusers; existing files are replaced.

        Args:
            folder: The folder.

        Raises:
            UsageError: A component is the caller's own; no file has its weights.
        """
        from ..loaders.convert import convert

        if self._replaced:
            raise UsageError(
                f"the {sorted(self._replaced)[0]} is yours and is not saved; save it by itself, "
                f"and the model by a pipeline without it"
            )
        target = Path(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
            converted = Path(temporary, "model")
            convert(self.system.source, converted, "diffusers")
            if hasattr(self.scheduler, "save_pretrained"):
                self.scheduler.save_pretrained(converted / "scheduler")
                index = parse_json(read_bounded(converted / INDEX))
                index["scheduler"] = ["diffusers", type(self.scheduler).__name__]
                (converted / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")
            shutil.copytree(converted, target, dirs_exist_ok=True)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a module of diffusers or transformers replaces the model's component.

        The model's own component, compiled, is used from then on.
        """
        if name not in MODULES or not isinstance(value, nn.Module):
            object.__setattr__(self, name, value)
            return
        uncompiled = getattr(value, "_orig_mod", value)
        if uncompiled is getattr(self, name):
            own_name = components.component_name(self.system, name)
            self.system.components.replace(own_name, value)
            return
        components.replace_component(self.system, name, uncompiled.state_dict())
        self._replaced.add(name)

    def __getattr__(self, name: str) -> Any:
        """Return a component by diffusers' name: unet, vae, vocoder, text_encoder and so on."""
        if name in MODULES:
            component = components.get_component(self.system, name)
            if name == "vocoder" and not hasattr(component, "config"):
                mel = self.system.config.mel
                settings = SimpleNamespace(sampling_rate=mel.sample_rate, model_in_dim=mel.n_mels)
                component.config = settings
            return component
        if name in TOKENIZERS:
            return self.system.encoders.tokenizers.get(TOKENIZERS[name])
        if name == "projection_model":
            return self.system.encoders.translator
        if name in NOOP_METHODS:
            return self._make_noop_method(name)
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def _make_noop_method(self, name: str) -> Callable[..., None]:
        """Return one of `NOOP_METHODS`; those that offload move the model to the GPU instead."""

        def method(*_: Any, device: Any = None, **__: Any) -> None:
            if name.endswith("_cpu_offload") and torch.cuda.is_available():
                self.system.to(str(device or "cuda"))

        return method

    def to(self, *targets: Any, **named_targets: Any) -> Any:
        """Move to a device, compute in a type, and return the pipeline.

        Args:
            targets: Devices and types.
            named_targets: `device` and `dtype`.
        """
        for target in (*targets, named_targets.get("device"), named_targets.get("dtype")):
            if isinstance(target, torch.dtype):
                self.system.to(self.device, "bf16" if target in _LOW_PRECISION else "fp32")
            elif target is not None:
                self.system.to(target)
        return self

    @property
    def device(self) -> torch.device:
        """Device of the components."""
        return self.system.components.device

    _execution_device = device

    @property
    def dtype(self) -> torch.dtype:
        """Type that the UNet computes in."""
        return self.system.components.dtype or torch.float32

    @property
    def vae_scale_factor(self) -> int:
        """Mel frames of a latent frame."""
        return self.system.config.vae.downsampling

    @property
    def components(self) -> dict[str, Any]:
        """Every component by diffusers' name."""
        values = {name: getattr(self, name) for name in (*MODULES, *TOKENIZERS)}
        return {**values, "scheduler": self.scheduler}

    def maybe_free_model_hooks(self) -> None:
        """Do nothing: there are no hooks."""

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Set options of the progress bar, such as disable=True."""
        self._progress_bar_settings = settings

    def _sample(
        self, cond: Conditioning, uncond: Conditioning, arguments: SamplingArguments
    ) -> tuple[Tensor, int]:
        """Return latents [B, C, T', F'] after the last step, and the samples needed of each."""
        config = self.system.config
        duration = self._validate(arguments)
        latents = self._initial_latents(cond, duration, arguments).to(self.device, torch.float32)
        schedule = Schedule(config.schedule)
        guidance_scale = arguments.guidance_scale if arguments.guidance_scale > 1 else 1.0
        network = PreparedUNet(self.system.components)
        denoise = cfg_denoiser(network, cond, uncond, Guidance(guidance_scale), schedule)
        num_steps = arguments.num_steps
        generator = arguments.generator
        steps: Iterator[Step]
        if isinstance(self.scheduler, DDIMScheduler):
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
                denoise, latents, self.scheduler, num_steps, eta=arguments.eta, generator=generator
            )
        for step in self._reported_steps(steps, num_steps):
            arguments.callbacks.notify(self, step)
        return step.z, int(duration * config.mel.sample_rate)

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
        if arguments.latents.shape != shape:
            raise UsageError(
                f"latents are {list(arguments.latents.shape)}; for this call they must be "
                f"{list(shape)}"
            )
        return arguments.latents

    def _reported_steps(self, steps: Iterator[Step], num_steps: int) -> Iterator[Step]:
        """Yield the steps that diffusers reports, and show progress.

        Of a second-order solver, two updates count as one step; the last one is always reported.
        """
        from huggingface_hub.utils import tqdm

        order = getattr(self.scheduler, "order", 1)
        with tqdm(total=num_steps, **self._progress_bar_settings) as progress_bar:
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
