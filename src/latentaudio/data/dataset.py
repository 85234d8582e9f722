"""Samples on demand, deterministic in seed and position: what step N sees never depends on what ran before it.

Knows clips and dice. Refuses to know models; features are made by the stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import soundfile
import torch
from torch import Tensor

from ..audio.ops import resample
from ..errors import DataError
from .manifest import Clip


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


def draw(count: int, size: int, seed: int, step: int) -> list[int]:
    """Indices of batch `step`: epochs are permutations of all `count` items, cut into runs of `size` without gaps."""
    positions = range(step * size, (step + 1) * size)
    return [int(_order(count, seed, p // count)[p % count]) for p in positions]


def dice(seed: int, *position: int) -> torch.Generator:
    """A CPU generator of its own for one place in a run (seed, step, ...)."""
    key = np.random.SeedSequence([seed, *position]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(key[0]) << 31 | int(key[1]) >> 1)


def read_crop(clip: Clip, rate: int, samples: int, generator: torch.Generator) -> np.ndarray:
    """`samples` mono samples [T] float32 at `rate` from a random place of the clip; a shorter clip gets zeros at its end."""
    native = samples if clip.rate == rate else int(np.ceil(samples * clip.rate / rate))
    room = max(0, clip.samples - native)
    start = int(torch.randint(room + 1, (1,), generator=generator))
    try:
        data, found = soundfile.read(
            clip.path,
            frames=min(native, clip.samples),
            start=start,
            dtype="float32",
            always_2d=True,
        )
    except (soundfile.SoundFileError, OSError) as problem:
        raise DataError(
            f"{clip.path} cannot be read as sound ({problem}); remove its line or replace the file"
        ) from None
    if found != clip.rate:
        raise DataError(
            f"{clip.path} has {found} Hz, its line says {clip.rate}; correct the line or leave its rate out"
        )
    sound = data.mean(axis=1)
    if clip.rate != rate:
        sound = resample(sound, clip.rate, rate)
    out = np.zeros(samples, np.float32)
    out[: min(samples, len(sound))] = sound[:samples]
    return out


def crops(
    clips: Sequence[Clip],
    indices: Sequence[int],
    rate: int,
    samples: int,
    generator: torch.Generator,
) -> Tensor:
    """A batch of crops, [B, T] float32 in [-1, 1]."""
    return torch.from_numpy(
        np.stack([read_crop(clips[i], rate, samples, generator) for i in indices])
    )
