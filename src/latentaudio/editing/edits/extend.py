"""Extension: generated audio before and after a clip."""

from __future__ import annotations

from ...codec import AudioCodec
from ...config.architecture import MelSpec
from ...config.edits import ExtendOptions, TimeRange
from ...errors import UsageError
from ..base import EditPlan, EditSource
from ..region import Region, plan_region
from ..validation import validate_source_duration


def validate(edit: ExtendOptions, source: EditSource, mel: MelSpec) -> None:
    """Check that something is added, and the duration of the result.

    Raises:
        UsageError: Nothing is added, or the result is too long.
    """
    validate_source_duration(source.duration(mel.sample_rate) + edit.before + edit.after)
    if sum(edit.added_samples(mel.sample_rate)) == 0:
        raise UsageError("extend needs before or after, in seconds")


def plan(edit: ExtendOptions, source: EditSource, codec: AudioCodec) -> EditPlan:
    """Generate the added ranges; the source stays."""
    sample_rate = codec.config.mel.sample_rate
    before, after = edit.added_samples(sample_rate)
    num_samples = before + source.audio.samples.shape[1] + after
    duration = num_samples / sample_rate
    ranges: list[TimeRange] = []
    if before > 0:
        ranges.append((0.0, before / sample_rate))
    if after > 0:
        ranges.append(((num_samples - after) / sample_rate, duration))
    region = Region(ranges, [])
    return plan_region(region, source.audio, (before, after), duration, codec, edit.in_context)
