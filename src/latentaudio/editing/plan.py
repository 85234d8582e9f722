"""Plans an edit: the latent edit for the sampler and the postprocessing of what it generates.

`EDITS` maps the options of an edit to its planner. A new edit is one class in `config/edits.py`,
one planner here and one row.

Letters: C channels, N samples; T' F' latent grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ..audio.ops import SILENCE_PEAK, Gains, Samples, bandpass_gains
from ..codec import AudioCodec
from ..conditioning.base import AudioPrompt
from ..config.edits import (
    AnyEdit,
    EditOptions,
    ExtendOptions,
    FrequencyRange,
    InpaintOptions,
    LoopOptions,
    SuperResolveOptions,
    TimeRange,
    TransferOptions,
    VaryOptions,
)
from ..errors import UsageError
from ..types import LatentEdit
from . import drawn_mask
from .blending import blend_into_source, match_boundary_levels, match_level_below_cutoff
from .drawn_mask import MaskPixels
from .inputs import SourceAudio, sha256_of
from .latent_mask import latent_keep_mask

LOOP_CUT_SEARCH_S = 0.01
"""A loop is cut within this time of its old start, at the smallest step between samples."""


@dataclass(frozen=True)
class EditPlan:
    """The inputs of the engine for one edit.

    Attributes:
        latent_edit: Where the sampler starts and which cells it keeps.
        postprocess: Maps generated samples [1, N] to the result [1, N].
        context_audio: The source and its kept latent frames, for in-context continuation of the
            language of audio; None if the edit does not use it.
    """

    latent_edit: LatentEdit
    postprocess: Callable[[Samples], Samples]
    context_audio: AudioPrompt | None = None


@dataclass(frozen=True)
class EditSource:
    """The source of an edit as a planner sees it.

    Attributes:
        audio: Samples [1, N], and their checksum.
        mask: Decoded drawn mask of an inpainting edit, or None.
    """

    audio: SourceAudio
    mask: MaskPixels | None = None


Planner: TypeAlias = Callable[..., EditPlan]
"""(options, source, codec) -> plan."""


def output_length(edit: AnyEdit, num_samples: int, sample_rate: int) -> int:
    """Return how many samples an edit of `num_samples` samples gives."""
    return num_samples + sum(_added_samples(edit, sample_rate))


def _added_samples(edit: AnyEdit, sample_rate: int) -> tuple[int, int]:
    """Return how many samples an edit adds before and after its source."""
    if isinstance(edit, ExtendOptions):
        return round(edit.before * sample_rate), round(edit.after * sample_rate)
    return 0, 0


def plan_edit(edit: AnyEdit, source: EditSource, codec: AudioCodec) -> EditPlan:
    """Plan an edit of a source.

    Args:
        edit: The edit; `editing.validation.validate_edit` has accepted it.
        source: The source at the model's sample rate.
        codec: Codec of the model.

    Returns:
        The plan.

    Raises:
        UsageError: The source is silent.
    """
    if np.abs(source.audio.samples).max(initial=0.0) < SILENCE_PEAK:
        raise UsageError("the source is silent, or its channels cancel out; choose another")
    return EDITS[type(edit)](edit, source, codec)


def shift_strength(strength: float, shift: float) -> float:
    """Map a strength to the fraction of the diffusion process it re-runs.

    s' = shift s / (1 + (shift - 1) s). Models whose latents change little at half the noise level
    have a shift above 1 (`ModelSpec.strength_shift`).
    """
    return shift * strength / (1.0 + (shift - 1.0) * strength)


@dataclass(frozen=True)
class _Region:
    """The part of a clip that is regenerated.

    Attributes:
        time_ranges: Ranges in seconds; none selects all times.
        frequency_ranges: Ranges in Hz; none selects all frequencies.
        mask: Decoded drawn mask; it replaces both.
        cutoff_hz: Frequency below which levels are matched, or 0.
    """

    time_ranges: list[TimeRange]
    frequency_ranges: list[FrequencyRange]
    mask: MaskPixels | None
    cutoff_hz: float = 0.0


def _plan_transfer(
    edit: TransferOptions | VaryOptions, source: EditSource, codec: AudioCodec
) -> EditPlan:
    samples = source.audio.samples
    num_frames = codec.num_frames(samples.shape[1] / codec.config.mel.sample_rate)
    strength = shift_strength(edit.strength, codec.source.spec.strength_shift)
    return EditPlan(
        LatentEdit(codec.encode(samples, num_frames), strength), lambda waveform: waveform
    )


def _plan_inpainting(edit: InpaintOptions, source: EditSource, codec: AudioCodec) -> EditPlan:
    sample_rate = codec.config.mel.sample_rate
    duration = source.audio.samples.shape[1] / sample_rate
    region = _Region(list(edit.time_ranges), list(edit.frequency_ranges), source.mask)
    return _plan_region(region, source.audio, (0, 0), duration, codec, edit.in_context)


def _plan_super_resolution(
    edit: SuperResolveOptions, source: EditSource, codec: AudioCodec
) -> EditPlan:
    sample_rate = codec.config.mel.sample_rate
    duration = source.audio.samples.shape[1] / sample_rate
    region = _Region([], [(edit.cutoff_hz, sample_rate / 2)], None, cutoff_hz=edit.cutoff_hz)
    return _plan_region(region, source.audio, (0, 0), duration, codec, in_context=False)


def _plan_extension(edit: ExtendOptions, source: EditSource, codec: AudioCodec) -> EditPlan:
    sample_rate = codec.config.mel.sample_rate
    added = _added_samples(edit, sample_rate)
    num_samples = output_length(edit, source.audio.samples.shape[1], sample_rate)
    duration = num_samples / sample_rate
    ranges: list[TimeRange] = []
    if added[0] > 0:
        ranges.append((0.0, added[0] / sample_rate))
    if added[1] > 0:
        ranges.append(((num_samples - added[1]) / sample_rate, duration))
    region = _Region(ranges, [], None)
    return _plan_region(region, source.audio, added, duration, codec, edit.in_context)


def _plan_loop(edit: LoopOptions, source: EditSource, codec: AudioCodec) -> EditPlan:
    """Rotate the source by half, so that its ends meet in the middle, and inpaint around there.

    The result is rotated back and cut where two neighboring samples differ least, within 10 ms of
    the old start.
    """
    sample_rate = codec.config.mel.sample_rate
    samples = source.audio.samples
    half = samples.shape[1] // 2
    seam: TimeRange = (
        half / sample_rate - edit.seam_duration / 2,
        half / sample_rate + edit.seam_duration / 2,
    )
    rotated = np.roll(samples, half, axis=1)
    audio = SourceAudio("", sha256_of(rotated), rotated)
    duration = samples.shape[1] / sample_rate
    plan = _plan_region(_Region([seam], [], None), audio, (0, 0), duration, codec, edit.in_context)

    def postprocess(generated: Samples) -> Samples:
        rotated_loop = plan.postprocess(generated)
        reach = min(round(LOOP_CUT_SEARCH_S * sample_rate), half - 1)
        steps = np.abs(np.diff(rotated_loop[0, half - reach - 1 : half + reach]))
        return np.roll(rotated_loop, -(half - reach + int(steps.argmin())), axis=1)

    return replace(plan, postprocess=postprocess)


def _plan_region(
    region: _Region,
    audio: SourceAudio,
    added: tuple[int, int],
    duration: float,
    codec: AudioCodec,
    in_context: bool | None,
) -> EditPlan:
    """Plan the regeneration of a region of a clip.

    Args:
        region: The region, in seconds and Hz of the result.
        audio: The source.
        added: Samples added before and after the source.
        duration: Duration of the result in seconds.
        codec: Codec of the model.
        in_context: Whether the language of audio continues that of the source.
    """
    sample_rate = codec.config.mel.sample_rate
    # added time is filled with the mirrored source, which continues the sound
    source = audio.samples
    if added != (0, 0):
        source = np.pad(source, ((0, 0), added), mode="symmetric")
    num_frames = codec.num_frames(duration)
    init = codec.encode(source, num_frames)
    keep_mask = latent_keep_mask(
        region.time_ranges, region.frequency_ranges, duration, codec, num_frames, region.mask
    ).to(init)
    time_ranges = region.time_ranges
    gains: Gains | None = None
    if region.frequency_ranges:
        gains = bandpass_gains(region.frequency_ranges, sample_rate)
    if region.mask is not None:
        time_ranges = drawn_mask.time_ranges(region.mask, duration)
        gains = drawn_mask.stft_gains(region.mask, codec.config.mel.fmax, sample_rate)
    blended_ranges = time_ranges or [(0.0, duration)]

    def postprocess(generated: Samples) -> Samples:
        if region.cutoff_hz:
            generated = match_level_below_cutoff(source, generated, region.cutoff_hz, sample_rate)
        if gains is None:
            generated = match_boundary_levels(source, generated, blended_ranges, sample_rate)
        return blend_into_source(source, generated, blended_ranges, gains, sample_rate)

    context_audio = None
    if in_context:
        kept_frames = tuple(bool(is_kept) for is_kept in keep_mask[0, 0].all(dim=1))
        name = f"{audio.sha256} {added[0]} {added[1]}"
        context_audio = AudioPrompt(name, "loa", source[0], sample_rate, known_mask=kept_frames)
    return EditPlan(LatentEdit(init, 1.0, keep_mask), postprocess, context_audio)


EDITS: dict[type[EditOptions], Planner] = {
    TransferOptions: _plan_transfer,
    VaryOptions: _plan_transfer,
    InpaintOptions: _plan_inpainting,
    SuperResolveOptions: _plan_super_resolution,
    ExtendOptions: _plan_extension,
    LoopOptions: _plan_loop,
}
"""Options of an edit -> its planner."""
