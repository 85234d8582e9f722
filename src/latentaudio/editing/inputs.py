"""Decoded inputs of a request: source audio, audio prompts and masks, each decoded once.

Letters: C channels, N samples.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..audio.io import Audio, info, read
from ..audio.ops import Samples, limit_peak, resample
from ..config.edits import AnyEdit
from ..config.options import PromptCue
from ..errors import UsageError
from . import drawn_mask
from .drawn_mask import MaskPixels
from .validation import validate_source_duration

AudioInput: TypeAlias = Audio | Samples | str | Path
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
        if isinstance(audio, str | Path):
            return self._load_file(str(audio))
        if isinstance(audio, Audio):
            audio = resample(audio.samples, audio.sample_rate, self.sample_rate)
        return self._keep("", to_mono_input(audio))

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


def to_mono_input(samples: NDArray[Any]) -> Samples:
    """Mix samples down to mono and limit their peak to 1.

    Args:
        samples: Floating-point samples [C, N] or [N].

    Returns:
        The mean of the channels, [1, N] float32.

    Raises:
        UsageError: The array has another type or shape, is too loud, or is not finite.
    """
    channels = np.atleast_2d(samples)
    if channels.ndim != 2 or not np.issubdtype(channels.dtype, np.floating):
        raise UsageError(
            f"samples are {channels.dtype} of shape {np.shape(samples)}; "
            "give floating-point samples in [-1, 1], [C, N] or [N]"
        )
    if channels.shape[0] > channels.shape[1]:
        raise UsageError(
            f"samples of shape {np.shape(samples)} have {channels.shape[0]} channels; "
            "give [C, N], not [N, C]"
        )
    peak = float(np.abs(channels).max(initial=0.0))
    if peak > MAX_INPUT_PEAK:
        raise UsageError(f"the source peaks at {peak:.3g}, full scale is 1; reduce its level first")
    if not np.isfinite(channels).all():
        raise UsageError("the source has samples that are not finite (NaN or Inf); repair it first")
    return limit_peak(channels.mean(axis=0, keepdims=True, dtype=np.float32), 1.0)
