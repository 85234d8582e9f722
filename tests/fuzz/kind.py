"""A kind of files that are damaged, and what every door needs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Kind:
    """Files that are damaged in one way and opened by one door.

    Attributes:
        source: A file or folder of `seeds.make_seeds`.
        files: Patterns of the files in it of which one is damaged; () for a file.
        damage: (bytes, random numbers) -> damaged bytes.
        door: Opens the file or folder.
    """

    source: str
    files: tuple[str, ...]
    damage: Callable[[bytes, Random], bytes]
    door: Callable[[Path], object]
