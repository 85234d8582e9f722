"""Why a sound of a data set is not used, or should be looked at."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

MAX_CAPTION_CHARS = 2000
"""Longest caption. Text encoders read some 2,000 characters at most."""


@dataclass(frozen=True)
class ProblemKind:
    """A kind of problem.

    Attributes:
        one: What one sound of the kind is, such as "silent sound".
        several: The same for several.
        is_left_out: Whether training leaves such sounds out.
    """

    one: str
    several: str
    is_left_out: bool = True


PROBLEM_KINDS: dict[str, ProblemKind] = {
    "description": ProblemKind("wrong description", "wrong descriptions"),
    "missing": ProblemKind("missing sound", "missing sounds"),
    "unreadable": ProblemKind("unreadable sound", "unreadable sounds"),
    "truncated": ProblemKind("truncated sound", "truncated sounds"),
    "not_finite": ProblemKind("sound with NaN or Inf", "sounds with NaN or Inf"),
    "too_loud": ProblemKind("sound far above full scale", "sounds far above full scale"),
    "silent": ProblemKind("silent sound", "silent sounds"),
    "too_short": ProblemKind("sound under 0.1 s", "sounds under 0.1 s"),
    "captionless": ProblemKind("sound without a caption", "sounds without a caption"),
    "caption": ProblemKind("sound with a wrong caption", "sounds with a wrong caption"),
    "duplicated": ProblemKind("copy of another sound", "copies of other sounds"),
    "clipped": ProblemKind("clipped sound", "clipped sounds", is_left_out=False),
    "common_caption": ProblemKind(
        "caption for very many sounds", "captions for very many sounds", is_left_out=False
    ),
}
"""Every kind, by the name that `dataset check --json` prints."""


@dataclass(frozen=True)
class Problem:
    """One problem of a data set.

    Attributes:
        kind: Key of `PROBLEM_KINDS`.
        name: The sound, or "file:line" of its description.
        detail: The problem, and what to do if that is not plain.
    """

    kind: str
    name: str
    detail: str

    @property
    def is_left_out(self) -> bool:
        """Whether training leaves the sound out."""
        return PROBLEM_KINDS[self.kind].is_left_out


def caption_problem(caption: str) -> str:
    """Return what is wrong with a caption, or "".

    Args:
        caption: Any text.
    """
    if len(caption) > MAX_CAPTION_CHARS:
        return f"a caption has {len(caption)} characters; {MAX_CAPTION_CHARS} are the limit"
    for letter in caption:
        if unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\t\n\r":
            return f"a caption has the character U+{ord(letter):04X}, which is no letter; remove it"
    return ""
