"""What can be asked for in numbers, and how the answer is checked: one question per promise of a prompt.

Knows facts, the words that name them and which kinds let an analyser hear them (on renders it is right in nine of ten or more:
`python recipes/mini/judge.py --facts` prints that table). Refuses to know how sounds or prompts are made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from procedural_audio.sound_class import Facts

from . import signal_analysis

STEADY = 0.01
"""How far a bell's partial may stray from its pitch, as a share."""

_PARTIAL = (
    "alarm",
    "bell",
    "doorbell",
    "glass",
    "marimba",
    "music box",
    "tone",
    "whistle",
    "xylophone",
)
_HARMONIC = (
    "accordion", "bass guitar", "bee", "cello", "choir", "drill", "electric guitar", "fan", "flute", "foghorn", "guitar",
    "horn", "organ", "owl", "piano", "propeller", "synth lead", "synth pad", "trumpet", "vacuum", "violin", "wolf",
)  # fmt: skip
_RISES = (
    "alarm", "ball", "bongos", "clap", "clock", "cricket", "drip", "engine", "frog", "hammer", "heartbeat", "helicopter",
    "horse", "knock", "printer", "steam", "woodpecker",
)  # fmt: skip
_LEVELS = ("footsteps", "siren", "washer")
_COUNTED = (
    "alarm", "arcade", "ball", "bell", "bongos", "clap", "cricket", "crow", "drip", "duck", "foghorn", "frog", "glass",
    "gong", "gunshot", "hammer", "horn", "knock", "phone",
)  # fmt: skip

Answer = Callable[[np.ndarray, int, str, Facts], bool]


@dataclass(frozen=True)
class Question:
    """A promise of prompts: the kinds that make it, the words that spell it out, its facts, and whether a clip keeps it.

    right(samples [T], rate, kind, facts) -> bool; target: the share of clips that should.
    """

    name: str
    kinds: tuple[str, ...]
    spelled: re.Pattern[str]
    facts: tuple[str, ...]
    right: Answer
    target: float = 0.6


def _pitch(samples: np.ndarray, rate: int, kind: str, facts: Facts) -> bool:
    """Within a semitone."""
    listen = signal_analysis.strongest_partial if kind in _PARTIAL else signal_analysis.fundamental
    return bool(abs(12 * np.log2(listen(samples, rate) / facts["pitch_hz"])) <= 1.0)


def _pace(samples: np.ndarray, rate: int, kind: str, facts: Facts) -> bool:
    """Within a tenth."""
    asked = facts["rate_hz"] if "rate_hz" in facts else facts["bpm"] / 60
    return bool(
        abs(1 / signal_analysis.period(samples, rate, rises=kind not in _LEVELS) / asked - 1) <= 0.1
    )


def _count(samples: np.ndarray, rate: int, kind: str, facts: Facts) -> bool:
    """Exactly."""
    return len(signal_analysis.onsets(samples, rate)) == facts["count"]


def _steady(samples: np.ndarray, rate: int, kind: str, facts: Facts) -> bool:
    """Its three strongest partials hold their pitch within one per cent while they decay."""
    found = signal_analysis.partials(samples, rate)
    steady = all(drift <= STEADY for _, drift, _ in found)
    return bool(found and steady and np.mean([fall for *_, fall in found]) > 0.5)


_SPELLED = {
    "pitch": r"\b(hertz|Hz)\b|tuned to |\bon (the note )?[A-G][#b]?\d",
    "rate": r"(per|an?|every) second\b|every [\w.]+ seconds|beats per minute|bpm",
    "count": r"\b(once|twice|one time|\w+ times)\b(?! (per|a|every)\b)",
}

QUESTIONS: Mapping[str, Question] = {
    q.name: q
    for q in (
        Question(
            "pitch", _PARTIAL + _HARMONIC, re.compile(_SPELLED["pitch"]), ("pitch_hz",), _pitch
        ),
        Question("rate", _RISES + _LEVELS, re.compile(_SPELLED["rate"]), ("rate_hz", "bpm"), _pace),
        Question("count", _COUNTED, re.compile(_SPELLED["count"]), ("count",), _count),
        Question("bell", ("bell",), re.compile(""), (), _steady, 0.8),
    )
}
