"""Random crops of audio files, reproducible by seed and position.

Batch N is a pure function of its number and the seed. A resumed run therefore needs no state of
the data loader.

Shapes: B batch, T samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..audio.ops import resample
from ..errors import DataError
from .clip import Clip
from .stored_sound import open_sound


@lru_cache(maxsize=4)  # a batch may span two epochs; permutations of large data sets are slow
def _epoch_order(num_items: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(num_items)


def batch_indices(num_items: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Return the indices of the items in one batch.

    Every epoch is a new permutation of all items. Batches are consecutive runs of the permutations,
    so a batch may span two epochs.

    Args:
        num_items: Number of items in the data set.
        batch_size: Number of items in a batch.
        seed: Seed of the permutations.
        step: Number of the batch, from 0.
    """
    indices = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, index = divmod(position, num_items)
        indices.append(int(_epoch_order(num_items, seed, epoch)[index]))
    return indices


def seeded_generator(seed: int, *key: int) -> torch.Generator:
    """Return a CPU generator for one place in a run.

    Args:
        seed: Seed of the run.
        *key: Numbers that name the place, for example a `Stream` and a position.
    """
    words = np.random.SeedSequence([seed, *key]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


def read_crop(
    clip: Clip, sample_rate: int, num_samples: int, generator: torch.Generator
) -> np.ndarray:
    """Read a random crop of a clip as mono float32 samples [T].

    A clip that is shorter than the crop is padded with zeros at its end.

    Args:
        clip: Clip to read.
        sample_rate: Sample rate of the result in Hz.
        num_samples: Length T of the result.
        generator: Source of the crop's position.

    Raises:
        DataError: The file cannot be read, or its sample rate is not that of the manifest.
    """
    num_source_samples = _num_source_samples(clip, sample_rate, num_samples)
    last_start = max(0, clip.num_samples - num_source_samples)
    start = int(torch.randint(last_start + 1, (1,), generator=generator))
    return read_window(clip, sample_rate, num_samples, start)


def _num_source_samples(clip: Clip, sample_rate: int, num_samples: int) -> int:
    """Samples of the clip that make so many samples of another rate."""
    if clip.sample_rate == sample_rate:
        return num_samples
    return int(np.ceil(num_samples * clip.sample_rate / sample_rate))


def read_window(clip: Clip, sample_rate: int, num_samples: int, start: int) -> np.ndarray:
    """Read a part of a clip as mono float32 samples [T], with zeros where the clip has ended.

    Args:
        clip: Clip to read.
        sample_rate: Sample rate of the result in Hz.
        num_samples: Length T of the result.
        start: First sample, at the clip's own rate.

    Raises:
        DataError: The file cannot be read, or its sample rate is not that of the manifest.
    """
    num_source_samples = _num_source_samples(clip, sample_rate, num_samples)
    samples = _read_part(clip, start, min(num_source_samples, clip.num_samples))
    if clip.sample_rate != sample_rate:
        samples = resample(samples, clip.sample_rate, sample_rate)
    window = np.zeros(num_samples, np.float32)
    window[: min(num_samples, len(samples))] = samples[:num_samples]
    return window


def _read_part(clip: Clip, start: int, num_samples: int) -> np.ndarray:
    """Mono samples of a part of a clip, at its own rate; fewer if the clip ends."""
    try:
        with open_sound(clip.path, clip.offset, clip.num_bytes) as sound:
            sample_rate = sound.samplerate
            sound.seek(start)
            channels = sound.read(num_samples, dtype="float32", always_2d=True)
    except DataError as error:
        raise DataError(
            f"cannot read {clip.label} as audio ({error}); "
            "replace the file or remove its line from the manifest"
        ) from None
    if sample_rate != clip.sample_rate:
        raise DataError(
            f"{clip.label} has {sample_rate} Hz but the manifest has {clip.sample_rate} Hz; "
            "correct the line or remove its rate"
        )
    mono: np.ndarray = channels.mean(axis=1)
    return mono


def read_crops(
    clips: Sequence[Clip],
    indices: Sequence[int],
    sample_rate: int,
    num_samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Read random crops of several clips as one batch [B, T] float32 in [-1, 1].

    Args:
        clips: Clips of the data set.
        indices: Index of each clip of the batch.
        sample_rate: Sample rate of the result in Hz.
        num_samples: Length T of every crop.
        generator: Source of the crops' positions, drawn in the order of `indices`.

    Raises:
        DataError: A file cannot be read, or its sample rate is not that of the manifest.
    """
    crops = [read_crop(clips[i], sample_rate, num_samples, generator) for i in indices]
    return torch.from_numpy(np.stack(crops))
