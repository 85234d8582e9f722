"""`AudioLDM`: the facade over one model. Each method hands a request to the engine.

Letters: C channels, N samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, Unpack

from numpy.typing import NDArray

from .audio.io import Audio
from .audio.ops import Samples
from .config.edits import (
    AnyEdit,
    ExtendOptions,
    InpaintOptions,
    LoopOptions,
    SuperResolveOptions,
    TransferOptions,
    VaryOptions,
)
from .config.options import AudioPromptMode, GenerationOptions, GenerationOverrides
from .editing.drawn_mask import mask_to_string
from .editing.inputs import AudioInput, RequestInputs
from .generation.engine import Callbacks, OnStep, ProgressCallback
from .generation.resolve import (
    ResolvedRequest,
    resolve_cue,
    resolve_edit,
    resolve_prompts,
    resolve_request,
)
from .generation.streaming import generate_pieces, validate_stream
from .generation.timeline import DEFAULT_MORPH_DURATION_S, morph_cues
from .loaded_model import LoadedModel
from .loaders.resolve import resolve_model

Mask: TypeAlias = NDArray[Any] | str | Path
"""An image file, or an array [rows, columns] with the highest frequency in the first row."""
Ranges: TypeAlias = Sequence[tuple[float, float]]
"""Pairs of (start, end)."""


class CallOverrides(GenerationOverrides, total=False):
    """Keywords of the editing methods: options, and functions that follow the sampling steps."""

    progress: ProgressCallback | None
    on_step: OnStep | None


def load(
    source: str | Path = "mini",
    device: str = "auto",
    precision: str = "auto",
    *,
    reference: str = "clean",
    architecture: str | None = None,
    components: Mapping[str, str | Path] | None = None,
    low_memory: bool = False,
) -> AudioLDM:
    """Load a model. Weights are read when they are first needed.

    Args:
        source: A name (see `latentaudio.list_models`), a Hugging Face hub id, or a path. A path is
            a model folder, a run folder, a diffusers folder, or a checkpoint of the authors (.ckpt,
            .pth, .safetensors).
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "bf16" or "fp32".
        reference: The implementation whose details are imitated: "clean", "original" or
            "diffusers". It matters for published weights.
        architecture: Name of the model that a checkpoint holds, if its shapes do not identify it.
        components: Files that replace single components, such as {"vocoder": "hifigan.ckpt"}.
        low_memory: Whether only the components in use stay in memory (published models only).

    Returns:
        The model.

    Raises:
        UsageError: The name, device, precision or reference is unknown.
        WeightsError: Weights are missing or have other shapes.
    """
    model_source = resolve_model(source, architecture, reference, components)
    return AudioLDM(model_source, device, precision, low_memory)


class AudioLDM(LoadedModel):
    """One model: generates and edits audio.

    Methods that take audio accept a file of any rate and channels, an `Audio`, or samples [C, N]
    or [N] at the model's sample rate. They raise DataError for a file that is no audio and
    UsageError for options that do not fit.

    Options that are not set take the model's own defaults; see `GenerationOptions`.
    """

    def generate(
        self,
        prompt: str | Sequence[str] = "",
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
                clip has its duration, unless `duration` is set.
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
        options: dict[str, Any] = {**overrides}
        cues = [resolve_cue(cue, inputs) for cue in options.pop("timeline", ())]
        if audio_prompt is not None:
            fields = {
                "audio_prompt": audio_prompt,
                "audio_prompt_mode": audio_prompt_mode,
                "audio_prompt_weight": audio_prompt_weight,
            }
            cues.append(resolve_cue(fields, inputs))
            duration = inputs.get_audio_prompt(cues[-1]).samples.shape[1] / self.sample_rate
            options.setdefault("duration", min(duration, self.max_duration))
        if cues:
            options["timeline"] = cues
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        requests = resolve_prompts(prompts, options, self.source, inputs)
        return list(self.engine.run(requests, Callbacks(progress, on_step)))

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
        duration = overrides.setdefault("duration", DEFAULT_MORPH_DURATION_S)
        overrides.setdefault("crossfade", duration)
        overrides["timeline"] = morph_cues(first, second, duration)
        return self.generate(**overrides)

    def transfer(
        self,
        audio: AudioInput,
        prompt: str,
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
        return list(self.edit(audio, edit, prompt, **overrides))

    def vary(
        self,
        audio: AudioInput,
        prompt: str = "",
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
        return list(self.edit(audio, edit, prompt, **overrides))

    def inpaint(
        self,
        audio: AudioInput,
        prompt: str = "",
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
            time_ranges=tuple(time_ranges),
            frequency_ranges=tuple(frequency_ranges),
            mask=mask_to_string(mask),
            in_context=in_context,
        )
        return list(self.edit(audio, edit, prompt, **overrides))

    def super_resolve(
        self,
        audio: AudioInput,
        prompt: str = "",
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
        return list(self.edit(audio, edit, prompt, **overrides))

    def extend(
        self,
        audio: AudioInput,
        prompt: str = "",
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
        return list(self.edit(audio, edit, prompt, **overrides))

    def loop(
        self,
        audio: AudioInput,
        prompt: str = "",
        *,
        seam_duration: float = 1.0,
        **overrides: Unpack[CallOverrides],
    ) -> list[Audio]:
        """Make audio loop without an audible seam.

        Args:
            audio: The source.
            prompt: Its description, if that helps.
            seam_duration: Seconds around the loop point that are regenerated, half at each end.
            **overrides: Options, `progress` and `on_step`, see `generate`.
        """
        edit = LoopOptions(seam_duration=seam_duration)
        return list(self.edit(audio, edit, prompt, **overrides))

    def edit(
        self,
        audio: AudioInput,
        edit: AnyEdit,
        prompt: str = "",
        **overrides: Unpack[CallOverrides],
    ) -> Iterator[Audio]:
        """Edit audio; wrong options raise before any work.

        Args:
            audio: The source.
            edit: The edit.
            prompt: The prompt, or "".
            **overrides: Options, `progress` and `on_step`, see `generate`.

        Returns:
            An iterator over the clips, each as soon as it is finished.
        """
        options: dict[str, Any] = {**overrides}
        callbacks = Callbacks(options.pop("progress", None), options.pop("on_step", None))
        return self.engine.run(self.resolve_edit(audio, edit, prompt, **options), callbacks)

    def generate_stream(
        self,
        prompt: str = "",
        **overrides: Unpack[GenerationOverrides],
    ) -> Iterator[Samples]:
        """Generate one clip piece by piece, of any length, in the time and memory of one window.

        Args:
            prompt: The prompt.
            **overrides: Options, see `GenerationOptions`; not those that need a whole clip.
                `duration` is infinite by default.

        Returns:
            An iterator over samples [1, N], to be joined as they come.
        """
        validate_stream(overrides)
        options: dict[str, Any] = {**overrides}
        duration = options.pop("duration", math.inf)
        timeline = options.pop("timeline", ())
        return generate_pieces(self.engine, prompt, duration, timeline, options)

    def stream(
        self,
        requests: Sequence[GenerationOptions],
        *,
        progress: ProgressCallback | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Audio]:
        """Generate the clips of requests in order; wrong options raise before any work.

        Args:
            requests: Requests; options that are not set take the model's defaults.
            progress: See `generate`.
            on_step: See `generate`.

        Returns:
            An iterator over the clips, each as soon as it is finished.
        """
        resolved = []
        for options in requests:
            inputs = RequestInputs(self.sample_rate)
            resolved.append(resolve_request(options, self.source, inputs))
        return self.run(resolved, progress=progress, on_step=on_step)

    def run(
        self,
        requests: Sequence[ResolvedRequest],
        *,
        progress: ProgressCallback | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Audio]:
        """Generate the clips of resolved requests in order, each as soon as it is finished."""
        return self.engine.run(requests, Callbacks(progress, on_step))

    def resolve_requests(
        self, prompts: Sequence[str], **overrides: Unpack[GenerationOverrides]
    ) -> list[ResolvedRequest]:
        """Resolve a request for each prompt; their seeds leave room for each other's clips.

        Raises:
            UsageError: An option is wrong.
        """
        inputs = RequestInputs(self.sample_rate)
        return resolve_prompts(prompts, _resolve_cues(overrides, inputs), self.source, inputs)

    def resolve_edit(
        self,
        audio: AudioInput,
        edit: AnyEdit,
        prompt: str = "",
        **overrides: Unpack[GenerationOverrides],
    ) -> list[ResolvedRequest]:
        """Resolve an edit of audio; see `edit`."""
        inputs = RequestInputs(self.sample_rate)
        options = _resolve_cues(overrides, inputs)
        return resolve_edit(audio, edit, prompt, options, self.source, inputs)


def _resolve_cues(overrides: GenerationOverrides, inputs: RequestInputs) -> dict[str, Any]:
    """Return options whose timeline, if there is one, has decoded audio prompts."""
    options: dict[str, Any] = {**overrides}
    if "timeline" in options:
        options["timeline"] = [resolve_cue(cue, inputs) for cue in options["timeline"]]
    return options
