"""What edits do to sounds, in figures: a dog made into a bell, holes filled, ends that meet.

Knows renders, the judge and a system's verbs. Refuses to know how an edit is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .bench import right
from .judge import Judge
from .prompts import RATE, of_every_kind
from .report import Line, Report

if TYPE_CHECKING:
    from ..pipeline import AudioLDM

STEADY = ("rain", "wind", "sea", "fire", "stream", "hail", "drill", "vacuum", "fan", "engine", "airplane", "steam")
"""Kinds that go on evenly."""
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_HOLE = 1.0  # s


@dataclass
class Edits:
    """What the figures are made with. progress: what is being measured, how many are done, of how many."""

    system: AudioLDM
    judge: Judge
    tries: int = 50
    seconds: float = 5.12
    seed: int = 0
    progress: Callable[[str, int, int], None] = lambda what, done, total: None


def run_edits(bench: Edits, model: str) -> Report:
    """Transfer over strengths, a hole of a second in steady sounds, and seams of loops."""
    report = Report(model)
    _transferred(bench, report)
    _filled(bench, report)
    _looped(bench, report)
    return report


def envelope(samples: np.ndarray, rate: int = RATE, step: float = 0.04) -> np.ndarray:
    """Root mean square of samples [N] over steps of so many seconds."""
    size = round(step * rate)
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    return np.asarray(np.sqrt(np.square(blocks, dtype=np.float64).mean(axis=1)))


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two sounds' envelopes, -1 to 1; 0 where one of them does not move."""
    a, b = (np.log(envelope(sound) + 1e-3) for sound in (one, other))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def seam_found(loop: np.ndarray, rate: int = RATE) -> bool:
    """Whether a detector finds the place where a loop [N] meets itself: the step there is larger than nearly all steps between
    neighbouring samples near it, or the spectrum changes there as it hardly ever does elsewhere."""
    turned = np.roll(loop, len(loop) // 2)
    middle = len(turned) // 2
    steps = np.abs(np.diff(turned[middle - rate // 10 : middle + rate // 10]))
    if abs(float(turned[middle] - turned[middle - 1])) > np.quantile(steps, 0.995):
        return True
    size, hop = 1024, 128
    starts = np.arange(0, len(turned) - 2 * size, hop)
    window = np.hanning(size)
    spectra = np.log(np.abs(np.fft.rfft(np.stack([turned[s : s + size] for s in [*starts, *(starts + size)]]) * window)) + 1e-3)
    change = np.abs(spectra[len(starts) :] - spectra[: len(starts)]).mean(axis=1)
    at = int(np.abs(starts + size - middle).argmin())
    return bool(change[at] > np.quantile(change, 0.98))


def _transferred(bench: Edits, report: Report) -> None:
    dogs = [asked.truth for asked in of_every_kind(bench.tries, bench.seed, bench.seconds, ["dog"])]
    bells, followed = {}, {}
    for number, strength in enumerate(STRENGTHS):
        made = []
        for k, dog in enumerate(dogs):
            bench.progress(f"transfer at {strength:g}", number * len(dogs) + k, len(STRENGTHS) * len(dogs))
            wish = {"strength": strength, "seed": bench.seed + k, "candidates": 1}
            made.append(bench.system.transfer(dog, "a church bell ringing", **wish)[0].samples[0])
        bells[strength] = float(right(bench.judge.hear(made), bench.judge.kinds, ["bell"] * len(made)).mean())
        followed[strength] = float(np.mean([alike(clip, dog) for clip, dog in zip(made, dogs, strict=True)]))
    note = ", ".join(f"{strength:g}: {bells[strength]:.0%}/{followed[strength]:.2f}" for strength in STRENGTHS)
    add = report.lines.append
    add(
        Line("dog to bell at 0.5, bell", bells[0.5], "%", len(dogs), bench.seed, 0.6, note=f"bell/envelope by strength: {note}")
    )
    add(Line("dog to bell at 0.5, envelope", followed[0.5], "", len(dogs), bench.seed, 0.5, note="correlation with the dog's"))


def _filled(bench: Edits, report: Report) -> None:
    asked = list(of_every_kind(bench.tries, bench.seed, bench.seconds, STEADY))
    middle = bench.seconds / 2
    hole = slice(round((middle - _HOLE / 2) * RATE), round((middle + _HOLE / 2) * RATE))
    made = []
    for k, one in enumerate(asked):
        bench.progress("holes", k, len(asked))
        cut = one.truth.copy()
        cut[hole] = 0.0
        span = (middle - _HOLE / 2, middle + _HOLE / 2)
        made.append(bench.system.inpaint(cut, one.prompt, times=[span], seed=bench.seed + k, candidates=1)[0].samples[0])
    wanted = [one.kinds[0] for one in asked]
    good, best = (
        float(right(bench.judge.hear([clip[hole] for clip in clips]), bench.judge.kinds, wanted).mean())
        for clips in (made, [one.truth for one in asked])
    )
    note = f"the second alone, of {len(STEADY)} steady kinds"
    report.lines.append(Line("hole of a second", good, "%", len(asked), bench.seed, 0.8, ceiling=best, note=note))


def _looped(bench: Edits, report: Report) -> None:
    asked = list(of_every_kind(bench.tries, bench.seed + 1, bench.seconds, STEADY))
    made = []
    for k, one in enumerate(asked):
        bench.progress("loops", k, len(asked))
        made.append(bench.system.loop(one.truth, one.prompt, seed=bench.seed + k, candidates=1)[0].samples[0])
    found, cuts = (float(np.mean([seam_found(s) for s in sounds])) for sounds in (made, [one.truth for one in asked]))
    note = f"the detector finds {cuts:.0%} of unlooped cuts"
    report.lines.append(Line("seams found", found, "%", len(asked), bench.seed, 0.05, most=True, note=note))
