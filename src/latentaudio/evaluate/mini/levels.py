"""Levels of generated clips: loudness, offset, ends and gaps.

Letters: T samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from procedural_audio.registry import get_registry

from ...audio.loudness import loudness
from .prompts import RATE

Clip = NDArray[np.float32]

PROMPTS = ("a dog barking", "rain", "a bell", "an engine", "footsteps", "a piano", "a siren",
           "an explosion")  # fmt: skip
WORDS = ("quiet", "distant")
"""Words that lower the level of a prompt."""
_FRAME_S = 0.02
_GAP_DB = -60.0  # a frame below it is a gap
_END_SAMPLES = 2


@dataclass(frozen=True)
class LevelScore:
    """What is measured on the levels of clips.

    Attributes:
        n: clips of all sound classes.
        loudness: mean, in LUFS.
        deviation: standard deviation of the loudness, in dB.
        quietest: least loudness, in LUFS.
        peak: largest sample, in dBFS.
        offset: largest mean of a clip (DC), in dBFS.
        end: largest of the first and last two samples, in dBFS.
        gap: longest time below -60 dBFS inside a clip of a sustained class, in seconds.
        num_sustained: clips of sustained classes.
        lowered: word -> how much quieter it makes a prompt, median in dB.
    """

    n: int
    loudness: float
    deviation: float
    quietest: float
    peak: float
    offset: float
    end: float
    gap: float
    num_sustained: int
    lowered: dict[str, float]


def measure_levels(
    clips: Sequence[tuple[str, Clip]], generate: Callable[[str, int], Clip]
) -> LevelScore:
    """Measure levels.

    Args:
        clips: (sound class, samples [T] at 16 kHz), one or more.
        generate: prompt, seed -> samples [T].
    """
    registry = get_registry()
    levels = []
    gaps = [0.0]
    num_sustained = 0
    for name, samples in clips:
        levels.append(max(loudness(samples[None], RATE), -70.0))
        if name in registry and registry[name].is_sustained:
            gaps.append(longest_gap(samples))
            num_sustained += 1
    waves = [samples for _, samples in clips]
    lowered: dict[str, float] = {}
    for word in WORDS:
        differences = []
        for seed, prompt in enumerate(PROMPTS):
            plain = loudness(generate(prompt, seed)[None], RATE)
            quiet = loudness(generate(f"{word} {prompt.removeprefix('a ')}", seed)[None], RATE)
            differences.append(plain - quiet)
        lowered[word] = float(np.median([each for each in differences if math.isfinite(each)]))
    return LevelScore(
        n=len(clips),
        loudness=float(np.mean(levels)),
        deviation=float(np.std(levels)),
        quietest=float(np.min(levels)),
        peak=_decibels(max(float(np.abs(wave).max(initial=0.0)) for wave in waves)),
        offset=_decibels(max(abs(float(wave.mean())) for wave in waves)),
        end=_decibels(max(_largest_at_ends(wave) for wave in waves)),
        gap=max(gaps),
        num_sustained=num_sustained,
        lowered=lowered,
    )


def longest_gap(samples: Clip) -> float:
    """Return the longest time below -60 dBFS in samples [T], in seconds. The ends do not count."""
    size = round(_FRAME_S * RATE)
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    is_quiet = np.square(frames, dtype=np.float64).mean(axis=1) < 10 ** (_GAP_DB / 10)
    audible = np.flatnonzero(~is_quiet)
    if len(audible) < 2:
        return 0.0
    return float((np.diff(audible).max() - 1) * _FRAME_S)


def _largest_at_ends(samples: Clip) -> float:
    ends = np.concatenate([samples[:_END_SAMPLES], samples[-_END_SAMPLES:]])
    return float(np.abs(ends).max(initial=0.0))


def _decibels(value: float) -> float:
    return 20 * math.log10(max(value, 1e-6))
