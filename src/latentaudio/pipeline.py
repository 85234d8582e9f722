"""`AudioLDM`: the facade over one model. Each method hands a request to the engine.

Letters: C channels, N samples; K clips, M texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from .audio.io import Audio
from .audio.ops import Samples
from .config.backends import TORCH, check_backend
from .config.edits import (
    AnyEdit,
    ExtendOptions,
    InpaintOptions,
    LoopOptions,
    SuperResolveOptions,
    TransferOptions,
    VaryOptions,
)
from .config.option_table import EDIT_OPTIONS
from .config.options import (
    AudioPromptMode,
    GenerationOptions,
    GenerationOverrides,
    PromptCue,
    make_requests,
)
from .config.reference import get_reference
from .editing.drawn_mask import mask_to_string
from .editing.inputs import AudioInput, RequestInputs, to_mono_clip, to_mono_clips
from .editing.sample_arrays import as_ranges, as_texts
from .errors import UsageError
from .generation.engine import Callbacks, Engine, OnStep, ProgressCallback
from .generation.memory import MemoryEstimate
from .generation.resolve import ResolvedRequest, resolve_cue, resolve_requests
from .generation.streaming import generate_pieces
from .generation.system import System
from .generation.timeline import is_audio, morph_request
from .loaders.resolve import resolve_model

DEFAULT_LOOP_SEAM_S: float = EDIT_OPTIONS["loop_seam"].default
Mask: TypeAlias = NDArray[Any] | str | Path
"""An image file, or an array [rows, columns] with the highest frequency in the first row."""
Ranges: TypeAlias = Iterable[tuple[float, float]]
"""Pairs of (start, end)."""


class CallOverrides(GenerationOverrides, total=False):
    """Keywords of the editing methods: options, and functions that follow the sampling steps."""

    progress: ProgressCallback | None
    on_step: OnStep | None


def load(
    source: str | Path = "mini",
    device: str | torch.device = "auto",
    precision: str = "auto",
    *,
    reference: str = "clean",
    architecture: str | None = None,
    components: Mapping[str, str | Path] | None = None,
    low_memory: bool = False,
    use_cache: bool = False,
    backend: str = TORCH,
) -> AudioLDM:
    """Load a model. Weights are read when they are first needed.

    Args:
        source: A name (see `latentaudio.list_models`), a Hugging Face hub id, or a path. A path is
            a model folder, a run folder, a diffusers folder, or a checkpoint of the authors (.ckpt,
            .pth, .safetensors).
        device: "auto", "cpu", "cuda" or "mps", or a `torch.device`.
        precision: "auto", "bf16", "fp32", or "int8": the UNet computes with 8-bit products.
        reference: The implementation whose details are imitated: "clean", "original" or
            "diffusers". It matters for published weights.
        architecture: Name of the model that a checkpoint holds, if its shapes do not identify it.
        components: Files that replace single components, such as {"vocoder": "hifigan.ckpt"}.
        low_memory: Whether only the components in use stay in memory (published models only).
        use_cache: Whether what makes later starts faster is kept, as the command line does.
        backend: Library that computes the UNet: "torch", "openvino" or "onnxruntime" (on a CPU).
            Without `use_cache`, the last two convert the UNet at every start.

    Returns:
        The model.

    Raises:
        UsageError: The name, device, precision, reference or backend is unknown.
        WeightsError: Weights are missing or have other shapes.
    """
    check_backend(backend, str(device), precision, get_reference(reference))
    model_source = resolve_model(source, architecture, reference, components)
    return AudioLDM(model_source, device, precision, low_memory, use_cache, backend)


class AudioLDM(System):
    """One model: generates and edits audio.

    Methods that take audio accept a file of any rate and channels, an `Audio`, or samples [C, N]
    or [N] at the model's sample rate. They raise DataError for a file that is no audio and
    UsageError for options that do not fit.

    Options that are not set take the model's own defaults; see `GenerationOptions`.
    """

    def generate(
        self,
        prompt: str | Iterable[str] = "",
        *,
        audio_prompt: AudioInput | None = None,
        audio_prompt_mode: AudioPromptMode = "",
        audio_prompt_weight: float = 1.0,
        progress: ProgressCallback | None = None,
        on_step: OnStep | None = None,
        **overrides: Unpack[GenerationOverrides],
    ) -> list[Audio]:
        """Generate clips from prompts.

        Clip k of the list has seed + k, and is the clip which that seed generates alone. Each
        candidate of a clip takes the next seed.

        Args:
            prompt: A prompt, or several.
            audio_prompt: Audio that conditions the clip beside the prompt, or in its place. The
                clip has its duration, up to one window, unless `duration` or `timeline` is set.
            audio_prompt_mode: "loa" conditions on its language of audio, "clap" on its CLAP
                embedding; "" takes what the model has.
            audio_prompt_weight: Weight of the audio against the text, 0 to 1.
            progress: Called after every sampling step with (clip-steps done, of how many).
            on_step: Called with every `Step`; an exception that it raises ends the generation.
            **overrides: Options, see `GenerationOptions`. The audio prompt of a cue in `timeline`
                may be any audio.

        Returns:
            `num_waveforms` clips for each prompt, in order.

        Raises:
            UsageError: An option is wrong.
            GenerationError: A clip is silent or not finite.
        """
        inputs = RequestInputs(self.sample_rate)
        options = _resolve_cues(overrides, inputs)
        if audio_prompt is not None:
            fields = {
                "audio_prompt": audio_prompt,
                "audio_prompt_mode": audio_prompt_mode,
                "audio_prompt_weight": audio_prompt_weight,
            }
            cue = resolve_cue(fields, inputs)
            options["timeline"] = [*options.get("timeline", ()), cue]
        requests = make_requests(as_texts(prompt), options)
        resolved = resolve_requests(requests, self.source, inputs)
        return list(Engine(self).run(resolved, Callbacks(progress, on_step)))

    def morph(
        self,
        first: AudioInput,
        second: AudioInput,
        **overrides: Unpack[CallOverrides],
    ) -> list[Audio]:
        """Generate a clip that begins as one sound and ends as another.

        Args:
            first: A prompt or audio; text that names a file is audio.
            second: The same.
            **overrides: Options, `progress` and `on_step`, see `generate`. `duration` is 10 s by
                default.
        """
        inputs = RequestInputs(self.sample_rate)
        options, callbacks = _split_callbacks(overrides)
        request = morph_request(_cue_of(first, inputs), _cue_of(second, inputs), options)
        return list(Engine(self).run(resolve_requests([request], self.source, inputs), callbacks))

    def transfer(
        self,
        audio: AudioInput,
        prompt: str | Iterable[str],
        *,
        strength: float = 0.5,
        **overrides: Unpack[CallOverrides],
    ) -> list[Audio]:
        """Turn audio into the sound of a prompt (SDEdit, arXiv 2108.01073).

        Args:
            audio: The source.
            prompt: The new sound.
            strength: 0 returns the source through the codec, 1 ignores it.
            **overrides: Options, `progress` and `on_step`, see `generate`.
        """
        edit = TransferOptions(strength=strength)
        return self._edit(audio, edit, prompt, overrides)

    def vary(
        self,
        audio: AudioInput,
        prompt: str | Iterable[str] = "",
        *,
        strength: float = 0.4,
        **overrides: Unpack[CallOverrides],
    ) -> list[Audio]:
        """Generate variations of audio; `num_waveforms` of them.

        Args:
            audio: The source.
            prompt: Its description, if that helps.
            strength: 0 returns the source through the codec, 1 ignores it.
            **overrides: Options, `progress` and `on_step`, see `generate`.
        """
        edit = VaryOptions(strength=strength)
        return self._edit(audio, edit, prompt, overrides)

    def inpaint(
        self,
        audio: AudioInput,
        prompt: str | Iterable[str] = "",
        *,
        time_ranges: Ranges = (),
        frequency_ranges: Ranges = (),
        mask: Mask = "",
        in_context: bool | None = None,
        **overrides: Unpack[CallOverrides],
    ) -> list[Audio]:
        """Regenerate parts of audio.

        The rest is bit-identical except for crossfades of 20 ms, unless post-processing is
        requested.

        Args:
            audio: The source.
            prompt: The sound of the regenerated parts.
            time_ranges: Ranges in seconds; none selects all times.
            frequency_ranges: Ranges in Hz; none selects all frequencies.
            mask: Image over the whole source, white where it is regenerated.
            in_context: Whether the language of audio continues that of the source
                (arXiv 2308.05734, section 4.7). None: if the model can.
            **overrides: Options, `progress` and `on_step`, see `generate`.
        """
        edit = InpaintOptions(
            time_ranges=as_ranges("time_ranges", time_ranges),
            frequency_ranges=as_ranges("frequency_ranges", frequency_ranges),
            mask=mask_to_string(mask),
            in_context=in_context,
        )
        return self._edit(audio, edit, prompt, overrides)

    def super_resolve(
        self,
        audio: AudioInput,
        prompt: str | Iterable[str] = "",
        *,
        cutoff_hz: float,
        **overrides: Unpack[CallOverrides],
    ) -> list[Audio]:
        """Regenerate everything above a cutoff frequency (audio super-resolution).

        Args:
            audio: The source.
            prompt: Its description, if that helps.
            cutoff_hz: The cutoff in Hz; frequencies below it are kept.
            **overrides: Options, `progress` and `on_step`, see `generate`.
        """
        edit = SuperResolveOptions(cutoff_hz=cutoff_hz)
        return self._edit(audio, edit, prompt, overrides)

    def extend(
        self,
        audio: AudioInput,
        prompt: str | Iterable[str] = "",
        *,
        before: float = 0.0,
        after: float = 0.0,
        in_context: bool | None = None,
        **overrides: Unpack[CallOverrides],
    ) -> list[Audio]:
        """Generate audio before and after a source.

        Args:
            audio: The source, which is kept except for crossfades of 20 ms at its ends.
            prompt: The sound of the new parts.
            before: Seconds to add before it.
            after: Seconds to add after it.
            in_context: See `inpaint`.
            **overrides: Options, `progress` and `on_step`, see `generate`.
        """
        edit = ExtendOptions(before=before, after=after, in_context=in_context)
        return self._edit(audio, edit, prompt, overrides)

    def loop(
        self,
        audio: AudioInput,
        prompt: str | Iterable[str] = "",
        **overrides: Unpack[CallOverrides],
    ) -> list[Audio]:
        """Make audio loop without an audible seam.

        Args:
            audio: The source.
            prompt: Its description, if that helps.
            **overrides: Options, `progress` and `on_step`, see `generate`. `loop_seam`, the seconds
                around the loop point that are regenerated, is 1 by default.
        """
        edit = LoopOptions(loop_seam=overrides.pop("loop_seam", DEFAULT_LOOP_SEAM_S))
        return self._edit(audio, edit, prompt, overrides)

    def _edit(
        self, audio: AudioInput, edit: AnyEdit, prompt: object, overrides: Mapping[str, Any]
    ) -> list[Audio]:
        """Return the clips of an edit of audio."""
        if "duration" in overrides:
            raise UsageError(
                f"{edit.kind} takes the duration of its source and what it adds; leave duration out"
            )
        inputs = RequestInputs(self.sample_rate)
        options, callbacks = _split_callbacks(overrides)
        source = inputs.load_audio(audio)
        changes = {"source_path": source.path, "source_sha256": source.sha256}
        options["edit"] = edit.model_copy(update=changes)
        requests = make_requests(as_texts(prompt), _resolve_cues(options, inputs))
        return list(Engine(self).run(resolve_requests(requests, self.source, inputs), callbacks))

    def generate_stream(
        self,
        prompt: str | Iterable[str] = "",
        **overrides: Unpack[GenerationOverrides],
    ) -> Iterator[Samples]:
        """Generate one clip piece by piece, of any length, in the time and memory of one window.

        Args:
            prompt: The prompt; a list must have one.
            **overrides: Options, see `GenerationOptions`; not those that need a whole clip.
                `duration` is infinite by default.

        Returns:
            An iterator over samples [1, N], to be joined as they come.

        Raises:
            UsageError: An option is wrong, or there are several prompts.
        """
        texts = as_texts(prompt)
        if len(texts) > 1:
            raise UsageError(
                f"a stream has one prompt, not {len(texts)}; give timeline= for several in order, "
                f"or generate clips"
            )
        options: dict[str, Any] = {**overrides}
        duration = options.pop("duration", math.inf)
        inputs = RequestInputs(self.sample_rate)
        request = GenerationOptions(prompt=texts[0], **_resolve_cues(options, inputs))
        return generate_pieces(Engine(self), request, duration, inputs)

    def run(
        self,
        requests: Sequence[GenerationOptions | ResolvedRequest],
        *,
        progress: ProgressCallback | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Audio]:
        """Generate the clips of requests in order; wrong options raise before any work.

        Args:
            requests: Requests; options that are not set take the model's defaults. A request
                without a seed takes the next seed behind those of the request before it.
            progress: See `generate`.
            on_step: See `generate`.

        Returns:
            An iterator over the clips, each as soon as it is finished.
        """
        resolved = resolve_requests(requests, self.source, RequestInputs(self.sample_rate))
        return Engine(self).run(resolved, Callbacks(progress, on_step))

    def resolve_requests(
        self, prompts: str | Iterable[str], **overrides: Unpack[GenerationOverrides]
    ) -> list[ResolvedRequest]:
        """Return the requests of prompts with all defaults, as `run` takes them.

        Raises:
            UsageError: An option is wrong.
        """
        inputs = RequestInputs(self.sample_rate)
        requests = make_requests(as_texts(prompts), _resolve_cues(overrides, inputs))
        return resolve_requests(requests, self.source, inputs)

    def estimate_memory(
        self, requests: Sequence[GenerationOptions | ResolvedRequest]
    ) -> MemoryEstimate:
        """Estimate the memory of the largest of some requests. Loads nothing."""
        resolved = resolve_requests(requests, self.source, RequestInputs(self.sample_rate))
        return Engine(self).estimate_memory(resolved)

    def similarity(
        self, audio: AudioInput | Iterable[AudioInput], texts: str | Iterable[str]
    ) -> NDArray[np.float32]:
        """Return CLAP similarities [K, M] between K clips and M texts.

        Args:
            audio: A clip or several; the rows of an array [K, N] are K clips.
            texts: A text or several.
        """
        clips = to_mono_clips(audio, self.sample_rate)
        return Engine(self).similarity(clips, as_texts(texts, "text"))

    def reconstruct(self, samples: AudioInput) -> Samples:
        """Encode and decode a sound: the codec's best quality, [1, N] at `sample_rate`."""
        return self.codec.reconstruct(to_mono_clip(samples, self.sample_rate))


def _split_callbacks(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], Callbacks]:
    """Return the options and the functions that follow the steps."""
    options: dict[str, Any] = {**overrides}
    callbacks = Callbacks(options.pop("progress", None), options.pop("on_step", None))
    return options, callbacks


def _cue_of(item: AudioInput, inputs: RequestInputs) -> PromptCue:
    """Return the cue of a prompt or of audio; text that names a file is audio."""
    kind = "audio_prompt" if is_audio(item) else "text"
    return resolve_cue({kind: item}, inputs)


def _resolve_cues(overrides: Mapping[str, Any], inputs: RequestInputs) -> dict[str, Any]:
    """Return options whose timeline, if there is one, has decoded audio prompts."""
    options: dict[str, Any] = {**overrides}
    cues = options.get("timeline", ())
    if not isinstance(cues, Iterable) or isinstance(cues, str | bytes | Mapping):
        raise UsageError(f"timeline is a {type(cues).__name__}; give a list of cues")
    resolved = []
    for number, cue in enumerate(cues, 1):
        is_mapping = isinstance(cue, Mapping) and all(isinstance(key, str) for key in cue)
        if not (is_mapping or isinstance(cue, PromptCue)):
            raise UsageError(
                f"cue {number} of the timeline is {cue!r:.40}; "
                'write it like {"start": 0, "text": "light rain"}'
            )
        resolved.append(resolve_cue(cue, inputs))
    if resolved:
        options["timeline"] = resolved
    return options
