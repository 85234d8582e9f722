"""Sources are brought to the level of the training clips, and results back to theirs."""

import numpy as np
import pytest
from clips import QUICK

QUIET = 2.0**-5  # a power of two: scaling and back is exact


@pytest.mark.parametrize("edit", ["transfer", "vary", "inpaint", "extend", "loop", "super_resolve"])
def test_an_edit_of_a_quieter_source_is_the_same_and_quieter(quiet, source, edit):
    options = {
        "transfer": {"prompt": "a dog"},
        "vary": {},
        "inpaint": {"time_ranges": [(0.5, 1.0)]},
        "extend": {"after": 0.5},
        "loop": {"loop_seam": 0.5},
        "super_resolve": {"cutoff_hz": 4000.0},
    }[edit]
    [loud] = getattr(quiet, edit)(0.5 * source, **options, **QUICK)
    [soft] = getattr(quiet, edit)(0.5 * QUIET * source, **options, **QUICK)
    np.testing.assert_allclose(soft.samples, QUIET * loud.samples, atol=1e-5 * QUIET)
    assert np.abs(soft.samples).max() > 0


def test_the_level_of_an_audio_prompt_changes_nothing(tiny, source):
    clips = []
    for level in (0.5, 0.5 * QUIET):
        [clip] = tiny.generate(
            audio_prompt=level * source, audio_prompt_mode="loa", duration=2.0, **QUICK
        )
        clips.append(clip.samples)
    np.testing.assert_array_equal(clips[0], clips[1])


def test_the_gain_reaches_the_rms_of_mini_unless_peaks_would_pass_half(tiny, source):
    codec = tiny.codec
    rms = np.sqrt(np.mean(np.square(source)))
    assert codec.source_gain(source) * rms == pytest.approx(0.045, rel=1e-3)
    click = np.zeros((1, 16000), np.float32)
    click[0, 8000] = 0.25
    assert codec.source_gain(click) == 2.0
    assert codec.source_gain(np.zeros((1, 100), np.float32)) == 1.0
