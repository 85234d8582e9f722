"""Loop: the ends of a clip are generated anew, so that it repeats without a seam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...audio.ops import CROSSFADE_S, Samples
from ...codec import AudioCodec
from ...config.architecture import MelSpec
from ...config.edits import LoopOptions, TimeRange
from ...errors import UsageError
from ..base import EditPlan, EditSource
from ..inputs import SourceAudio, sha256_of
from ..region import Region, plan_region

LOOP_CUT_SEARCH_S = 0.01
"""A loop is cut within this time of its old start, at the smallest step between samples."""


def validate(edit: LoopOptions, source: EditSource, mel: MelSpec) -> None:
    """Check that the seam lies within the source.

    Raises:
        UsageError: It is too short or too long.
    """
    duration = source.duration(mel.sample_rate)
    if not 2 * CROSSFADE_S < edit.loop_seam < duration - 2 * CROSSFADE_S:
        raise UsageError(
            f"loop_seam = {edit.loop_seam:g} s; give more than {2 * CROSSFADE_S:g} s "
            f"and less than the source, which lasts {duration:g} s"
        )


def plan(edit: LoopOptions, source: EditSource, codec: AudioCodec) -> EditPlan:
    """Rotate the source by half, so that its ends meet in the middle, and inpaint around there.

    The result is rotated back and cut where two neighboring samples differ least, within 10 ms of
    the old start.
    """
    sample_rate = codec.config.mel.sample_rate
    samples = source.audio.samples
    half = samples.shape[1] // 2
    seam: TimeRange = (
        half / sample_rate - edit.loop_seam / 2,
        half / sample_rate + edit.loop_seam / 2,
    )
    rotated = np.roll(samples, half, axis=1)
    audio = SourceAudio("", sha256_of(rotated), rotated)
    duration = source.duration(sample_rate)
    inpainting = plan_region(Region([seam], []), audio, (0, 0), duration, codec, edit.in_context)

    def postprocess(generated: Samples) -> Samples:
        rotated_loop = inpainting.postprocess(generated)
        reach = min(round(LOOP_CUT_SEARCH_S * sample_rate), half - 1)
        steps = np.abs(np.diff(rotated_loop[0, half - reach - 1 : half + reach]))
        return np.roll(rotated_loop, -(half - reach + int(steps.argmin())), axis=1)

    return replace(inpainting, postprocess=postprocess)
