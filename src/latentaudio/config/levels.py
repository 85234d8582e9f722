"""The level of a generated clip: targets, and the words of a prompt that ask for a quiet sound.

-23 LUFS is the programme loudness of EBU R 128, with 22 dB of headroom for short peaks. Clips of
one level can be mixed, and a listener does not have to turn the volume up for one clip and down for
the next. Torch-free.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Normalization: TypeAlias = Literal["loudness", "peak", "none"]

TARGET_LUFS = -23.0
CEILING_DBTP = -1.0
"""Highest true peak of a normalized clip."""
QUIET_DB = 10.0
"""What a quiet or distant sound stays below the others."""

_QUIET = re.compile(
    r"\b(quiet|quietly|soft|softly|faint|faintly|distant|distantly|far[- ](away|off)|from afar"
    r"|in the distance|a long way off)\b",
    re.IGNORECASE,
)
_LOUD = re.compile(r"\b(loud|loudly|close|nearby|near)\b", re.IGNORECASE)


def level_below_normal(prompt: str) -> float:
    """Return how many dB below the normal level the sound of a prompt belongs, 0 or 10.

    A prompt that also names something loud or near has the normal level.
    """
    is_quiet = _QUIET.search(prompt) is not None and _LOUD.search(prompt) is None
    return QUIET_DB if is_quiet else 0.0
