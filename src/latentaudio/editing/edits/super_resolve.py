"""Super-resolution: everything above a cutoff frequency is generated."""

from __future__ import annotations

from ...codec import AudioCodec
from ...config.architecture import MelSpec
from ...config.edits import SuperResolveOptions
from ...errors import UsageError
from ..base import EditPlan, EditSource
from ..region import Region, plan_region


def validate(edit: SuperResolveOptions, source: EditSource, mel: MelSpec) -> None:
    """Check that the cutoff lies within the model's bandwidth.

    Raises:
        UsageError: It does not.
    """
    nyquist_hz = mel.sample_rate / 2
    if not 0 < edit.cutoff_hz < nyquist_hz:
        raise UsageError(
            f"cutoff_hz = {edit.cutoff_hz:g} Hz; give more than 0 and less than {nyquist_hz:g} Hz, "
            "the highest frequency of the model"
        )


def plan(edit: SuperResolveOptions, source: EditSource, codec: AudioCodec) -> EditPlan:
    """Regenerate the band above the cutoff, at the level of the octave below it."""
    sample_rate = codec.config.mel.sample_rate
    band = (edit.cutoff_hz, sample_rate / 2)
    region = Region([], [band], cutoff_hz=edit.cutoff_hz)
    duration = source.duration(sample_rate)
    return plan_region(region, source.audio, (0, 0), duration, codec, in_context=False)
