"""What edits do to sounds, in figures: a dog made into a bell, holes filled, ends that meet.

Knows renders, the judge and a system's verbs. Refuses to know how an edit is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..report import Line, Report
from .classifier import Judge, mel_of
from .prompts import RATE, of_every_kind
from .quality import right

if TYPE_CHECKING:
    from ...pipeline import AudioLDM

STEADY = (
    "rain",
    "wind",
    "sea",
    "fire",
    "stream",
    "hail",
    "drill",
    "vacuum",
    "fan",
    "engine",
    "airplane",
    "steam",
)
"""Kinds that go on evenly."""
STRENGTHS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
_HOLE, _SEAM = 1.0, 1.0  # s
_PLACES = 8  # of each untouched sound


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
    """Transfer over strengths, a hole of a second in steady sounds, seams of loops, sounds as prompts, and joins of long
    clips."""
    report = Report(model)
    for measure in (_transferred, _filled, _looped, _likened, _joined):
        measure(bench, report)
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


def seam_found(sound: np.ndarray, place: int, rate: int = RATE) -> bool:
    """Whether a detector finds a seam at a sample of [N], a quarter of a second from its ends or more: a bend there that is
    sharper than any near it, or a change of level or spectrum, over 64 ms or a quarter second, as there hardly is elsewhere.
    """
    near = rate // 10
    bends = np.abs(np.diff(sound[place - near : place + near], 2))
    if bends[near - 2 : near].max() > 1.5 * np.quantile(bends, 0.99):
        return True
    return any(_changes_at(sound, place, size) for size in (rate * 8 // 125, rate * 32 // 125))


def _changes_at(sound: np.ndarray, place: int, size: int) -> bool:
    """Whether spectra of `size` samples before and behind a place differ more than 99 % of such pairs elsewhere do."""
    hop = size // 8
    first = place % hop
    frames = np.lib.stride_tricks.sliding_window_view(sound[first:], size)[::hop] * np.hanning(size)
    power = np.square(np.abs(np.fft.rfft(frames)))[:, 1:]
    edges = np.unique(np.geomspace(2, power.shape[1], 17).astype(int))
    bands = np.stack([power[:, low:high].mean(axis=1) for low, high in pairwise(edges)], axis=1)
    bands = np.log(bands + 1e-5 * bands.mean())
    change = np.abs(bands[8:] - bands[:-8]).mean(
        axis=1
    )  # of the pair whose border is sample first + (8 + k) hop
    at = (place - first) // hop - 8
    around = np.lib.stride_tricks.sliding_window_view(np.pad(change, 2, mode="edge"), 5).max(
        axis=1
    )  # seams may be faded
    elsewhere = np.abs(np.arange(len(change)) - at) > 8 + 2
    return bool(around[at] > np.quantile(around[elsewhere], 0.99))


def _transferred(bench: Edits, report: Report) -> None:
    dogs = [asked.truth for asked in of_every_kind(bench.tries, bench.seed, bench.seconds, ["dog"])]
    bells, followed, away = {}, {}, {}
    for number, strength in enumerate(STRENGTHS):
        made = []
        for k, dog in enumerate(dogs):
            bench.progress(
                f"transfer at {strength:g}", number * len(dogs) + k, len(STRENGTHS) * len(dogs)
            )
            wish = {"strength": strength, "seed": bench.seed + k, "candidates": 1}
            made.append(bench.system.transfer(dog, "a church bell ringing", **wish)[0].samples[0])
        bells[strength] = float(
            right(bench.judge.hear(made), bench.judge.kinds, ["bell"] * len(made)).mean()
        )
        pairs = list(zip(made, dogs, strict=True))
        followed[strength] = float(np.mean([alike(clip, dog) for clip, dog in pairs]))
        away[strength] = float(
            np.mean([(mel_of(clip) - mel_of(dog)).abs().mean() for clip, dog in pairs])
        )
    note = ", ".join(f"{s:g}: {bells[s]:.0%}/{followed[s]:.2f}/{away[s]:.2f}" for s in STRENGTHS)
    add = report.lines.append
    add(
        Line(
            "dog to bell at 0.5, bell",
            bells[0.5],
            "%",
            len(dogs),
            bench.seed,
            0.6,
            note=f"bell/envelope/log-mel distance by strength: {note}",
        )
    )
    add(
        Line(
            "dog to bell at 0.5, envelope",
            followed[0.5],
            "",
            len(dogs),
            bench.seed,
            0.5,
            note="correlation with the dog's",
        )
    )


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
        made.append(
            bench.system.inpaint(cut, one.prompt, times=[span], seed=bench.seed + k, candidates=1)[
                0
            ].samples[0]
        )
    wanted = [one.kinds[0] for one in asked]
    good, best = (
        float(
            right(
                bench.judge.hear([clip[hole] for clip in clips]), bench.judge.kinds, wanted
            ).mean()
        )
        for clips in (made, [one.truth for one in asked])
    )
    note = f"the second alone, of {len(STEADY)} steady kinds"
    report.lines.append(
        Line("hole of a second", good, "%", len(asked), bench.seed, 0.8, ceiling=best, note=note)
    )


def _looped(bench: Edits, report: Report) -> None:
    """Seams of loops at all three joints, of sounds half of which fall by 12 dB; the detector's own rights and wrongs."""
    made, cuts, places = [], [], []
    dice = np.random.default_rng(bench.seed)
    for k, one in enumerate(of_every_kind(bench.tries, bench.seed + 1, bench.seconds, STEADY)):
        bench.progress("loops", k, bench.tries)
        half, part, sloped = (
            len(one.truth) // 2,
            round(_SEAM / 2 * RATE),
            one.truth * np.geomspace(1.0, 0.25, len(one.truth)),
        )
        given = (sloped if k % 2 else one.truth).astype(np.float32)
        loop = bench.system.loop(given, one.prompt, seam=_SEAM, seed=bench.seed + k, candidates=1)[
            0
        ].samples[0]
        made += [seam_found(np.roll(loop, half), half + shift) for shift in (-part, 0, part)]
        cuts += [[seam_found(np.roll(sound, half), half) for sound in (sloped, one.truth)]]
        places += [
            seam_found(one.truth, int(place))
            for place in dice.integers(RATE, len(one.truth) - RATE, _PLACES)
        ]
    found, even = np.mean(cuts, axis=0)
    add, count = report.lines.append, bench.tries
    wrap, ends = float(np.mean(made[1::3])), np.array([made[0::3], made[2::3]]).mean(axis=0)
    add(
        Line(
            "seams found",
            wrap,
            "%",
            count,
            bench.seed,
            0.1,
            most=True,
            note="where the loop begins anew",
        )
    )
    note = f"half a second beside it; {ends[1::2].mean():.0%} where level must rise by 12 dB between them"
    add(
        Line(
            "ends of what was made found",
            float(ends[::2].mean()),
            "%",
            len(ends[::2]) * 2,
            bench.seed,
            0.1,
            most=True,
            note=note,
        )
    )
    note = f"hard cuts where level leaps by 12 dB; {even:.0%} where it does not, which may be no seam at all"
    add(Line("cuts found", float(found), "%", count, bench.seed, 0.8, note=note))
    add(
        Line(
            "seams found where none is",
            float(np.mean(places)),
            "%",
            len(places),
            bench.seed,
            0.1,
            most=True,
        )
    )


def _likened(bench: Edits, report: Report) -> None:
    """Sounds in the place of prompts: whether what is made is of their kind."""
    asked, made = list(of_every_kind(bench.tries, bench.seed + 2, bench.seconds)), []
    for k, one in enumerate(asked):
        bench.progress("like a sound", k, len(asked))
        made.append(
            bench.system.generate(sound=one.truth, by="loa", seed=bench.seed + k)[0].samples[0]
        )
    wanted = [one.kinds[0] for one in asked]
    good = float(right(bench.judge.hear(made), bench.judge.kinds, wanted).mean())
    followed = float(
        np.mean([alike(clip, one.truth) for clip, one in zip(made, asked, strict=True)])
    )
    note = f"by its language of audio, without words; its envelope correlates by {followed:.2f}"
    report.lines.append(Line("like a sound", good, "%", len(asked), bench.seed, 0.8, note=note))


def _joined(bench: Edits, report: Report) -> None:
    """Long steady clips, at once and growing: seams found where windows meet."""
    system, seconds = bench.system, 2.5 * bench.system.longest
    cell = system.config.vae.factor * system.config.mel.hop
    starts = system.hearing.places(system.codec.frames(seconds))
    window = round(system.longest * RATE / cell)
    joins = {
        "at once": [place * cell for s in starts[1:] for place in (s, s + window // 4)],
        "growing": [],
    }
    joins["growing"] = [round((system.longest * k / 2 - 0.1) * RATE) for k in (2, 3, 4)]
    found: dict[str, list[bool]] = {way: [] for way in joins}
    asked = list(of_every_kind(max(1, bench.tries // 4), bench.seed + 3, bench.seconds, STEADY))
    for k, one in enumerate(asked):
        bench.progress("joins", k, len(asked))
        [whole] = system.generate(one.prompt, seconds=seconds, seed=bench.seed + k, candidates=1)
        grown = np.concatenate(
            list(system.play(one.prompt, seconds=seconds, seed=bench.seed + k)), axis=1
        )
        for way, sound in (("at once", whole.samples[0]), ("growing", grown[0])):
            found[way] += [
                seam_found(sound, place) for place in joins[way] if place < len(sound) - RATE
            ]
    for way, seams in found.items():
        value, note = float(np.mean(seams)), f"clips of {seconds:g} s"
        report.lines.append(
            Line(
                f"joins found, {way}", value, "%", len(seams), bench.seed, 0.1, most=True, note=note
            )
        )
