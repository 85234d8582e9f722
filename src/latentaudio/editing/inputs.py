"""Decoded inputs of a request: source audio, audio prompts and masks, each decoded once.

Letters: C channels, N samples.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..audio.io import Audio, info, read
from ..audio.ops import Samples, limit_peak, resample
from ..config.edits import AnyEdit
from ..config.options import PromptCue
from ..errors import UsageError
from . import drawn_mask
from .drawn_mask import MaskPixels
from .sample_arrays import as_samples, is_number
from .validation import validate_source_duration

if TYPE_CHECKING:
    import torch

AudioInput: TypeAlias = "Audio | Samples | Sequence[float] | torch.Tensor | str | Path"
"""A file, a clip, or samples [C, N] or [N] at the model's sample rate."""

MAX_INPUT_PEAK = 2.0
"""Largest absolute sample of a source. Resampling and lossy codecs overshoot full scale by less."""


@dataclass(frozen=True)
class SourceAudio:
    """Audio that a request edits or uses as a prompt.

    Attributes:
        path: The file as the caller named it; "" for an array.
        sha256: Checksum of `samples`.
        samples: Mono samples [1, N] float32 at the model's sample rate.
    """

    path: str
    sha256: str
    samples: Samples


class RequestInputs:
    """Decodes the audio files and masks of one call, each once, and keeps them while it runs.

    Attributes:
        sample_rate: Sample rate of the model in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._audio: dict[str, SourceAudio] = {}
        self._files: dict[str, SourceAudio] = {}
        self._masks: dict[str, MaskPixels] = {}

    def load_audio(self, audio: AudioInput) -> SourceAudio:
        """Decode a source and keep it.

        Args:
            audio: A file, a clip, or samples [C, N] or [N] at the model's sample rate.

        Returns:
            The source as mono samples at the model's sample rate.

        Raises:
            DataError: The file is no audio.
            UsageError: The audio is too long, too loud or not finite.
        """
        if isinstance(audio, str | PathLike):
            return self._load_file(str(audio))
        return self._keep("", to_mono_input(_at_rate(audio, self.sample_rate)))

    def get_audio(self, path: str, sha256: str) -> SourceAudio:
        """Return audio by its checksum, or decode its file.

        Raises:
            UsageError: No file holds the audio, or the file has changed.
        """
        if sha256 in self._audio:
            return self._audio[sha256]
        if not path:
            raise UsageError(
                "the source of this request was an in-memory array and cannot be reloaded; "
                "run the request again with the array"
            )
        source = self._load_file(path)
        if sha256 not in ("", source.sha256):
            raise UsageError(
                f"{path} has changed since this clip was made (checksum mismatch); "
                "restore the original file"
            )
        return source

    def get_source(self, edit: AnyEdit) -> SourceAudio:
        """Return the source of an edit."""
        return self.get_audio(edit.source_path, edit.source_sha256)

    def get_audio_prompt(self, cue: PromptCue) -> SourceAudio:
        """Return the audio prompt of a cue."""
        return self.get_audio(cue.audio_prompt, cue.audio_prompt_sha256)

    def forget(self, edit: AnyEdit | None) -> None:
        """Drop the source of an edit, so that a stream holds one piece at a time."""
        if edit is not None:
            self._audio.pop(edit.source_sha256, None)

    def load_mask(self, mask: str, sha256: str = "") -> MaskPixels:
        """Decode a drawn mask once.

        Args:
            mask: The mask as `drawn_mask.mask_to_string` names it.
            sha256: Its checksum when the edit was made; "" if unknown.

        Raises:
            DataError: The file is no image.
            UsageError: The mask has changed, or selects nothing or everything.
        """
        if mask not in self._masks:
            self._masks[mask] = drawn_mask.load_mask(mask)
        pixels = self._masks[mask]
        if sha256 and drawn_mask.sha256_of_mask(pixels) != sha256:
            raise UsageError(
                f"the mask {mask} has changed since this edit was made; restore the original file"
            )
        return pixels

    def _load_file(self, path: str) -> SourceAudio:
        if path in self._files:
            return self._files[path]
        header = info(path)
        validate_source_duration(float(header["duration"]))
        if header["channels"] > 1:
            warnings.warn(
                f"{path} has {header['channels']} channels; they are mixed down to mono",
                stacklevel=2,
            )
        source = self._keep(path, to_mono_input(read(path, self.sample_rate)[0]))
        self._files[path] = source
        return source

    def _keep(self, path: str, samples: Samples) -> SourceAudio:
        source = SourceAudio(path, sha256_of(samples), samples)
        self._audio.setdefault(source.sha256, source)
        return source  # equal audio may have come under another path


def sha256_of(samples: Samples) -> str:
    """Return the SHA-256 of samples in float32."""
    return hashlib.sha256(np.ascontiguousarray(samples, np.float32).data).hexdigest()


def to_mono_input(samples: object) -> Samples:
    """Mix samples down to mono and limit their peak to 1.

    Args:
        samples: Samples [C, N] or [N], see `sample_arrays.as_samples`.

    Returns:
        The mean of the channels, [1, N] float32.

    Raises:
        UsageError: The value is no sound, is too loud, or is not finite.
    """
    channels = as_samples(samples)
    peak = float(np.abs(channels).max(initial=0.0))
    if peak > MAX_INPUT_PEAK:
        raise UsageError(f"the source peaks at {peak:.3g}, full scale is 1; reduce its level first")
    return limit_peak(channels.mean(axis=0, keepdims=True, dtype=np.float32), 1.0)


def to_mono_clip(audio: object, sample_rate: int) -> Samples:
    """Return any audio input as mono samples [1, N] float32, with its own level.

    Args:
        audio: A file, a clip, or samples at `sample_rate`.
        sample_rate: Rate of the result in Hz.

    Raises:
        DataError: The file is no audio.
        UsageError: The value is no sound, or is not finite.
    """
    if isinstance(audio, str | PathLike):
        return read(str(audio), sample_rate)[0]
    channels = as_samples(_at_rate(audio, sample_rate))
    return np.asarray(channels.mean(axis=0, keepdims=True, dtype=np.float32))


def to_mono_clips(audio: object, sample_rate: int) -> list[Samples]:
    """Return one or several audio inputs as mono samples [1, N] float32.

    Args:
        audio: One audio input, or an iterable of them. The rows of an array [K, N] are K clips.
        sample_rate: Rate of the result in Hz.

    Raises:
        DataError: A file is no audio.
        UsageError: There is no clip, or a value is no sound.
    """
    if isinstance(audio, str | PathLike | Audio) or getattr(audio, "ndim", None) in (0, 1):
        return [to_mono_clip(audio, sample_rate)]
    if not isinstance(audio, Iterable) or isinstance(audio, bytes | Mapping):
        return [to_mono_clip(audio, sample_rate)]  # raises
    clips = list(audio)
    if clips and is_number(clips[0]):
        return [to_mono_clip(clips, sample_rate)]
    if not clips:
        raise UsageError("there is no clip; give at least one")
    return [to_mono_clip(clip, sample_rate) for clip in clips]


def _at_rate(audio: object, sample_rate: int) -> object:
    """Return the samples of a clip at another rate, and anything else as it is."""
    if not isinstance(audio, Audio):
        return audio
    return resample(as_samples(audio.samples), audio.sample_rate, sample_rate)
