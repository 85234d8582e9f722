"""Regenerates a region of a clip: the plan that inpainting, extending and looping share.

Letters: N samples; T' F' latent grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..audio.ops import Gains, Samples, bandpass_gains
from ..codec import AudioCodec
from ..conditioning.base import AudioPrompt
from ..config.edits import FrequencyRange, TimeRange
from ..types import LatentEdit
from . import drawn_mask
from .base import EditPlan
from .blending import (
    blend_into_source,
    match_boundary_levels,
    match_boundary_spectra,
    match_level_below_cutoff,
)
from .drawn_mask import MaskPixels
from .inputs import SourceAudio
from .latent_mask import latent_mask


@dataclass(frozen=True)
class Region:
    """The part of a clip that is regenerated.

    Attributes:
        time_ranges: Ranges in seconds; none selects all times.
        frequency_ranges: Ranges in Hz; none selects all frequencies.
        mask: Decoded drawn mask; it replaces both.
        cutoff_hz: Frequency below which levels are matched, or 0.
    """

    time_ranges: list[TimeRange]
    frequency_ranges: list[FrequencyRange]
    mask: MaskPixels | None = None
    cutoff_hz: float = 0.0


def plan_region(
    region: Region,
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
    level_gain = codec.source_gain(source)
    init = codec.encode(level_gain * source, num_frames)
    mask = latent_mask(
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
        generated = generated / level_gain
        if region.cutoff_hz:
            generated = match_level_below_cutoff(source, generated, region.cutoff_hz, sample_rate)
        if gains is None:
            generated = match_boundary_levels(source, generated, blended_ranges, sample_rate)
            generated = match_boundary_spectra(source, generated, blended_ranges, sample_rate)
        return blend_into_source(source, generated, blended_ranges, gains, sample_rate)

    context_audio = None
    if in_context:
        # a frame counts as generated if one of its cells is
        generated_frames = tuple(mask[0, 0].bool().any(dim=1).tolist())
        name = f"{audio.sha256} {added[0]} {added[1]}"
        context_audio = AudioPrompt(
            name, "loa", level_gain * source[0], sample_rate, mask=generated_frames
        )
    return EditPlan(LatentEdit(init, 1.0, mask), postprocess, context_audio)
