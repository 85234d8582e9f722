"""Listening to every sample of a sound once, block by block: is it whole, loud, and finite?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..audio.containers import data_sizes, is_ogg_complete
from ..errors import DataError
from .clip import Clip
from .stored_sound import open_part, open_sound

MIN_SECONDS = 0.1
_BLOCK_VALUES = 2**18  # numbers that are decoded at once: 1 MB
_SILENT_PEAK = 1e-4  # -80 dBFS
_MAX_PEAK = 4.0  # 12 dB above full scale; decoders of MP3 and Vorbis exceed it a little
_FULL_SCALE = 0.9995
_CLIPPED_FRACTION = 1e-3  # of the samples, in runs of three or more at full scale
_MISSING_FRACTION = 0.01  # headers of MP3 state lengths that are a little wrong


@dataclass
class _Totals:
    """What was measured so far.

    Attributes:
        num_samples: Samples per channel.
        peak: Largest magnitude.
        num_clipped: Values that end a run of three at full scale.
        is_finite: Whether all values are numbers.
    """

    num_samples: int = 0
    peak: float = 0.0
    num_clipped: int = 0
    is_finite: bool = True

    def add(self, block: np.ndarray) -> None:
        """Add samples [T, C]."""
        self.num_samples += len(block)
        magnitude = np.abs(block)
        block_peak = float(magnitude.max(initial=0.0))  # NaN stays NaN
        if not np.isfinite(block_peak):
            self.is_finite = False
            return
        self.peak = max(self.peak, block_peak)
        if block_peak >= _FULL_SCALE:
            is_full = magnitude >= _FULL_SCALE
            runs = is_full[2:] & is_full[1:-1] & is_full[:-2]
            self.num_clipped += int(runs.sum())


def check_sound(clip: Clip) -> tuple[str, str] | None:
    """Return the kind and the detail of a sound's problem, or None.

    Args:
        clip: The sound.
    """
    totals = _Totals()
    is_open = False
    try:
        if clip.num_bytes is not None and _is_cut_off(clip):
            return "truncated", "the file that it lies in ends early; copy that file again"
        with open_sound(clip.path, clip.offset, clip.num_bytes) as sound:
            is_open = True
            sample_rate = sound.samplerate
            num_channels = sound.channels
            for block in sound.blocks(
                max(1, _BLOCK_VALUES // num_channels), dtype="float32", always_2d=True
            ):
                totals.add(block)
                if not totals.is_finite:
                    break
        if totals.is_finite and _is_truncated(clip, totals.num_samples):
            return (
                "truncated",
                f"it ends after {totals.num_samples / sample_rate:.3g} s; replace it",
            )
    except (DataError, OSError) as error:
        if is_open:
            return "truncated", f"it cannot be decoded to its end ({error}); replace it"
        return "unreadable", f"it cannot be decoded ({error}); replace it"
    if sample_rate != clip.sample_rate:
        detail = f"it has {sample_rate} Hz, its description {clip.sample_rate} Hz; correct the line"
        return "description", detail
    return _problem_of(totals, sample_rate, num_channels)


def _problem_of(totals: _Totals, sample_rate: int, num_channels: int) -> tuple[str, str] | None:
    """Return the problem of a sound that could be decoded."""
    seconds = totals.num_samples / sample_rate
    if not totals.is_finite:
        return "not_finite", "it has samples that are no finite numbers; replace it"
    if seconds < MIN_SECONDS:
        return "too_short", f"it has {seconds:.3g} s"
    if totals.peak < _SILENT_PEAK:
        return "silent", "its peak is below -80 dBFS"
    if totals.peak > _MAX_PEAK:
        decibels = 20 * np.log10(totals.peak)
        return "too_loud", f"its peak is {decibels:+.0f} dBFS; scale it down"
    clipped = totals.num_clipped / (totals.num_samples * num_channels)
    if clipped > _CLIPPED_FRACTION:
        return "clipped", f"{100 * clipped:.2g} % of its samples are clipped"
    return None


def _is_cut_off(clip: Clip) -> bool:
    """Whether the file that a sound lies in ends before the sound does."""
    assert clip.num_bytes is not None
    return clip.path.stat().st_size < clip.offset + clip.num_bytes


def _is_truncated(clip: Clip, num_samples: int) -> bool:
    """Whether a sound is shorter than its header or its description states."""
    if num_samples < (1 - _MISSING_FRACTION) * clip.num_samples - 1:
        return True
    with open_part(clip.path, clip.offset, clip.num_bytes) as file:
        available, stated = data_sizes(file)
    if available < stated:
        return True
    with open_part(clip.path, clip.offset, clip.num_bytes) as file:
        return not is_ogg_complete(file)
