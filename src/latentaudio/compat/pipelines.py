"""Drop-in pipelines: code written for diffusers' AudioLDM2Pipeline or AudioLDMPipeline runs with its import changed.

    from latentaudio.compat import AudioLDM2Pipeline

Knows diffusers' names of arguments, attributes and methods, and their meaning there. Refuses to know how anything is computed.
Computes with fidelity "diffusers", whose sound it matches; two of their faults are not repeated: candidates are ranked among
their own prompt's only, and the language model may be of any class. Sources: spec 12.3, 13.

Letters: B prompts times waveforms, N tokens, D width, C channels, T' F' latent grid.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from ..conditioning.base import encode_nulls, encode_prompts, spoken, unsaid
from ..diffusion.diffusers_schedulers import scheduled
from ..diffusion.guidance import Guidance, guided
from ..diffusion.samplers import ddim
from ..diffusion.schedule import Schedule
from ..errors import UsageError
from ..pipeline import AudioLDM, load
from ..types import Conditioning, Step, cat_conditionings
from . import components
from .arguments import AudioPipelineOutput, Calls, Embeds, negatives, noise, texts
from .components import COMPONENTS, DDIM, TOKENS

SWITCHES = frozenset(
    f"{verb}_{what}"
    for verb in ("enable", "disable")
    for what in (
        "attention_slicing", "freeu", "model_cpu_offload", "sequential_cpu_offload", "vae_slicing", "vae_tiling",
        "xformers_memory_efficient_attention",
    )
)  # fmt: skip
"""Switches of diffusers that change where and in which pieces work is done, never the sound."""
TokenTensors = tuple[Tensor | None, Tensor | None, Tensor]
"""(T5's states [B, N, D] or None, their mask [B, N] or None, language of audio [B, n, D])."""


class _Pipeline:
    """What both pipelines share. Made by `from_pretrained`."""

    ranks: ClassVar[bool]

    def __init__(self, model: AudioLDM, scheduler: Any = None) -> None:
        self.model = model
        self.scheduler = scheduler or components.scheduler(model)
        self._progress: dict[str, Any] = {}
        self._own: set[str] = set()

    @classmethod
    def from_pretrained(cls, name: str | Path, **given: Any) -> Any:
        """The pipeline of a name, hub id or folder, as in diffusers.

        Of the keywords, `torch_dtype` / `dtype` (16 bits mean bf16, but float32 for what reads text), `device`, `fidelity`,
        `scheduler`, and modules of diffusers or transformers for single components matter; those about downloads are read from
        the environment. Raises UsageError for a tokenizer of one's own and for a revision.
        """
        wide = given.get("torch_dtype", given.get("dtype")) not in (torch.float16, torch.bfloat16)
        device, way = given.get("device", "cpu"), given.get("fidelity", "diffusers")
        for wish in ("revision", *TOKENS, "feature_extractor", "projection_model"):
            if given.get(wish) is not None:
                raise UsageError(
                    f"{wish}= is not supported; put what you want into the folder and name that"
                )
        model = load(name, device, "fp32" if wide else "bf16", fidelity=way)
        if (model.config.unet.film is None) != cls.ranks:
            other = "AudioLDM2Pipeline" if model.config.unet.film is None else "AudioLDMPipeline"
            raise UsageError(f"{name} is a model for {other}; use that class")
        pipe = cls(model, given.get("scheduler"))
        for component, module in given.items():
            if isinstance(module, torch.nn.Module):
                setattr(pipe, component, module)
        return pipe

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Write the model and the scheduler as a folder that diffusers opens; one that is there already is written over.

        Raises UsageError where a component is the caller's own, whose weights no file has yet.
        """
        from ..loaders.convert import convert

        if self._own:
            raise UsageError(
                f"the {sorted(self._own)[0]} is yours; save it by itself, and the rest by a pipeline without it"
            )
        target = Path(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as made:
            convert(self.model.found, Path(made, "whole"), "diffusers")
            if hasattr(self.scheduler, "save_pretrained"):
                self.scheduler.save_pretrained(Path(made, "whole", "scheduler"))
                index = Path(made, "whole", "model_index.json")
                known = json.loads(index.read_text(encoding="utf-8"))
                known["scheduler"] = ["diffusers", type(self.scheduler).__name__]
                index.write_text(json.dumps(known, indent=2), encoding="utf-8")
            shutil.copytree(Path(made, "whole"), target, dirs_exist_ok=True)

    def __setattr__(self, name: str, value: Any) -> None:
        """A component that is set is computed with: one of diffusers or transformers, or this package's own, compiled."""
        if name not in COMPONENTS or not isinstance(value, torch.nn.Module):
            object.__setattr__(self, name, value)
            return
        inner = getattr(value, "_orig_mod", value)
        if inner is getattr(self, name):
            self.model.parts.put(components.part_of(self.model, name), value)
            return
        components.put(self.model, name, inner.state_dict())
        self._own.add(name)

    def to(self, *wishes: Any, **named: Any) -> Any:
        """Move to a device and take a type's arithmetic; returns itself."""
        for wish in (*wishes, named.get("device"), named.get("dtype")):
            if isinstance(wish, torch.dtype):
                self.model.move(
                    self.device, "bf16" if wish in (torch.float16, torch.bfloat16) else "fp32"
                )
            elif wish is not None:
                self.model.move(wish)
        return self

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.device

    _execution_device = device

    @property
    def dtype(self) -> torch.dtype:
        """The type it computes in."""
        return self.model.dtype or torch.float32

    @property
    def vae_scale_factor(self) -> int:
        """Mel frames of a latent cell."""
        return self.model.config.vae.factor

    @property
    def components(self) -> dict[str, Any]:
        """Every component by its name."""
        return {name: getattr(self, name) for name in (*COMPONENTS, *TOKENS)} | {
            "scheduler": self.scheduler
        }

    def maybe_free_model_hooks(self) -> None:
        """Nothing: models are moved whole."""

    def __getattr__(self, name: str) -> Any:
        """A component: unet, vae, vocoder, and of the text side text_encoder, text_encoder_2, language_model and so on."""
        if name == "vocoder":
            vocoder, mel = components.component(self.model, name), self.model.config.mel
            if not hasattr(vocoder, "config"):
                vocoder.config = cast(
                    Any, SimpleNamespace(sampling_rate=mel.rate, model_in_dim=mel.bins)
                )
            return vocoder
        if name in COMPONENTS:
            return components.component(self.model, name)
        if name in TOKENS:
            return getattr(self.model.text, TOKENS[name])
        if name == "projection_model":
            return self.model.text.translator
        if name in SWITCHES:
            return self._keeps_memory_low(name)
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def _keeps_memory_low(self, name: str) -> Callable[..., None]:
        """One of `SWITCHES`: offload moves the model to the GPU, the others do nothing."""

        def switch(*_: Any, device: Any = None, **__: Any) -> None:
            if name.endswith("_cpu_offload") and torch.cuda.is_available():
                self.model.move(str(device or "cuda"))

        return switch

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Settings of the bar, such as disable=True."""
        self._progress = settings

    def _generate(
        self,
        conditionings: tuple[Conditioning, Conditioning],
        seconds: float | None,
        steps: int,
        guidance: float,
        eta: float,
        generator: Any,
        latents: Tensor | None,
        calls: Calls,
    ) -> tuple[Tensor, int]:
        """(latents [B, C, T', F'] after the last step, samples wanted of each)."""
        config, model = self.model.config, self.model
        rate, hop = config.mel.rate, config.mel.hop
        if seconds is None:
            seconds = components.usual_cells(model) * config.vae.factor * hop / rate
        if not math.isfinite(seconds) or math.isnan(guidance):
            raise UsageError(
                f"audio_length_in_s = {seconds} and guidance_scale = {guidance} must be numbers that are finite"
            )
        if not isinstance(steps, int) or steps < 1:
            raise UsageError(f"num_inference_steps = {steps} must be a whole number, 1 or more")
        if seconds < hop / rate * config.vae.factor:
            raise UsageError(
                f"audio_length_in_s = {seconds:g} is too short; ask for {hop / rate * config.vae.factor:g} or more"
            )
        rows = math.ceil(int(seconds / (hop / rate)) / config.vae.factor)
        heard, null = conditionings
        count = len(heard.film if heard.film is not None else heard.contexts[0].tokens)
        shape = (count, config.vae.latent, rows, config.mel.bins // config.vae.factor)
        if latents is not None and latents.shape != shape:
            raise UsageError(
                f"latents are {list(latents.shape)}; for this call they must be {list(shape)}"
            )
        z = (noise(shape, generator) if latents is None else latents).to(
            model.device, torch.float32
        )
        schedule = Schedule(config.schedule)
        denoise = guided(
            model.network(), heard, null, Guidance(guidance if guidance > 1 else 1.0), schedule
        )
        if isinstance(self.scheduler, DDIM):
            walk = ddim(
                denoise, z, schedule, steps, eta, lambda shape: noise((count, *shape), generator)
            )
        else:
            walk = scheduled(denoise, z, self.scheduler, steps, eta=eta, generator=generator)
        for step in self._watched(walk, steps):
            calls.tell(self, step)
        return step.z, int(seconds * rate)

    def _watched(self, walk: Iterator[Step], steps: int) -> Iterator[Step]:
        """The updates that diffusers tells of: of a solver of second order every other one, counted as one, and the last."""
        from huggingface_hub.utils import tqdm

        order = getattr(self.scheduler, "order", 1)
        with tqdm(total=steps, **self._progress) as bar:
            for step in walk:
                done = step.index + 1
                if done == step.total or (done % order == 0 and done > step.total - steps * order):
                    bar.update()
                    yield replace(step, index=step.index // order)

    def _given(
        self, z: Tensor, wanted: int, output_type: str, prompts: Sequence[str] | None, each: int
    ) -> Any:
        """The result in the form asked for, candidates of each prompt best first."""
        if output_type == "latent":
            return z
        if output_type not in ("np", "pt"):
            raise UsageError(f"output_type {output_type!r} is not known; choose np, pt or latent")
        waves = torch.from_numpy(np.concatenate(self.model.codec.sound(z)))[:, :wanted]
        if self.ranks and each > 1 and prompts is not None:
            groups = []
            for k, prompt in enumerate(prompts):
                own = waves[k * each : (k + 1) * each]
                match = self.model.similarity(list(own.numpy()), [prompt])[:, 0]
                groups.append(own[torch.from_numpy(np.argsort(-match, kind="stable"))])
            waves = torch.cat(groups)
        return waves.numpy() if output_type == "np" else waves


class AudioLDMPipeline(_Pipeline):
    """diffusers' pipeline of AudioLDM 1."""

    ranks = False

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        audio_length_in_s: float | None = None,
        num_inference_steps: int = 10,
        guidance_scale: float = 2.5,
        negative_prompt: str | list[str] | None = None,
        num_waveforms_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Any = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        return_dict: bool = True,
        callback: Callable[[int, Any, Tensor], None] | None = None,
        callback_steps: int = 1,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        output_type: str = "np",
        callback_on_step_end: Any = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Text [B] -> audios [B * num_waveforms_per_prompt, samples]; arguments mean what they do in diffusers (spec 12.3)."""
        prompts = texts(prompt, prompt_embeds)
        avoided = negatives(
            prompts, prompt, negative_prompt, 0 if prompt_embeds is None else len(prompt_embeds)
        )
        heard = (
            Conditioning(prompt_embeds)
            if prompts is None
            else encode_prompts(self.model.text, prompts, 0)
        )
        if negative_prompt_embeds is not None:
            null = Conditioning(negative_prompt_embeds)
        else:
            null = encode_nulls(self.model.text, len(avoided), 0, negative=avoided)
        each = num_waveforms_per_prompt
        pair = tuple(
            c.map(lambda x: x.repeat_interleave(each, 0).to(self.device)) for c in (heard, null)
        )
        calls = Calls(callback, callback_steps, callback_on_step_end)
        z, wanted = self._generate(
            cast(Any, pair),
            audio_length_in_s,
            num_inference_steps,
            guidance_scale,
            eta,
            generator,
            latents,
            calls,
        )
        audios = self._given(z, wanted, output_type, prompts, each)
        return AudioPipelineOutput(audios) if return_dict else (audios,)


class AudioLDM2Pipeline(_Pipeline):
    """diffusers' pipeline of AudioLDM 2."""

    ranks = True

    def encode_prompt(
        self,
        prompt: str | list[str] | None,
        device: Any = None,
        num_waveforms_per_prompt: int = 1,
        do_classifier_free_guidance: bool = True,
        transcription: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        generated_prompt_embeds: Tensor | None = None,
        negative_generated_prompt_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
        negative_attention_mask: Tensor | None = None,
        max_new_tokens: int | None = None,
    ) -> TokenTensors:
        """(prompt_embeds, attention_mask, generated_prompt_embeds), [negative; positive] with guidance, as in diffusers.

        prompt_embeds of speech have the places of phonemes added already; no UNet hears them.
        """
        embeds = Embeds(
            prompt_embeds, generated_prompt_embeds, attention_mask,
            negative_prompt_embeds, negative_generated_prompt_embeds, negative_attention_mask,
        )  # fmt: skip
        each, guides = num_waveforms_per_prompt, do_classifier_free_guidance
        heard, null = self._heard(
            prompt, transcription, negative_prompt, each, max_new_tokens, embeds, guides
        )
        both = cat_conditionings(null, heard) if guides else heard
        states = both.contexts[1] if len(both.contexts) > 1 else None
        return (
            None if states is None else states.tokens,
            None if states is None else states.mask,
            both.contexts[0].tokens,
        )

    @torch.no_grad()
    def _heard(
        self,
        prompt: str | list[str] | None,
        transcription: str | list[str] | None,
        negative_prompt: str | list[str] | None,
        each: int,
        max_new_tokens: int | None,
        embeds: Embeds,
        guides: bool,
    ) -> tuple[Conditioning, Conditioning]:
        """(positive, negative) conditioning, each of B * `each`; of speech with the states of phonemes, which its UNet does not
        hear, behind the language of audio."""
        side, written = self.model.text, self.model.config.translator
        tokens = max_new_tokens or (written.tokens if written else 0)
        prompts = texts(prompt, embeds.states)
        said = (
            [transcription] * len(prompts or [])
            if isinstance(transcription, str)
            else transcription
        )
        speaks = self.model.config.phonemes is not None
        if speaks and prompts is not None and (said is None or len(said) != len(prompts)):
            raise UsageError(
                f"this model speaks; give transcription= for each of {len(prompts)} prompts"
            )
        if prompts is None:
            heard = embeds.positive()
        else:
            heard = encode_prompts(side, prompts, tokens, transcripts=said if speaks else None)
            if speaks and said is not None:
                heard = replace(heard, contexts=(*heard.contexts, spoken(side, said)))
        avoided = negatives(prompts, prompt, negative_prompt, len(heard.contexts[0].tokens))
        if not guides:
            null = heard
        elif embeds.negative_states is not None:
            null = embeds.negative()
        else:
            width = heard.contexts[1].tokens.shape[1] if len(heard.contexts) > 1 else None
            null = encode_nulls(side, len(avoided), tokens, negative=avoided, width=width)
            if speaks:
                null = replace(null, contexts=(*null.contexts, unsaid(side, len(avoided))))
        heard, null = (
            c.map(lambda x: x.repeat_interleave(each, 0).to(self.device)) for c in (heard, null)
        )
        return heard, null

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        transcription: str | list[str] | None = None,
        audio_length_in_s: float | None = None,
        num_inference_steps: int = 200,
        guidance_scale: float = 3.5,
        negative_prompt: str | list[str] | None = None,
        num_waveforms_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Any = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        generated_prompt_embeds: Tensor | None = None,
        negative_generated_prompt_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
        negative_attention_mask: Tensor | None = None,
        max_new_tokens: int | None = None,
        return_dict: bool = True,
        callback: Callable[[int, Any, Tensor], None] | None = None,
        callback_steps: int = 1,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        output_type: str = "np",
        callback_on_step_end: Any = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Text [B] -> audios [B * num_waveforms_per_prompt, samples]; arguments mean what they do in diffusers (spec 12.3)."""
        embeds = Embeds(
            prompt_embeds, generated_prompt_embeds, attention_mask,
            negative_prompt_embeds, negative_generated_prompt_embeds, negative_attention_mask,
        )  # fmt: skip
        each, guides = num_waveforms_per_prompt, guidance_scale > 1
        both = self._heard(
            prompt, transcription, negative_prompt, each, max_new_tokens, embeds, guides
        )
        entrances = len(self.model.config.unet.heard)
        pair = tuple(replace(heard, contexts=heard.contexts[:entrances]) for heard in both)
        calls = Calls(callback, callback_steps, callback_on_step_end)
        z, wanted = self._generate(
            cast(Any, pair),
            audio_length_in_s,
            num_inference_steps,
            guidance_scale,
            eta,
            generator,
            latents,
            calls,
        )
        audios = self._given(z, wanted, output_type, texts(prompt, prompt_embeds), each)
        return AudioPipelineOutput(audios) if return_dict else (audios,)
