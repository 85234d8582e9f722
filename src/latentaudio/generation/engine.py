"""Runs resolved requests: encode, denoise, decode, rank, second passes, postprocessing.

Letters: B batch, C channels, N samples; K clips, M texts; T' F' latent grid.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..audio.io import Audio
from ..audio.ops import Samples, check_audible, fade_edges, limit_peak
from ..audio.postprocess import postprocess
from ..conditioning import g2p
from ..conditioning.clap import clap_text_embeds, embed_clips
from ..config.adapters import adapters_to_tag
from ..config.edits import AnyEdit
from ..config.options import GenerationOptions
from ..device import iterate_with_torch_defaults, with_torch_defaults
from ..editing.base import EditPlan
from ..editing.plan import plan_edit
from ..errors import GenerationError, UsageError
from ..types import Step
from .denoise import BatchInputs, DenoiserRun
from .memory import MemoryEstimate, estimate_memory, has_ample_memory, raise_on_oom
from .resolve import ResolvedRequest
from .second_passes import loop_pass, stereo_pass
from .system import System
from .window_conditioning import WindowConditioner

PROMPTS_ENCODED_AHEAD = 32
"""Batches whose prompts are encoded before the first is denoised, with `low_memory`."""

ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called after every sampling step with (clip-steps done, of how many)."""
OnStep: TypeAlias = Callable[[Step], None]
"""Called with every `Step` of every batch. An exception that it raises ends the generation."""


@dataclass(frozen=True)
class Callbacks:
    """Functions that follow a generation.

    Attributes:
        progress: Called after every sampling step with counts.
        on_step: Called with every step.
    """

    progress: ProgressCallback | None = None
    on_step: OnStep | None = None

    def report(self, event: Progress) -> None:
        """Call the functions after a step."""
        if self.on_step is not None:
            self.on_step(event.step)
        if self.progress is not None:
            self.progress(event.num_done, event.num_total)


NO_CALLBACKS = Callbacks()


@dataclass(frozen=True)
class Progress:
    """A sampling step of a run.

    Attributes:
        step: The sampler's state after it.
        num_done: Clip-steps that are done. A clip-step is one step of one clip.
        num_total: Clip-steps in all.
        is_second_pass: Whether it closes a loop or makes stereo. The two numbers are those of that
            pass then.
    """

    step: Step
    num_done: int
    num_total: int
    is_second_pass: bool = False


Candidate: TypeAlias = tuple[ResolvedRequest, Samples]
"""The request of one candidate, and its samples [1, N]."""


class Engine:
    """Generates the clips of resolved requests with one model.

    Attributes:
        system: The model.
        conditioner: Encodes the prompts of each window.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.conditioner = WindowConditioner(system)

    @iterate_with_torch_defaults
    def run(
        self, requests: Sequence[ResolvedRequest], callbacks: Callbacks = NO_CALLBACKS
    ) -> Iterator[Audio]:
        """Yield the clips of all requests in order, each as soon as it is finished.

        Args:
            requests: Resolved requests.
            callbacks: Functions that follow the sampling steps.

        Yields:
            Finished clips, `num_waveforms` of them for each request.

        Raises:
            GenerationError: A clip is silent or not finite, or memory does not suffice.
        """
        for event in self._events(requests):
            if isinstance(event, Audio):
                yield event
            elif not event.is_second_pass:
                callbacks.report(event)

    @iterate_with_torch_defaults
    def run_steps(self, requests: Sequence[ResolvedRequest]) -> Iterator[Progress | Audio]:
        """Yield every sampling step of all requests, and each clip as soon as it is finished.

        The caller may pause between two items, run other requests of the same model meanwhile, or
        close the iterator. The clips are those of `run`, bit for bit.

        Args:
            requests: Resolved requests.

        Yields:
            Steps, and the clips of `run` in the same order.

        Raises:
            GenerationError: A clip is silent or not finite, or memory does not suffice.
        """
        yield from self._events(requests)

    def _events(
        self, requests: Sequence[ResolvedRequest], is_pass: bool = False
    ) -> Iterator[Progress | Audio]:
        """The items of `run_steps`; `is_pass` if they are passes over a finished clip."""
        self._warn(requests)
        candidates: list[ResolvedRequest] = []
        for request in requests:
            candidates.extend(request.candidates())
        events = self._waveforms(candidates)
        for request in requests:
            for _ in range(request.options.num_waveforms):
                with raise_on_oom():
                    of_clip: list[Candidate] = []
                    while len(of_clip) < request.options.candidates:
                        event = next(events)
                        if isinstance(event, Progress):
                            yield event
                        else:
                            of_clip.append(event)
                    clip = yield from self._finish(request, of_clip, is_pass)
                yield clip

    def estimate_memory(self, requests: Sequence[ResolvedRequest]) -> MemoryEstimate:
        """Return the memory that the largest of some requests takes. Loads nothing."""
        system = self.system
        window_frames = system.codec.max_window * system.config.vae.downsampling
        estimates = []
        for request in requests:
            estimates.append(
                estimate_memory(
                    system.components, request.options, window_frames, system.batch_size
                )
            )
        return max(estimates, key=lambda estimate: estimate.required_gb)

    def _warn(self, requests: Sequence[ResolvedRequest]) -> None:
        """Warn of texts that are cut, and of memory that will not suffice."""
        texts: dict[str, None] = {}
        transcripts: dict[str, None] = {}
        for request in requests:
            options = request.options
            texts |= dict.fromkeys((options.prompt, options.negative_prompt))
            texts |= dict.fromkeys(cue.text for cue in options.timeline)
            if options.transcript:
                transcripts[options.transcript] = None
        for text in texts:
            if not self.system.encoders.fits(text):
                _warn_of_cut("prompt", text)
        phonemes = self.system.config.phonemes
        for transcript in transcripts:
            if phonemes is not None and not g2p.fits(transcript, phonemes.max_length):
                _warn_of_cut("transcript", transcript)
        if self.system.spec.is_published and not self._has_ample_memory(requests):
            estimate = self.estimate_memory(requests)
            if not estimate.fits:
                warnings.warn(str(estimate), stacklevel=4)

    def _has_ample_memory(self, requests: Sequence[ResolvedRequest]) -> bool:
        """Whether memory suffices for certain, without an estimate."""
        system = self.system
        window_frames = system.codec.max_window * system.config.vae.downsampling
        return all(
            has_ample_memory(system.components, each.options, window_frames, system.batch_size)
            for each in requests
        )

    def _waveforms(self, candidates: Sequence[ResolvedRequest]) -> Iterator[Progress | Candidate]:
        """Yield the steps of all candidates, and each candidate with its samples, in order.

        Candidates that differ in prompt and seed only share a batch.
        """
        components = self.system.components
        planner = _EditPlanner(self.system)
        batches = group_by_settings(candidates, self.system.batch_size)
        num_ahead = PROMPTS_ENCODED_AHEAD if components.low_memory else 1
        num_done = 0
        num_total = sum(candidate.options.steps for candidate in candidates)
        while ahead := list(islice(batches, num_ahead)):
            plans = [planner.plan(batch[0]) for batch in ahead]
            windows = self.conditioner.encode_windows(ahead, plans)
            for batch, batch_windows, plan in zip(ahead, windows, plans, strict=True):
                latent_edit = plan.latent_edit if plan else None
                options = [request.options for request in batch]
                inputs = BatchInputs(options, batch_windows, latent_edit)
                run = DenoiserRun(self.system, inputs, batch[0].guidance_scale)
                z: Tensor | None = None
                for step in run.steps():
                    z = step.z
                    yield Progress(step, num_done + (step.index + 1) * len(batch), num_total)
                assert z is not None, "a run has one step at least"
                # an edit of low strength skips steps, which count as done
                num_done += sum(each.steps for each in options)
                if components.low_memory and batch is ahead[-1]:
                    components.release("unet", "distilled_unet")
                waveforms = self._decode(z, batch[0].options.duration, plan)
                yield from zip(batch, waveforms, strict=True)

    def _decode(self, z: Tensor, duration: float, plan: EditPlan | None) -> list[Samples]:
        """Decode latents [B, C, T', F'] to samples [1, N] and put edits into their source."""
        num_samples = None
        if self.system.reference.trim_vocoder_tail:
            num_samples = round(duration * self.system.sample_rate)
        waveforms = []
        for waveform in self.system.codec.decode(z):
            waveforms.append(waveform[:, :num_samples])
        self.system.components.trim_memory()
        if plan is not None:
            waveforms = [plan.postprocess(waveform) for waveform in waveforms]
        return waveforms

    def _finish(
        self, request: ResolvedRequest, candidates: list[Candidate], is_pass: bool
    ) -> Generator[Progress, None, Audio]:
        """Choose among the candidates of one clip, and postprocess the best.

        Yields the steps of second passes.
        """
        system = self.system
        candidates = self._select_valid(candidates)
        tags = {
            "license": system.spec.license,
            "reference": system.reference.name,
            **system.components.runtime_metadata,
        }
        adapters = [each.use for each in system.source.adapters if each.weight]
        if adapters:
            tags["adapters"] = adapters_to_tag(adapters)
        score = None
        best = 0
        if request.options.candidates > 1:
            samples_of = [samples for _, samples in candidates]
            scores = self.similarity(samples_of, [request.options.display_text])[:, 0]
            best = int(scores.argmax())
            score = float(scores[best])
            tags["chosen_of"] = str(request.options.candidates)
        chosen, samples = candidates[best]
        samples, side = yield from self._second_passes(samples, chosen)
        samples, sample_rate, notes = postprocess(samples, system.sample_rate, chosen.options, side)
        if system.watermark is not None and not is_pass:
            samples = system.watermark.apply(samples, sample_rate)
            tags["watermark"] = system.watermark.name
        return Audio(samples, sample_rate, chosen.options, score, {**tags, **notes})

    @with_torch_defaults
    def similarity(self, audio: Sequence[Samples], texts: Sequence[str]) -> NDArray[np.float32]:
        """Return cosine similarities of CLAP embeddings (arXiv 2211.06687).

        Args:
            audio: Clips, each [C, N] or [N] at the model's sample rate; channels are averaged.
            texts: Texts.

        Returns:
            Similarities [K, M] in [-1, 1] of K clips and M texts.

        Raises:
            UsageError: The model has no CLAP audio encoder.
        """
        if not self.system.config.can_rank:
            raise UsageError(
                "this model has no CLAP audio encoder to rank candidates with; set candidates to 1"
            )
        encoders = self.system.encoders
        with self.system.components.keep_loaded(), torch.inference_mode():
            audio_embeds = embed_clips(encoders, audio, self.system.sample_rate)
            return (audio_embeds @ clap_text_embeds(encoders, texts).T).cpu().numpy()

    def _select_valid(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates that are audible, in [-1, 1]; raise GenerationError if none is."""
        valid = []
        first_error: GenerationError | None = None
        for request, samples in candidates:
            try:
                check_audible(samples)
            except GenerationError as error:
                first_error = first_error or error
                continue
            if request.options.edit is None and self.system.reference.normalize_output:
                samples = fade_edges(limit_peak(samples), self.system.sample_rate)
            else:  # kept parts of a source stay as they are
                samples = limit_peak(samples, 1.0)
            valid.append((request, samples))
        if first_error and not valid:
            raise first_error
        return valid

    def _second_passes(
        self, samples: Samples, request: ResolvedRequest
    ) -> Generator[Progress, None, tuple[Samples, Samples | None]]:
        """Close the loop of a clip [1, N] and make its side channel, if the request has them."""
        options = request.options
        source = self.system.source
        if options.loop_seam:
            samples = yield from self._run_pass(loop_pass(samples, request, source))
        if not options.stereo_width:
            return samples, None
        side = yield from self._run_pass(stereo_pass(samples, request, source))
        if options.loop_seam_duration:
            side = yield from self._run_pass(loop_pass(side, request, source))
        return samples, side

    def _run_pass(self, request: ResolvedRequest) -> Generator[Progress, None, Samples]:
        """Return the samples [1, N] of one further request; yield its steps."""
        clips = []
        for event in self._events([request], is_pass=True):
            if isinstance(event, Audio):
                clips.append(event)
            else:
                yield replace(event, is_second_pass=True)
        [clip] = clips
        return clip.samples


def group_by_settings(
    requests: Sequence[ResolvedRequest], batch_size: int
) -> Iterator[list[ResolvedRequest]]:
    """Yield neighbors that differ in prompt, negative prompt and seed only, `batch_size` at most.

    A request without words is not grouped with one that has words.
    """
    for _, group in groupby(requests, _shared_settings):
        while batch := list(islice(group, batch_size)):
            yield batch


def _shared_settings(request: ResolvedRequest) -> GenerationOptions:
    options = request.options
    has_words = bool(options.prompt.strip() or options.timeline)
    shared = {"prompt": "-" if has_words else "~", "negative_prompt": "", "seed": 0}
    return options.model_copy(update=shared)


class _EditPlanner:
    """Plans the edit of a request; candidates of one request share the plan."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._edit: AnyEdit | None = None
        self._plan: EditPlan | None = None

    def plan(self, request: ResolvedRequest) -> EditPlan | None:
        """Return the plan of a request's edit; None if it is no edit."""
        edit = request.options.edit
        if edit is None or request.edit_source is None:
            return None
        if self._plan is None or edit != self._edit:
            self._plan = plan_edit(edit, request.edit_source, self._system.codec)
            self._edit = edit
        return self._plan


def _warn_of_cut(name: str, text: str) -> None:
    warnings.warn(
        f"the {name} {text[:40]!r}... is too long; the model uses only its beginning",
        stacklevel=4,
    )
