"""Clips that a run does not train on, to measure its losses on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..data.clip_list import ClipList
from ..data.file_hashes import FileHashes
from ..data.manifest import Clip, read_manifest
from ..errors import ConfigError
from .pre_encode import HASHES_FILE
from .recipe import ValidationOptions

_HASH_RANGE = 16**8


class HeldOut:
    """Which clips of a run are held out.

    A clip is held out by the hash of its sound file. So the split does not change when clips are
    added, and copies of a sound are on one side.
    """

    def __init__(self, options: ValidationOptions | None, run_folder: Path) -> None:
        """Set up the split.

        Args:
            options: Settings of the recipe; None: no clip is held out.
            run_folder: Folder of the run, where hashes of files are remembered.
        """
        self.options = options
        self.run_folder = run_folder
        self._hashes: FileHashes | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders whose clips are all held out."""
        return tuple(Path(folder) for folder in self.options.data) if self.options else ()

    @property
    def has_split(self) -> bool:
        """Whether clips of the training data are held out."""
        return self.options is not None and not self.folders

    def is_training(self, clip: Clip) -> bool:
        """Return whether a clip is trained on.

        Args:
            clip: Clip of the training data.
        """
        return not self.is_validation(clip)

    def is_validation(self, clip: Clip) -> bool:
        """Return whether a clip of the training data is held out.

        Args:
            clip: Clip of the training data.
        """
        if self.options is None or self.folders:
            return False
        if self._hashes is None:
            self._hashes = FileHashes(self.run_folder / HASHES_FILE)
        checksum = self._hashes.get(clip.path, clip.offset, clip.num_bytes)
        number = int(checksum[:8], 16)
        return number < self.options.fraction * _HASH_RANGE

    def split(self, clips: ClipList) -> tuple[Sequence[Clip], Sequence[Clip]]:
        """Return the clips to train on, and the clips that are held out.

        Args:
            clips: Clips of the training data.

        Raises:
            ConfigError: One side is empty.
            DataError: A clip cannot be read.
        """
        if self.options is None:
            return clips, ()
        if self.folders:
            return clips, read_manifest(*self.folders)
        training = clips.filtered(self.is_training)
        validation = clips.filtered(self.is_validation)
        self.check(len(training), len(validation))
        return training, validation

    def check(self, num_training: int, num_validation: int) -> None:
        """Raise if one side of the split is empty.

        Args:
            num_training: Clips to train on.
            num_validation: Clips that are held out.

        Raises:
            ConfigError: One side is empty.
        """
        if self.options is None or (num_training and num_validation):
            return
        raise ConfigError(
            f"validate.fraction {self.options.fraction:g} holds out {num_validation} of "
            f"{num_training + num_validation} clips; choose another fraction, "
            "or name a folder with validate.data"
        )
