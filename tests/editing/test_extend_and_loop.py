"""Extending a clip, and making it loop."""

import numpy as np
from clips import FADE, QUICK, RATE


def test_extending_keeps_the_source_in_its_place(tiny, source):
    [clip] = tiny.extend(source, "a dog", before=0.5, after=0.25, **QUICK)
    assert clip.samples.shape[1] == round(2.75 * RATE)
    middle = slice(RATE // 2 + FADE, RATE // 2 + source.shape[1] - FADE)
    np.testing.assert_array_equal(clip.samples[:, middle], source[:, FADE:-FADE])
    assert clip.samples[0, : RATE // 2].std() > 1e-3
    assert clip.samples[0, -RATE // 4 :].std() > 1e-3


def test_a_loop_has_no_step_at_its_seam(tiny, source):
    ramped = source * np.linspace(0.2, 1.0, source.shape[1], dtype=np.float32)
    [clip] = tiny.loop(ramped, "a dog", loop_seam=0.5, **QUICK)
    loop = clip.samples[0]
    assert loop.shape == (2 * RATE,)
    step_at_seam = abs(loop[0] - loop[-1])
    usual_step = np.median(np.abs(np.diff(loop)))
    assert step_at_seam < usual_step < abs(ramped[0, 0] - ramped[0, -1]) * 10


def test_a_loop_keeps_the_source_moved_by_10_ms_at_most(tiny, source):
    ramped = source * np.linspace(0.2, 1.0, source.shape[1], dtype=np.float32)
    [clip] = tiny.loop(ramped, "a dog", loop_seam=0.5, **QUICK)
    shifts = []
    for shift in range(-200, 200):
        moved = np.roll(clip.samples[0], shift)
        if np.array_equal(moved[5000:-5000], ramped[0, 5000:-5000]):
            shifts.append(shift)
    assert len(shifts) == 1
    assert abs(shifts[0]) <= 161
