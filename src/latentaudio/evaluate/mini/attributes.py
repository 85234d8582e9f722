"""Attributes that a prompt states in numbers, and how signal analysis checks them in a clip.

An attribute is checked only for sound classes for which the analysis is reliable. Reliable means
right in nine of ten clips of ground truth or more. The table is printed by
`python recipes/mini/train_classifier.py --attributes`.

Letter: T samples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from procedural_audio.sound_class import Annotations

from . import signal_analysis

PITCH_TOLERANCE_SEMITONES = 1.0
RATE_TOLERANCE = 0.1  # relative to the prompted rate
MAX_PARTIAL_DRIFT = 0.01  # of a bell's partial, relative to its median frequency
MIN_PARTIAL_DECAY_DB = 0.5  # mean over the partials; a bell must decay

# Classes whose pitch is the frequency of the strongest partial.
PARTIAL_PITCH_CLASSES = (
    "alarm", "bell", "doorbell", "glass", "marimba", "music box", "tone", "whistle", "xylophone",
)  # fmt: skip
# Classes whose pitch is the fundamental of a harmonic series.
_HARMONIC_PITCH = (
    "accordion", "bass guitar", "bee", "cello", "choir", "drill", "electric guitar", "fan", "flute",
    "foghorn", "guitar", "horn", "organ", "owl", "piano", "propeller", "synth lead", "synth pad",
    "trumpet", "vacuum", "violin", "wolf",
)  # fmt: skip
# Classes whose repetition rate is measured from onsets.
_ONSET_RATE = (
    "alarm", "ball", "bongos", "clap", "clock", "cricket", "drip", "engine", "frog", "hammer",
    "heartbeat", "helicopter", "horse", "knock", "printer", "steam", "woodpecker",
)  # fmt: skip
# Classes whose repetition rate is measured from levels, because they glide or overlap.
LEVEL_RATE_CLASSES = ("footsteps", "siren", "washer")
_COUNTED = (
    "alarm", "arcade", "ball", "bell", "bongos", "clap", "cricket", "crow", "drip", "duck",
    "foghorn", "frog", "glass", "gong", "gunshot", "hammer", "horn", "knock", "phone",
)  # fmt: skip

Check = Callable[[np.ndarray, int, str, Annotations], bool]


@dataclass(frozen=True)
class AttributeCheck:
    """An attribute that prompts state, and the test whether a clip has it.

    Attributes:
        name: short name of the attribute.
        metric: name of its metric in the report.
        class_names: sound classes for which it is checked.
        pattern: matches the words of a prompt that state the attribute.
        annotations: annotations of which an event must have one or more.
        is_satisfied: (samples [T], sample rate, class name, annotations) -> whether a clip has it.
        target: fraction of clips that should have it.
    """

    name: str
    metric: str
    class_names: tuple[str, ...]
    pattern: re.Pattern[str]
    annotations: tuple[str, ...]
    is_satisfied: Check
    target: float = 0.6


def _check_pitch(samples: np.ndarray, rate: int, class_name: str, annotations: Annotations) -> bool:
    """Whether the pitch is within a semitone."""
    if class_name in PARTIAL_PITCH_CLASSES:
        pitch_hz = signal_analysis.strongest_partial(samples, rate)
    else:
        pitch_hz = signal_analysis.fundamental(samples, rate)
    semitones = 12 * np.log2(pitch_hz / annotations["pitch_hz"])
    return bool(abs(semitones) <= PITCH_TOLERANCE_SEMITONES)


def _check_rate(samples: np.ndarray, rate: int, class_name: str, annotations: Annotations) -> bool:
    """Whether the repetition rate is within a tenth."""
    target_hz = annotations["rate_hz"] if "rate_hz" in annotations else annotations["bpm"] / 60
    use_onsets = class_name not in LEVEL_RATE_CLASSES
    period_s = signal_analysis.period(samples, rate, use_onsets=use_onsets)
    return bool(abs(1 / period_s / target_hz - 1) <= RATE_TOLERANCE)


def _check_count(samples: np.ndarray, rate: int, class_name: str, annotations: Annotations) -> bool:
    """Whether the number of events is exact."""
    return len(signal_analysis.onsets(samples, rate)) == annotations["count"]


def _check_bell(samples: np.ndarray, rate: int, class_name: str, annotations: Annotations) -> bool:
    """Whether the three strongest partials hold their pitch within 1 % while they decay."""
    partials = signal_analysis.partials(samples, rate)
    is_stable = all(partial.drift <= MAX_PARTIAL_DRIFT for partial in partials)
    if not partials or not is_stable:
        return False
    return bool(np.mean([partial.decay_db for partial in partials]) > MIN_PARTIAL_DECAY_DB)


_PITCH_PATTERN = r"\b(hertz|Hz)\b|tuned to |\bon (the note )?[A-G][#b]?\d"
_RATE_PATTERN = r"(per|an?|every) second\b|every [\w.]+ seconds|beats per minute|bpm"
_COUNT_PATTERN = r"\b(once|twice|one time|\w+ times)\b(?! (per|a|every)\b)"

_CHECKS = (
    AttributeCheck(
        name="pitch",
        metric="pitch accuracy (±1 semitone)",
        class_names=PARTIAL_PITCH_CLASSES + _HARMONIC_PITCH,
        pattern=re.compile(_PITCH_PATTERN),
        annotations=("pitch_hz",),
        is_satisfied=_check_pitch,
    ),
    AttributeCheck(
        name="rate",
        metric="repetition-rate accuracy (±10 %)",
        class_names=_ONSET_RATE + LEVEL_RATE_CLASSES,
        pattern=re.compile(_RATE_PATTERN),
        annotations=("rate_hz", "bpm"),
        is_satisfied=_check_rate,
    ),
    AttributeCheck(
        name="count",
        metric="event-count accuracy",
        class_names=_COUNTED,
        pattern=re.compile(_COUNT_PATTERN),
        annotations=("count",),
        is_satisfied=_check_count,
    ),
    AttributeCheck(
        name="bell",
        metric="pitch stability (bell)",
        class_names=("bell",),
        pattern=re.compile(""),
        annotations=(),
        is_satisfied=_check_bell,
        target=0.8,
    ),
)

# The order fixes the seeds of the clips: append, never reorder.
ATTRIBUTE_CHECKS: Mapping[str, AttributeCheck] = {check.name: check for check in _CHECKS}
