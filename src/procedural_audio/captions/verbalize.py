"""Measured facts put into words: pitches, counts, rates, tempi and the article before a noun.

Knows numbers and how English says them. Promises that every number spoken is true: hertz within 1 %, rates within 3 %, a note
name only within 20 cents of the pitch. Refuses to know kinds, scenes and sentences.
"""

from __future__ import annotations

import math
import re

import numpy as np

_NUMBERS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLATS = {"C#": "Db", "D#": "Eb", "F#": "Gb", "G#": "Ab", "A#": "Bb"}
_YOU_SOUND = re.compile(r"(?:uni(?![nd])|use|usu|uk|ut[eo]|eu|ewe|one\b|once\b)")
_SILENT_H = re.compile(r"(?:hour|honest|honou?r|heir)")
_EIGHT = re.compile(r"(?:8\d*|11|18)(?!\d)")

LOW_HZ, HIGH_HZ = 180.0, 1000.0
_SLOW_HZ, _QUICK_HZ = 0.8, 6.0


def pick(rng: np.random.Generator, options: tuple[str, ...] | list[str]) -> str:
    """One of the options, evenly."""
    return options[int(rng.integers(len(options)))]


def article(phrase: str) -> str:
    """ "a" or "an", by the sound the phrase begins with: an hour, a unit, an 8-bit tune."""
    text = phrase.lower()
    vowel = text[0] in "aeiou" and not _YOU_SOUND.match(text)
    return "an" if vowel or _SILENT_H.match(text) or _EIGHT.match(text) else "a"


def note(pitch_hz: float) -> str | None:
    """The note name ("C#5", A4 = 440 Hz) of a pitch within 20 cents of it, else None."""
    midi = 69 + 12 * math.log2(pitch_hz / 440)
    nearest = round(midi)
    return f"{_NOTES[nearest % 12]}{nearest // 12 - 1}" if abs(midi - nearest) <= 0.2 else None


def hertz(pitch_hz: float, rng: np.random.Generator) -> str:
    """The pitch as a number of hertz, rounded as people do but never by more than 1 %."""
    steps = [
        step
        for step in (100, 50, 10, 5, 1, 0.1)
        if abs(round(pitch_hz / step) * step / pitch_hz - 1) <= 0.009
    ]
    step = steps[int(rng.integers(min(2, len(steps))))]
    return f"{round(pitch_hz / step) * step:.10g}"


def pitch(pitch_hz: float, rng: np.random.Generator) -> str:
    """The phrase that names a pitch: in hertz, or as a note where one is near."""
    name = note(pitch_hz)
    if name and rng.random() < 0.4:
        if len(name) == 3 and rng.random() < 0.3:
            name = _FLATS[name[:2]] + name[2]
        return pick(rng, ("tuned to ", "on the note ", "on ")) + name
    number = hertz(pitch_hz, rng)
    return pick(
        rng,
        (
            f"at {number} hertz",
            f"at {number} Hz",
            f"at a pitch of {number} hertz",
            f"at {number} hertz",
        ),
    )


def register(pitch_hz: float, rng: np.random.Generator) -> str | None:
    """The adjective for a pitch that anyone calls low or high, else None."""
    if pitch_hz < LOW_HZ:
        return pick(rng, ("low-pitched", "low", "deep"))
    return pick(rng, ("high-pitched", "high")) if pitch_hz > HIGH_HZ else None


def times(count: int, rng: np.random.Generator) -> str:
    """How often, exactly: once, twice, three times, 3 times."""
    if count in (1, 2):
        return pick(rng, (("once", "one time"), ("twice", "two times"))[count - 1])
    return f"{pick(rng, (_number(count), str(count)))} times"


def rate(rate_hz: float, rng: np.random.Generator) -> str:
    """A steady rate of repetition: per second, as a period, or as slow or quick where nobody would differ."""
    if rng.random() < 0.2 and not _SLOW_HZ <= rate_hz <= _QUICK_HZ:
        return pick(
            rng,
            ("slowly", "at a slow pace")
            if rate_hz < _SLOW_HZ
            else ("quickly", "rapidly", "in quick succession"),
        )
    if rate_hz < 0.9 and rng.random() < 0.7:
        period = _rounded(1 / rate_hz)
        return f"{pick(rng, ('once every', 'every'))} {_number(period)} seconds"
    number = _rounded(rate_hz)
    often = {1.0: "once", 2.0: "twice"}.get(
        number
    ) or f"{pick(rng, (_number(number), f'{number:g}'))} times"
    return f"{often} {pick(rng, ('per second', 'a second', 'every second'))}"


def tempo(bpm: float, rng: np.random.Generator) -> str:
    """A musical tempo, to the nearest five beats where that is true within 1 %."""
    fives = round(bpm / 5) * 5
    beats = fives if abs(fives / bpm - 1) <= 0.01 else round(bpm)
    return pick(
        rng,
        (
            f"at {beats} beats per minute",
            f"at {beats} bpm",
            f"at a tempo of {beats} beats per minute",
        ),
    )


def _rounded(value: float) -> float:
    """The shortest number within 2.5 % of a value."""
    return next(
        number
        for number in (round(value, digits) for digits in range(9))
        if abs(number / value - 1) <= 0.025
    )


def _number(value: float) -> str:
    return _NUMBERS[int(value)] if value == int(value) and value < len(_NUMBERS) else f"{value:g}"
