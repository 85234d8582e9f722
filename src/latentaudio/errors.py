"""The one error tree. Knows what can go wrong for a user; refuses to know how anything is done.

LatentAudioError
├── UsageError       an argument nobody can act on (bad number, unknown name, impossible combination)
├── DataError        a sound, a caption file or a folder that cannot be read, or a target that cannot be written
├── WeightsError     a checkpoint that is missing, damaged or of another shape
├── ConfigError      a recipe or a model configuration that contradicts itself
└── GenerationError  the model produced silence or numbers that are not finite

Every message is one line and carries the way out. The command line prints it and exits with code 2.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DataError",
    "GenerationError",
    "LatentAudioError",
    "UsageError",
    "WeightsError",
    "said",
]


def said(problem: BaseException, longest: int = 120) -> str:
    """The first line of what another library says of a problem, or the name of its kind where it says nothing."""
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)[:longest]


class LatentAudioError(Exception):
    """Anything this package tells its user."""


class UsageError(LatentAudioError):
    """An argument that cannot be acted on."""


class DataError(LatentAudioError):
    """A file or folder that cannot be read or written."""


class WeightsError(LatentAudioError):
    """Weights that are missing, damaged or misshapen."""


class ConfigError(LatentAudioError):
    """A configuration that contradicts itself."""


class GenerationError(LatentAudioError):
    """Output that is silent or not finite."""
