"""What measures edits: seams that are there are found and others are not, correlations are those of closed forms."""

from types import SimpleNamespace

import numpy as np
import pytest

from latentaudio.evaluate.mini import editing
from latentaudio.evaluate.mini.classifier import Verdict
from latentaudio.evaluate.mini.editing import Edits, alike, envelope, run_edits, seam_found

RATE = 16000
N = 4 * RATE
T = np.arange(N) / RATE
MIDDLE = N // 2


def noise(seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(N)


def test_a_click_is_found():
    sound = np.sin(2 * np.pi * 220 * T) + 0.01 * noise()
    assert not seam_found(sound, MIDDLE)
    sound[MIDDLE:] += 0.2
    assert seam_found(sound, MIDDLE) and not seam_found(sound, MIDDLE + RATE // 2)


def test_a_sine_that_fits_has_no_seam_and_one_that_does_not_has():
    fits = np.sin(2 * np.pi * 220 * T)  # 880 whole turns
    assert not seam_found(np.roll(fits, MIDDLE), MIDDLE)
    assert seam_found(np.roll(np.sin(2 * np.pi * 220.1 * T), MIDDLE), MIDDLE)


@pytest.mark.parametrize("fade", [0, 320])
def test_changes_of_level_and_of_spectrum_are_found(fade):
    before = 1.0 - np.clip((np.arange(N) - MIDDLE + fade / 2) / max(fade, 1), 0, 1)
    dull = np.convolve(noise(1), np.ones(8) / np.sqrt(8), "same")
    for other in (2.0 * noise(1), dull):
        assert seam_found(before * noise() + (1 - before) * other, MIDDLE)


def test_where_noise_goes_on_few_seams_are_found():
    found = [seam_found(noise(k), RATE + 3000 * j) for k in range(8) for j in range(8)]
    assert np.mean(found) <= 0.1


def test_envelopes_and_how_alike_they_are():
    np.testing.assert_allclose(envelope(np.full(RATE, -0.5)), np.full(25, 0.5))
    swell = noise() * np.exp(np.sin(2 * np.pi * T))
    against = noise(1) * np.exp(-np.sin(2 * np.pi * T))
    assert alike(swell, swell) == pytest.approx(1.0) and alike(swell, 0.5 * swell) == pytest.approx(
        1.0, abs=0.01
    )
    assert alike(swell, against) < -0.95 and abs(alike(noise(2), noise(3))) < 0.3
    assert alike(np.ones(RATE), swell[:RATE]) == 0.0


class FakeJudge:
    """Hears a bell in what is loud, whatever else it is asked for in the rest."""

    kinds = ("bell", *editing.STEADY)

    def __init__(self):
        self.heard = []

    def hear(self, clips):
        self.heard.append([len(clip) for clip in clips])
        scores = np.zeros((len(clips), len(self.kinds)))
        scores[
            np.arange(len(clips)),
            [0 if np.abs(clip).max() > 1.5 else 1 + k for k, clip in enumerate(clips)],
        ] = 1.0
        return Verdict(scores, np.zeros((len(clips), 1)))


class FakeSystem:
    """Rings loudly at half strength and more; leaves holes and loops as they are."""

    longest = 4.0
    config = SimpleNamespace(vae=SimpleNamespace(factor=4), mel=SimpleNamespace(hop=160))
    codec = SimpleNamespace(frames=lambda seconds: round(seconds * 100))
    hearing = SimpleNamespace(places=lambda frames: [0, 75, 150])

    def __init__(self):
        self.asked = []

    def generate(self, prompt="", sound=None, seconds=None, **wishes):
        self.asked.append(("generate", sound is not None))
        return [
            SimpleNamespace(
                samples=sound[None] if sound is not None else self._leaping(seconds, 3.0)
            )
        ]

    def play(self, prompt, seconds, seed):
        yield self._leaping(seconds, 0.0)

    def _leaping(self, seconds, leap):
        """Noise that leaps where the second window begins."""
        samples = (
            np.random.default_rng(0).standard_normal((1, round(seconds * RATE))).astype(np.float32)
            * 0.01
        )
        samples[:, 75 * 640 : 100 * 640] *= 1.0 + leap
        return samples

    def _clip(self, samples, *asked):
        self.asked.append(asked)
        return [SimpleNamespace(samples=np.asarray(samples)[None])]

    def transfer(self, sound, prompt, strength, **wishes):
        return self._clip(
            np.full_like(sound, 2.0) if strength >= 0.5 else sound, "transfer", strength
        )

    def inpaint(self, sound, prompt, times, **wishes):
        [(first, last)] = times
        hole = slice(round(first * RATE), round(last * RATE))
        assert not sound[hole].any() and sound[: hole.start].any()
        return self._clip(sound, "inpaint", last - first)

    def loop(self, sound, prompt, seam, **wishes):
        return self._clip(sound, "loop", seam)


def test_every_figure_is_of_what_was_asked_for():
    judge, system, ticks = FakeJudge(), FakeSystem(), []
    bench = Edits(
        system,
        judge,
        tries=2,
        seconds=4.0,
        progress=lambda what, done, total: ticks.append((what, done, total)),
    )
    report = run_edits(bench, "fake")
    assert {asked[0] for asked in system.asked} == {"transfer", "inpaint", "loop", "generate"}
    assert report.line("dog to bell at 0.5, bell").value == 1.0
    assert "0.25: 0%/1.00/0.00" in report.line("dog to bell at 0.5, bell").note
    hole = report.line("hole of a second")
    assert (hole.value, hole.ceiling) == (1.0, 1.0) and [RATE] * 2 in judge.heard
    assert (
        report.line("joins found, at once").value == 0.5
        and report.line("joins found, growing").value < 0.5
    )
    assert "correlates by 1.00" in report.line("like a sound").note
    for name, most in (
        ("seams found", True),
        ("ends of what was made found", True),
        ("cuts found", False),
        ("seams found where none is", True),
    ):
        line = report.line(name)
        assert 0.0 <= line.value <= 1.0 and line.most is most and line.target is not None
    assert report.line("cuts found").value == 1.0
    assert all(done < total for _, done, total in ticks)
