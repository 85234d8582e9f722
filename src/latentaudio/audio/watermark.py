"""Watermarks: inaudible marks in the samples, which survive where tags are lost.

The environment variable LATENTAUDIO_WATERMARK names one of `WATERMARKS`. Every clip then gets it,
whichever interface asks for the clip. To add a watermark, add a function and a row.

Letters: C channels, N samples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..errors import UsageError, first_line
from .ops import Samples, limit_peak

VARIABLE = "LATENTAUDIO_WATERMARK"
AUDIOSEAL_CARD = "audioseal_wm_16bits"
AUDIOSEAL_MESSAGE = tuple(int(bit) for bit in f"{0x4C41:016b}")
"""The 16 bits of every mark, "LA". AudioSeal would draw others, and bytes would differ."""

Marker: TypeAlias = Callable[[Samples, int], Samples]
"""(samples [C, N], sample rate in Hz) -> samples with a mark, of the same shape."""


@dataclass(frozen=True)
class Watermark:
    """A watermark that is ready to use.

    Attributes:
        name: Its name, which becomes a tag.
        marker: Adds it.
    """

    name: str
    marker: Marker

    def apply(self, samples: Samples, sample_rate: int) -> Samples:
        """Return samples [C, N] with the mark, in [-1, 1]."""
        return limit_peak(np.asarray(self.marker(samples, sample_rate), np.float32), 1.0)


def audioseal() -> Marker:
    """Return AudioSeal (arXiv 2401.17264). Its package fetches its weights at the first use.

    Raises:
        UsageError: It is not installed, or its weights cannot be loaded.
    """
    try:
        from audioseal import AudioSeal
    except ImportError:
        raise UsageError(
            f"{VARIABLE} = audioseal, but the package audioseal is not installed; "
            "install it, or unset the variable"
        ) from None
    import torch

    try:
        generator: Any = AudioSeal.load_generator(AUDIOSEAL_CARD).eval()
    except Exception as error:  # of the network, or of a damaged file in its cache
        raise UsageError(
            f"{VARIABLE} = audioseal, but AudioSeal cannot load its weights "
            f"({first_line(error)}); it fetches them once, so connect to the internet or unset the "
            "variable"
        ) from None
    message = torch.tensor(AUDIOSEAL_MESSAGE)

    def mark(samples: Samples, sample_rate: int) -> Samples:
        with torch.inference_mode():
            channels = torch.from_numpy(np.ascontiguousarray(samples))[:, None]
            change = generator.get_watermark(channels, sample_rate=sample_rate, message=message)
            marked = channels + change
        result: Samples = marked[:, 0].numpy()
        return result

    return mark


WATERMARKS: Mapping[str, Callable[[], Marker]] = {"audioseal": audioseal}
"""Every watermark by its name."""


def watermark_of_environment() -> Watermark | None:
    """Return the watermark that the environment asks for, or None.

    Raises:
        UsageError: There is no such watermark, or its package is missing.
    """
    name = os.environ.get(VARIABLE, "")
    if not name:
        return None
    if name not in WATERMARKS:
        raise UsageError(f"{VARIABLE} = {name!r:.40}; choose from {', '.join(WATERMARKS)}")
    return Watermark(name, WATERMARKS[name]())
