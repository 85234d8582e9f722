"""Limits of the duration of audio that is edited or used as a prompt."""

from __future__ import annotations

from ..config.option_table import MAX_DURATION_S
from ..errors import UsageError

MIN_SOURCE_DURATION_S = 0.1


def validate_source_duration(duration: float) -> None:
    """Check that audio of `duration` seconds can be edited.

    Raises:
        UsageError: It is shorter than `MIN_SOURCE_DURATION_S` or longer than `MAX_DURATION_S`.
    """
    if duration < MIN_SOURCE_DURATION_S:
        raise UsageError(
            f"the audio lasts {duration:.3g} s; give at least {MIN_SOURCE_DURATION_S:g} s"
        )
    if duration > MAX_DURATION_S:
        raise UsageError(
            f"the audio lasts {duration:.0f} s; the limit is {MAX_DURATION_S:g} s, so cut it first"
        )
