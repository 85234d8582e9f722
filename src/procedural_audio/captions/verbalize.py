"""English phrases for measured values: pitches, counts, rates, tempi, and articles.

Every number is true: hertz within 1 %, rates within 3 %, and a note name only within 20 cents of
the pitch.
"""

from __future__ import annotations

import math
import re

import numpy as np

from .ranges import Third

NUMBER_WORDS = (
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
"""The words for 0 to 12. Larger numbers are written in digits."""
_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLATS = {"C#": "Db", "D#": "Eb", "F#": "Gb", "G#": "Ab", "A#": "Bb"}
# Vowels that are pronounced as consonants (unicorn, one), and the reverse (hour, 8-bit).
_CONSONANT_SOUND = re.compile(r"(?:uni(?![nd])|use|usu|uk|ut[eo]|eu|ewe|one\b|once\b)")
_SILENT_H = re.compile(r"(?:hour|honest|honou?r|heir)")
_VOWEL_NUMBER = re.compile(r"(?:8\d*|11|18)(?!\d)")

LOW_PITCH_HZ = 180.0
"""Pitches below it are called low."""
HIGH_PITCH_HZ = 1000.0
"""Pitches above it are called high."""
_SLOW_HZ = 0.8  # rates below it are called slow
_QUICK_HZ = 6.0  # rates above it are called quick


def pick(rng: np.random.Generator, options: tuple[str, ...] | list[str]) -> str:
    """Return one of the options, with equal probabilities."""
    return options[int(rng.integers(len(options)))]


def indefinite_article(phrase: str) -> str:
    """Return "a" or "an" for a phrase, by its first sound: an hour, a unit, an 8-bit tune."""
    text = phrase.lower()
    starts_with_vowel = text[0] in "aeiou" and not _CONSONANT_SOUND.match(text)
    if starts_with_vowel or _SILENT_H.match(text) or _VOWEL_NUMBER.match(text):
        return "an"
    return "a"


def note_name(pitch_hz: float) -> str | None:
    """Return the note ("C#5", A4 = 440 Hz) within 20 cents of a pitch, or None."""
    midi = 69 + 12 * math.log2(pitch_hz / 440)
    nearest = round(midi)
    if abs(midi - nearest) > 0.2:
        return None
    return f"{_NOTES[nearest % 12]}{nearest // 12 - 1}"


def hertz_number(pitch_hz: float, rng: np.random.Generator) -> str:
    """Return a pitch as a number of hertz, rounded by at most 1 %."""
    steps: list[float] = []
    for step in (100, 50, 10, 5, 1, 0.1):
        if abs(round(pitch_hz / step) * step / pitch_hz - 1) <= 0.009:
            steps.append(step)
    step = steps[int(rng.integers(min(2, len(steps))))]
    return f"{round(pitch_hz / step) * step:.10g}"


def pitch_phrase(pitch_hz: float, rng: np.random.Generator) -> str:
    """Return a phrase for a pitch: in hertz, or as a note if one is near."""
    name = note_name(pitch_hz)
    if name and rng.random() < 0.4:
        if len(name) == 3 and rng.random() < 0.3:
            name = _FLATS[name[:2]] + name[2]
        return pick(rng, ("tuned to ", "on the note ", "on ")) + name
    number = hertz_number(pitch_hz, rng)
    options = (
        f"at {number} hertz",
        f"at {number} Hz",
        f"at a pitch of {number} hertz",
        f"at {number} hertz",
    )
    return pick(rng, options)


def register_adjective(pitch_hz: float, rng: np.random.Generator) -> str | None:
    """Return an adjective for a clearly low or high pitch, or None."""
    if pitch_hz < LOW_PITCH_HZ:
        return pick(rng, ("low-pitched", "low", "deep"))
    if pitch_hz > HIGH_PITCH_HZ:
        return pick(rng, ("high-pitched", "high"))
    return None


def relative_register_adjective(third: Third, rng: np.random.Generator) -> str:
    """Return an adjective for a pitch that is low or high for its sound class."""
    if third == "lowest":
        return pick(rng, ("low", "low", "low-pitched", "deep"))
    return pick(rng, ("high", "high", "high-pitched"))


def duration_phrase(seconds: float, rng: np.random.Generator) -> str | None:
    """Return a phrase for a duration within 4 % of whole or half seconds, or None."""
    halves = round(2 * seconds)
    if halves < 2 or abs(halves / 2 / seconds - 1) > 0.04:
        return None
    if halves == 2:
        return pick(rng, ("a second", "one second"))
    number = _number(halves // 2)
    if halves % 2:
        return f"{number} and a half seconds" if halves > 3 else "one and a half seconds"
    return f"{number} seconds"


def count_phrase(count: int, rng: np.random.Generator) -> str:
    """Return a phrase for an exact count: once, twice, three times, 3 times."""
    if count in (1, 2):
        return pick(rng, (("once", "one time"), ("twice", "two times"))[count - 1])
    return f"{pick(rng, (_number(count), str(count)))} times"


def rate_phrase(rate_hz: float, rng: np.random.Generator) -> str:
    """Return a phrase for a steady rate: per second, as a period, or as slow or quick."""
    if rng.random() < 0.2 and not _SLOW_HZ <= rate_hz <= _QUICK_HZ:
        if rate_hz < _SLOW_HZ:
            return pick(rng, ("slowly", "at a slow pace"))
        return pick(rng, ("quickly", "rapidly", "in quick succession"))
    if rate_hz < 0.9 and rng.random() < 0.7:
        period = _round_briefly(1 / rate_hz)
        return f"{pick(rng, ('once every', 'every'))} {_number(period)} seconds"
    number = _round_briefly(rate_hz)
    frequency = {1.0: "once", 2.0: "twice"}.get(number)
    if frequency is None:
        frequency = f"{pick(rng, (_number(number), f'{number:g}'))} times"
    return f"{frequency} {pick(rng, ('per second', 'a second', 'every second'))}"


def tempo_phrase(bpm: float, rng: np.random.Generator) -> str:
    """Return a phrase for a tempo, to the nearest 5 beats per minute if that is within 1 %."""
    rounded = round(bpm / 5) * 5
    bpm_number = rounded if abs(rounded / bpm - 1) <= 0.01 else round(bpm)
    options = (
        f"at {bpm_number} beats per minute",
        f"at {bpm_number} bpm",
        f"at a tempo of {bpm_number} beats per minute",
    )
    return pick(rng, options)


def _round_briefly(value: float) -> float:
    """Return the number with the fewest decimals within 2.5 % of a value."""
    for num_digits in range(9):
        number = round(value, num_digits)
        if abs(number / value - 1) <= 0.025:
            return number
    raise AssertionError(f"no number of 8 decimals is near {value}")


def _number(value: float) -> str:
    """Return a small whole number in words, any other in digits."""
    if value == int(value) and value < len(NUMBER_WORDS):
        return NUMBER_WORDS[int(value)]
    return f"{value:g}"
