"""Numbers of a prompt as tokens of their own.

"443" is one token on a logarithmic grid, and "A4" the token of 440 Hz.

A word-piece vocabulary splits "443" into digits, which a small network does not learn to combine.
`mini`'s tokenizer therefore replaces numbers and notes before it splits a text into word pieces.
"""

from __future__ import annotations

import math
import re

NOTE = "[NOTE]"
"""Token behind a frequency that was written as a note."""

NUM_EXACT = 50
"""Whole numbers below this have a token of their own."""

STEPS_PER_OCTAVE = 48
"""Resolution of the grid: neighbors differ by 1.5 %."""

LOWEST_OCTAVE = -6
"""The grid begins at 2**-6."""

HIGHEST_OCTAVE = 15
"""The grid ends at 2**15."""

_A4_HZ = 440
_A4_MIDI = 69
_SMALLEST = 1e-9  # stands for zero in the logarithm
_SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "sharp": 1}  # anything else that the pattern finds is a flat
_NOTES = re.compile(r"\b([a-g])(#|♯|b|♭| sharp | flat )?([0-8])(?![\w.,]*\d|\w)")
_NUMBERS = re.compile(
    r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?(?: ?(khz|kilohertz))?(?=[a-z]{0,3}\b|\W|$)"
)


def number_token(value: float, exact: bool = True) -> str:
    """Return the token of a number.

    Args:
        value: A number >= 0.
        exact: Whether a whole number below 50 gets its own token. False: always the grid.

    Returns:
        "[i7]" for an exact 7, else the nearest grid token such as "[n710]", within 0.8 %.
    """
    if exact and value < NUM_EXACT and value == int(value):
        return f"[i{int(value)}]"
    octaves = min(max(math.log2(max(value, _SMALLEST)), LOWEST_OCTAVE), HIGHEST_OCTAVE)
    return f"[n{round((octaves - LOWEST_OCTAVE) * STEPS_PER_OCTAVE)}]"


def number_tokens() -> dict[str, float]:
    """Return every number token and its value, the exact ones first."""
    tokens = {}
    for number in range(NUM_EXACT):
        tokens[f"[i{number}]"] = float(number)
    for step in range((HIGHEST_OCTAVE - LOWEST_OCTAVE) * STEPS_PER_OCTAVE + 1):
        tokens[f"[n{step}]"] = 2.0 ** (LOWEST_OCTAVE + step / STEPS_PER_OCTAVE)
    return tokens


def replace_numbers(text: str) -> str:
    """Return the text in lower case, with each number and note replaced by its token.

    "A4" becomes the token of 440 Hz and `NOTE`; "3 kHz" becomes the token of 3000 and "hz".
    """
    plain = text.lower().replace("[", "(").replace("]", ")")  # brackets are for tokens
    return " ".join(_NUMBERS.sub(_number, _NOTES.sub(_note, plain)).split())


def _note(match: re.Match[str]) -> str:
    """The token of a note's frequency: equal temperament, A4 = 440 Hz."""
    letter, accidental, octave = match.groups()
    shift = _ACCIDENTALS.get((accidental or "").strip(), -1)
    midi = _SEMITONES[letter] + shift + 12 * (int(octave) + 1)
    frequency_hz = _A4_HZ * 2 ** ((midi - _A4_MIDI) / 12)
    return f" {number_token(frequency_hz, exact=False)} {NOTE} "


def _number(match: re.Match[str]) -> str:
    """The token of a number; kilohertz become hertz."""
    integer, fraction, kilo = match.groups()
    if integer is None and fraction is None:
        return match.group()
    value = float((integer or "0").replace(",", "") + (fraction or "")) * (1000 if kilo else 1)
    return f" {number_token(value)} {'hz' if kilo else ''} "
