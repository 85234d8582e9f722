"""Prompts of a command line: checked early, and read from files."""

from __future__ import annotations

from pathlib import Path

from ..config.options import validate_text
from ..config.validation import EXAMPLE_PROMPT
from ..errors import DataError, UsageError

DEFAULT_VOICE_PROMPT = "A female reporter is speaking full of emotion"
"""Prompt of a transcript without one, as in the authors' command (numerics: phonemes)."""


def validate_prompt(prompt: str, can_be_empty: bool = False) -> None:
    """Check a prompt before a model is loaded.

    Args:
        prompt: The prompt.
        can_be_empty: Whether the request has other conditions.

    Raises:
        UsageError: The prompt is empty, too long or not UTF-8.
    """
    if not (prompt.strip() or can_be_empty):
        raise UsageError(f"prompt is empty; describe the sound, for example {EXAMPLE_PROMPT}")
    try:
        validate_text(prompt)
    except ValueError as error:
        raise UsageError(f"prompt {error}") from None


def read_text(file: Path) -> str:
    """Return the text of a UTF-8 file; `DataError` if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DataError(f"cannot read {file} ({reason})") from None


def read_prompt_file(file: Path) -> list[tuple[str, str]]:
    """Read a file with one prompt on each line.

    Args:
        file: Each line is a prompt or `prompt | name`.

    Returns:
        Pairs (prompt, name); the name of a line without one is the prompt.

    Raises:
        DataError: The file cannot be read.
        UsageError: A line has two vertical bars.
    """
    pairs = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        prompt, _, name = (field.strip() for field in line.partition("|"))
        if "|" in name:
            raise UsageError(
                f"{file}, line {number} has two vertical bars; "
                "write one, between the prompt and the name"
            )
        if prompt:
            pairs.append((prompt, name or prompt))
    return pairs
