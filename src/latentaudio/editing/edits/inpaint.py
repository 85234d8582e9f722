"""Inpainting: time ranges, frequency ranges, or the white part of a drawn mask."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ...audio.ops import CROSSFADE_S
from ...codec import AudioCodec
from ...config.architecture import MelSpec, mel_edges
from ...config.edits import InpaintOptions, TimeRange
from ...errors import UsageError
from .. import drawn_mask
from ..base import EditPlan, EditSource
from ..region import Region, plan_region


def validate(edit: InpaintOptions, source: EditSource, mel: MelSpec) -> None:
    """Check the ranges or the mask against the source.

    Raises:
        UsageError: A range is empty, too short, or outside the source; or nothing would be kept.
    """
    mask = source.mask
    duration = source.duration(mel.sample_rate)
    nyquist_hz = mel.sample_rate / 2
    if not edit.time_ranges and not edit.frequency_ranges and mask is None:
        raise UsageError(
            "inpaint needs a time range such as 1.0:2.5, a frequency range such as 2000:8000, "
            "or a mask"
        )
    _validate_ranges("time range", edit.time_ranges, duration, "s", "the source ends")
    masked_ranges = drawn_mask.time_ranges(mask, duration) if mask is not None else []
    for start, end in [*edit.time_ranges, *masked_ranges]:
        if end - start < CROSSFADE_S - 1e-6:
            raise UsageError(
                f"time range {start:.6g}:{end:.6g} is shorter than {CROSSFADE_S:g} s; "
                "regenerate at least that much"
            )
    _validate_ranges(
        "frequency range", edit.frequency_ranges, nyquist_hz, "Hz", "the model's bandwidth ends"
    )
    for low, high in edit.frequency_ranges:
        _validate_bandwidth(low, high, mel)
    is_all_time = not edit.time_ranges or _covers(edit.time_ranges, duration)
    is_all_band = not edit.frequency_ranges or _covers(edit.frequency_ranges, nyquist_hz)
    if mask is None and is_all_time and is_all_band:
        raise UsageError(
            "that selects the whole source, so nothing would be kept; use transfer or generate"
        )


def plan(edit: InpaintOptions, source: EditSource, codec: AudioCodec) -> EditPlan:
    """Regenerate the ranges or the white part of the mask."""
    duration = source.duration(codec.config.mel.sample_rate)
    region = Region(list(edit.time_ranges), list(edit.frequency_ranges), source.mask)
    return plan_region(region, source.audio, (0, 0), duration, codec, edit.in_context)


def _validate_bandwidth(low_hz: float, high_hz: float, mel: MelSpec) -> None:
    """Raise `UsageError` for a frequency range narrower than one mel filter at its center."""
    edges = mel_edges(mel.n_mels, mel.fmin, mel.fmax)
    center_hz = min((low_hz + high_hz) / 2, edges[-1])
    for lower, upper in zip(edges, edges[2:], strict=False):
        if upper >= center_hz:
            if high_hz - low_hz < upper - lower:
                raise UsageError(
                    f"frequency range {low_hz:g}:{high_hz:g} is narrower than the model resolves; "
                    f"give it at least {upper - lower:.0f} Hz there"
                )
            return


def _validate_ranges(
    name: str, ranges: Sequence[TimeRange], limit: float, unit: str, limit_reason: str
) -> None:
    for start, end in ranges:
        if start >= end:
            raise UsageError(f"{name} {start:g}:{end:g} is empty or reversed; write START:END")
        if start < 0:
            raise UsageError(f"{name} {start:g}:{end:g} begins before 0; write START:END in {unit}")
        if end > limit + 1e-6:
            raise UsageError(
                f"{name} {start:g}:{end:g} goes beyond {limit:.6g} {unit}, where {limit_reason}"
            )
    for (start, end), (next_start, next_end) in pairwise(sorted(ranges)):
        if next_start < end:
            merged = f"{start:g}:{max(end, next_end):g}"
            raise UsageError(
                f"{name}s {start:g}:{end:g} and {next_start:g}:{next_end:g} overlap; "
                f"write them as one, {merged}"
            )


def _covers(ranges: Sequence[TimeRange], limit: float) -> bool:
    """Return whether ranges cover 0 to `limit` without a gap."""
    ordered = sorted(ranges)
    if ordered[0][0] > 0 or ordered[-1][1] < limit:
        return False
    return all(first[1] >= second[0] for first, second in pairwise(ordered))
