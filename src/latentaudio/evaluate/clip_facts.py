"""Facts about a clip that need no network: level, silence, clipping, duration, its request.

Letters: C channels, T samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..audio.loudness import loudness
from ..audio.ops import SILENCE_PEAK, Samples
from .report import Level

VERSION = 2
"""Of the facts; a change makes cached facts invalid."""
REQUEST_TAGS = (
    "prompt", "seed", "model", "steps", "guidance_scale", "candidates", "chosen_of", "preset",
    "transcript",
)  # fmt: skip
"""Tags of a file that say how it was generated."""
CLIPPED_LEVEL = 0.9999
_QUIET_RMS = 1e-3  # of a frame: -60 dBFS
_FRAME_S = 0.05


@dataclass(frozen=True)
class ClipFacts:
    """Facts about one clip.

    Attributes:
        duration: in seconds.
        sample_rate: of the file, in Hz.
        channels: number of channels.
        peak: largest absolute sample.
        lufs: integrated loudness; None for silence.
        silent_fraction: part of the frames of 50 ms below -60 dBFS.
        clipped_fraction: part of the samples at full scale.
        tags: what the file says of its request.
    """

    duration: float
    sample_rate: int
    channels: int
    peak: float
    lufs: float | None
    silent_fraction: float
    clipped_fraction: float
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_silent(self) -> bool:
        """Whether nothing can be heard."""
        return self.peak < SILENCE_PEAK


def measure_facts(samples: Samples, sample_rate: int, tags: Mapping[str, str]) -> ClipFacts:
    """Return the facts about a clip.

    Args:
        samples: [C, T].
        sample_rate: in Hz.
        tags: tags of its file.
    """
    level = loudness(samples, sample_rate)
    magnitudes = np.abs(samples)
    size = min(samples.shape[1], max(1, round(_FRAME_S * sample_rate)))
    count = samples.shape[1] // size
    frames = samples[:, : count * size].astype(np.float64).reshape(len(samples), count, size)
    power = np.square(frames).mean(axis=(0, 2))
    return ClipFacts(
        duration=samples.shape[1] / sample_rate,
        sample_rate=sample_rate,
        channels=len(samples),
        peak=float(magnitudes.max()),
        lufs=level if math.isfinite(level) else None,
        silent_fraction=float((power < _QUIET_RMS**2).mean()),
        clipped_fraction=float((magnitudes >= CLIPPED_LEVEL).mean()),
        tags={name: str(tags[name]) for name in REQUEST_TAGS if name in tags},
    )


def as_dict(facts: ClipFacts) -> dict[str, Any]:
    """Return facts as plain values."""
    return asdict(facts)


def summarize(facts: Sequence[ClipFacts]) -> dict[str, Level]:
    """Return mean, least and greatest value of every number, over all clips.

    Args:
        facts: of one clip or more.
    """
    numbers: dict[str, list[float]] = {
        "duration_s": [each.duration for each in facts],
        "sample_rate_hz": [each.sample_rate for each in facts],
        "channels": [each.channels for each in facts],
        "peak": [each.peak for each in facts],
        "loudness_lufs": [each.lufs for each in facts if each.lufs is not None],
        "silent_frames": [each.silent_fraction for each in facts],
        "clipped_samples": [each.clipped_fraction for each in facts],
        "silent_clips": [float(each.is_silent) for each in facts],
    }
    summary = {}
    for name, values in numbers.items():
        if values:
            summary[name] = Level(
                mean=float(np.mean(values)),
                least=float(np.min(values)),
                greatest=float(np.max(values)),
            )
    return summary
