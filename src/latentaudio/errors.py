"""The error classes of this package.

    LatentAudioError
    ├── UsageError       an argument that cannot be used, such as a wrong number or an unknown name
    ├── DataError        a file or folder that cannot be read, or a target that cannot be written
    ├── WeightsError     a checkpoint that is missing, damaged or of another shape
    ├── ConfigError      a recipe or a model configuration that contradicts itself
    ├── GenerationError  the model generated silence or values that are not finite
    └── TrainingError    a training that diverged, ran out of memory or lost one of its processes

Every message is one line: the problem, the value, a way out. The command line prints it and exits
with code 2.
"""

from __future__ import annotations

_NO_MEMORY = ("allocate memory", "failed to allocate", "out of memory", "bad_alloc")
"""Parts of the messages of torch, ONNX Runtime, OpenVINO and C++ when memory does not suffice."""
MAX_MESSAGE_CHARS = 1000
"""Longest message; values from files can have any length."""

__all__ = [
    "ConfigError",
    "DataError",
    "GenerationError",
    "LatentAudioError",
    "TrainingError",
    "UsageError",
    "WeightsError",
    "first_line",
    "is_out_of_memory",
    "one_line",
]


class LatentAudioError(Exception):
    """Base of all errors of this package."""

    def __str__(self) -> str:
        """Return the message as one line, however long a value in it is."""
        return one_line(super().__str__())


class UsageError(LatentAudioError, ValueError):
    """An argument that cannot be used; a ValueError, too, as other libraries raise."""


class DataError(LatentAudioError):
    """A file or folder that cannot be read or written."""


class WeightsError(LatentAudioError):
    """Weights that are missing, damaged or of another shape."""


class ConfigError(LatentAudioError):
    """A configuration that contradicts itself."""


class GenerationError(LatentAudioError):
    """Generated audio that is silent or not finite."""


class TrainingError(LatentAudioError):
    """A training that diverged, ran out of memory or lost one of its processes."""


def one_line(text: str) -> str:
    """Return a text without line breaks; the middle of a long one is left out.

    Args:
        text: A message, which may repeat values from files.
    """
    line = " ".join(text.splitlines())
    if len(line) <= MAX_MESSAGE_CHARS:
        return line
    half = MAX_MESSAGE_CHARS // 2 - len(" ... ")
    return f"{line[:half]} ... {line[-half:]}"


def first_line(error: BaseException, max_chars: int = 120) -> str:
    """Return the first line of an error's message, to be quoted in one of ours.

    Args:
        error: An error of another library.
        max_chars: Longer lines are cut.

    Returns:
        The line, or the name of the error's class if its message is empty.
    """
    lines = str(error).strip().splitlines()
    return lines[0][:max_chars] if lines else type(error).__name__[:max_chars]


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory did not suffice, by an error of any library or what it came from.

    Args:
        error: The error. One of this package is not: it says already what happened.
    """
    if isinstance(error, LatentAudioError):
        return False
    if isinstance(error, MemoryError) or any(text in str(error).lower() for text in _NO_MEMORY):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)
