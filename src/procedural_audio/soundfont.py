"""Notes of a General MIDI soundfont, an optional source of the instruments.

A soundfont (.sf2 or .sf3) holds recorded notes of 128 instruments and of drum kits. The package
`tinysoundfont` plays it. It is imported when the first note is rendered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from .errors import RenderError

Array: TypeAlias = NDArray[np.float64]  # as in `synth`, which imports this module for its types

DRUM_BANK = 128
"""Bank of the drum kits. A key of a kit is a drum."""
_PLAYER_RATE = 44100  # that of the recordings; the player does not filter when it resamples
_PLAYER_GAIN_DB = -20.0  # the player clips above full scale
_RELEASE_S = 0.5
_RELEASE_FADE_S = 0.15
_SILENCE_BLOCK = 1024  # samples that are played at a time until the player is silent
_MAX_SILENCE_BLOCKS = 200
_CACHED_NOTES = 512


@dataclass(frozen=True)
class Soundfont:
    """One soundfont file.

    Attributes:
        path: Path of the file.
        sha256: Checksum of the file. It fixes the sound of the notes.
    """

    path: str
    sha256: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return Path(self.path).name

    def render_note(
        self,
        bank: int,
        program: int,
        key: int,
        velocity: float,
        seconds: float,
        sample_rate: int,
    ) -> Array:
        """Render one note. Equal arguments give equal samples.

        Args:
            bank: Bank of the soundfont: 0, or `DRUM_BANK`.
            program: Program of General MIDI, from 0: 0 is a piano, 40 a violin.
            key: MIDI pitch, or the drum of a kit.
            velocity: Strength, above 0 to 1.
            seconds: Time that the key is held.
            sample_rate: Sample rate of the result in Hz.

        Returns:
            Samples `[T]` of the note and its release. They are read-only, because a clip may use a
            note many times.
        """
        num_held = max(1, round(seconds * _PLAYER_RATE))
        strength = int(np.clip(round(127 * velocity), 1, 127))
        return _render_note(self.path, bank, program, key, strength, num_held, sample_rate)

    def to_record(self) -> dict[str, str]:
        """Return the file name, its checksum and the player, for the record of a corpus."""
        player = f"tinysoundfont {version('tinysoundfont')}"
        return {"file": self.name, "sha256": self.sha256, "player": player}


def open_soundfont(path: str | Path) -> Soundfont:
    """Check that a soundfont can be played, and take its checksum.

    Args:
        path: Path of the file, .sf2 or .sf3.

    Returns:
        The soundfont.

    Raises:
        RenderError: The player is not installed, or the file cannot be played.
    """
    if find_spec("tinysoundfont") is None:
        raise RenderError(
            "a soundfont needs the package tinysoundfont; run: pip install --no-deps tinysoundfont"
        )
    resolved = Path(path).expanduser().resolve()
    if not resolved.is_file():
        raise RenderError(f"soundfont {path} is not a file: give the path of an .sf2 or .sf3 file")
    with resolved.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        _open_player(str(resolved))
    except Exception as error:  # the player raises plain exceptions
        raise RenderError(
            f"soundfont {path} cannot be played ({error}): give the path of an .sf2 or .sf3 file"
        ) from error
    return Soundfont(str(resolved), sha256)


@cache
def _open_player(path: str) -> tuple[Any, int]:
    """Open the player of a process; return it and the identity of the soundfont in it."""
    import tinysoundfont

    player = tinysoundfont.Synth(gain=_PLAYER_GAIN_DB, samplerate=_PLAYER_RATE)
    return player, player.sfload(path)


@lru_cache(maxsize=_CACHED_NOTES)
def _render_note(
    path: str, bank: int, program: int, key: int, strength: int, num_held: int, sample_rate: int
) -> Array:
    player, identity = _open_player(path)
    player.program_select(0, identity, bank, program, bank == DRUM_BANK)
    player.noteon(0, key, strength)
    sustained = _play(player, num_held)
    player.noteoff(0, key)
    release = _play(player, round(_RELEASE_S * _PLAYER_RATE))
    num_fade = round(_RELEASE_FADE_S * _PLAYER_RATE)
    release[-num_fade:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(num_fade) / num_fade)
    _silence(player)
    note = soxr.resample(np.concatenate([sustained, release]), _PLAYER_RATE, sample_rate)
    note.setflags(write=False)
    return np.asarray(note)


def _play(player: Any, num_samples: int) -> Array:
    """Return the next samples `[num_samples]` of the player, the mean of its two channels."""
    stereo = np.frombuffer(player.generate(num_samples), np.float32).reshape(-1, 2)
    return np.asarray(stereo.mean(axis=1, dtype=np.float64))


def _silence(player: Any) -> None:
    """Stop all notes and play until none is left, so that no note depends on an earlier one."""
    player.sounds_off()
    for _ in range(_MAX_SILENCE_BLOCKS):
        if not np.any(_play(player, _SILENCE_BLOCK)):
            return
