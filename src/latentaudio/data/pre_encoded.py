"""Pre-encoded data sets: latents and encodings on disk, read in batches of one clip length.

Stages that train on latents would otherwise run the VAE and the encoders at every step. A data set
is a folder with `index.json` and one memory-mapped `frames_<n>.safetensors` per clip length of n
mel frames. `train.pre_encode` writes it.

The names of arrays say what they are:

- `latent`: one row per clip, the mode of the VAE's posterior
- `latent_logvar`: the logarithm of the posterior's variance
- `audio/<conditioner>.<part>`: one row per clip, encoded from its sound
- `caption/<conditioner>.<part>`: one row per caption
- `caption/<conditioner>.tokens` beside `.ends`: sequences of different lengths, in a row without
  padding, and the end of each. A batch has them padded, with a `.mask` in the place of `.ends`.

Shapes: B batch, N clips, K captions per clip, C channels, T' F' latent grid, W tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import pad

from ..config.parsing import parse_json, read_bounded
from ..config.streams import Stream
from ..errors import DataError, first_line
from .dataset import batch_indices, seeded_generator

INDEX_FILE = "index.json"
FORMAT_VERSION = 3
"""Raised when names or meaning of arrays change. Folders of another version are encoded again."""
LATENT = "latent"
LATENT_LOGVAR = "latent_logvar"
AUDIO_PREFIX = "audio/"
CAPTION_PREFIX = "caption/"
TOKENS = ".tokens"
_MASK = ".mask"
ENDS = ".ends"

Arrays = dict[str, Tensor]


def arrays_of(arrays: Mapping[str, Tensor], prefix: str) -> Arrays:
    """Return the arrays whose names begin with a prefix, by the rest of their names.

    Args:
        arrays: Arrays of a batch or of a file.
        prefix: `AUDIO_PREFIX` or `CAPTION_PREFIX`.
    """
    return {name[len(prefix) :]: rows for name, rows in arrays.items() if name.startswith(prefix)}


def pack_captions(arrays: Mapping[str, Tensor]) -> Arrays:
    """Return arrays of captions as they are stored: sequences without their padding.

    Args:
        arrays: Rows by "conditioner.part". A `.mask` is 1 for the first tokens of a row.
    """
    packed: Arrays = {}
    for name, rows in arrays.items():
        if name.endswith(_MASK):
            stem = CAPTION_PREFIX + name.removesuffix(_MASK)
            packed[stem + ENDS] = rows.sum(1).long().cumsum(0)
        elif name.endswith(TOKENS):
            mask = arrays[name.removesuffix(TOKENS) + _MASK]
            packed[CAPTION_PREFIX + name] = rows[mask > 0]
        else:
            packed[CAPTION_PREFIX + name] = rows
    return packed


def concatenate(parts: Sequence[Mapping[str, Tensor]]) -> Arrays:
    """Return the stored arrays of several groups of clips of one length as one.

    Args:
        parts: Arrays of each group, with the same names.
    """
    arrays: Arrays = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        if name.endswith(ENDS):
            offset = 0
            for index, ends in enumerate(columns):
                columns[index] = ends + offset
                offset += int(ends[-1])
        arrays[name] = torch.cat(columns)
    return arrays


@dataclass(frozen=True)
class Bucket:
    """Clips of one length.

    Attributes:
        num_frames: Length of every clip in mel frames.
        num_clips: Number N of clips.
        arrays: Memory-mapped arrays by name, with one row per clip or one per caption.
        repeats: How often an epoch has a clip, by its index, if it is not once.
    """

    num_frames: int
    num_clips: int
    arrays: Arrays
    repeats: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def num_items(self) -> int:
        """Number of clips in an epoch, with repeats."""
        return self.num_clips + sum(count - 1 for count in self.repeats.values())

    @cached_property
    def _item_clips(self) -> np.ndarray:
        """Index of the clip of each item of an epoch."""
        counts = np.ones(self.num_clips, np.int64)
        for index, count in self.repeats.items():
            counts[index] = count
        return np.repeat(np.arange(self.num_clips), counts)

    def batch_clips(self, batch_size: int, seed: int, position: int) -> list[int]:
        """Return the indices of the clips of one batch; see `batch_indices`.

        Args:
            batch_size: Number of clips.
            seed: Seed of the permutations.
            position: Number of the batch.
        """
        items = batch_indices(self.num_items, batch_size, seed, position)
        if not self.repeats:
            return items
        clips: list[int] = self._item_clips[items].tolist()
        return clips

    def rows(self, name: str, indices: list[int]) -> Tensor:
        """Return rows of one array as float32 [B, ...].

        Args:
            name: Name of the array.
            indices: Indices of the rows.
        """
        return self.arrays[name][indices].float()

    def clip_rows(self, indices: list[int]) -> Arrays:
        """Return everything that is stored per clip, but the variance of its latent.

        Args:
            indices: Indices of clips.
        """
        rows: Arrays = {}
        for name in self.arrays:
            if not name.startswith(CAPTION_PREFIX) and name != LATENT_LOGVAR:
                rows[name] = self.rows(name, indices)
        return rows

    def caption_rows(self, indices: list[int]) -> Arrays:
        """Return everything that is stored per caption.

        Args:
            indices: Indices of captions: caption k of clip i has index K i + k.
        """
        rows: Arrays = {}
        for name in self.arrays:
            if name.startswith(CAPTION_PREFIX) and not self._is_sequence(name):
                rows[name] = self.rows(name, indices)
        for stem in self._sequences():
            rows[stem + TOKENS], rows[stem + _MASK] = self._padded(stem, indices)
        return rows

    def select(self, clips: Sequence[int]) -> Arrays:
        """Return the stored arrays of some clips, in a new order and as they are in the file.

        Args:
            clips: Indices of clips.
        """
        captions: list[int] = []
        for clip in clips:
            captions += range(clip * self._num_captions, (clip + 1) * self._num_captions)
        arrays: Arrays = {}
        for name, rows in self.arrays.items():
            if not self._is_sequence(name):
                arrays[name] = rows[captions if name.startswith(CAPTION_PREFIX) else list(clips)]
        for stem in self._sequences():
            sequences = [self._sequence(stem, caption) for caption in captions]
            lengths = torch.tensor([len(sequence) for sequence in sequences])
            arrays[stem + TOKENS] = torch.cat(sequences)
            arrays[stem + ENDS] = lengths.cumsum(0)
        return arrays

    def check(self, captions_per_clip: int) -> None:
        """Raise ValueError unless every array has a row for each clip or caption.

        Args:
            captions_per_clip: Number K of captions of every clip.
        """
        num_captions = self.num_clips * captions_per_clip
        if LATENT not in self.arrays or self.arrays[LATENT].ndim != 4:
            raise ValueError("there are no latents")
        if not all(0 <= index < self.num_clips for index in self.repeats):
            raise ValueError("repeats of clips that do not exist")
        for name, rows in self.arrays.items():
            if name.endswith(ENDS):
                _check_ends(name, rows, self.arrays[name.removesuffix(ENDS) + TOKENS])
            if name.startswith(CAPTION_PREFIX):
                has_all = name.endswith(ENDS) or not self._is_sequence(name)
                num_rows = num_captions if has_all else len(rows)
            else:
                num_rows = self.num_clips
            if len(rows) != num_rows:
                raise ValueError(f"{name} has {len(rows)} rows, not {num_rows}")

    @property
    def _num_captions(self) -> int:
        """Captions per clip."""
        for name, rows in self.arrays.items():
            if name.startswith(CAPTION_PREFIX) and name.removesuffix(TOKENS) == name:
                return len(rows) // self.num_clips
        return 0

    def _is_sequence(self, name: str) -> bool:
        """Whether an array holds sequences, or their ends."""
        return name.endswith(ENDS) or name.removesuffix(TOKENS) + ENDS in self.arrays

    def _sequences(self) -> list[str]:
        """Names of the arrays of sequences, without ".tokens"."""
        return [name.removesuffix(ENDS) for name in self.arrays if name.endswith(ENDS)]

    def _sequence(self, stem: str, index: int) -> Tensor:
        """Tokens [W, D] of one caption."""
        ends = self.arrays[stem + ENDS]
        start = int(ends[index - 1]) if index else 0
        return self.arrays[stem + TOKENS][start : int(ends[index])]

    def _padded(self, stem: str, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Zero-padded tokens [B, W, D] of captions, and their mask [B, W]."""
        # stored without padding: tokens are the largest array
        states = [self._sequence(stem, index).float() for index in indices]
        max_length = max(1, *(len(s) for s in states))
        padded = torch.stack([pad(s, (0, 0, 0, max_length - len(s))) for s in states])
        mask = [[1.0] * len(s) + [0.0] * (max_length - len(s)) for s in states]
        return padded, torch.tensor(mask)


def _size(value: object) -> int:
    """Return a number of a file that counts something; ValueError if it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
        raise ValueError(f"{str(value)[:20]} is not a number of items")
    return value


def _check_ends(name: str, ends: Tensor, tokens: Tensor) -> None:
    """Raise ValueError unless the ends of sequences share the rows of `tokens`."""
    starts = pad(ends.long(), (1, 0)) if ends.ndim == 1 and len(ends) else None
    is_right = starts is not None and int(starts.diff().min()) >= 0 and tokens.ndim == 2
    if not is_right or int(ends[-1]) != len(tokens) or ends.is_floating_point():
        raise ValueError(f"{name} are not the ends of sequences")


class PreEncodedDataset:
    """A folder of pre-encoded clips, in buckets by length."""

    def __init__(self, folder: Path, sample_posterior: bool = False) -> None:
        """Open the data set.

        Args:
            folder: Folder that `train.pre_encode` wrote.
            sample_posterior: Whether batches have samples of the VAE's posterior, with other noise
                in each batch, instead of its mode.

        Raises:
            DataError: The folder is not a pre-encoded data set, is damaged or has another format.
        """
        advice = "remove the folder and start the training again"
        try:
            index = parse_json(read_bounded(folder / INDEX_FILE))
        except FileNotFoundError:
            raise DataError(
                f"{folder} has no {INDEX_FILE}, so it is not a pre-encoded data set; {advice}"
            ) from None
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder / INDEX_FILE} cannot be read ({first_line(error)}); {advice}"
            ) from None
        version = index.get("format", 1) if isinstance(index, dict) else 1
        if version != FORMAT_VERSION:
            raise DataError(
                f"{folder} holds encoded clips of format {version}, not {FORMAT_VERSION}; {advice}"
            )
        self.sample_posterior = sample_posterior
        self.buckets: list[Bucket] = []
        try:
            self.captions_per_clip = _size(index["captions"])
            for entry in index["buckets"]:
                num_frames = _size(entry["frames"])
                arrays = load_file(folder / f"frames_{num_frames}.safetensors")
                repeats = {int(i): _size(n) for i, n in entry.get("repeats", {}).items()}
                bucket = Bucket(num_frames, _size(entry["count"]), arrays, repeats)
                bucket.check(self.captions_per_clip)
                if sample_posterior and LATENT_LOGVAR not in arrays:
                    raise ValueError("there are no variances of latents")
                self.buckets.append(bucket)
            if not self.buckets:
                raise ValueError("there are none")
        except (
            OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError
        ) as error:  # fmt: skip
            raise DataError(
                f"the encoded clips of {folder} are damaged ({first_line(error)}); {advice}"
            ) from None

    def batch_rows(
        self, seed: int, position: int, frames_per_batch: int
    ) -> tuple[Bucket, list[int]]:
        """Return the bucket of a batch, and the rows of its clips in it; see `batch`.

        Args:
            seed: Seed of the run.
            position: Number of the batch.
            frames_per_batch: Mel frames of the batch in total.
        """
        total = np.array([b.num_items * b.num_frames for b in self.buckets], float)
        rng = np.random.default_rng([seed, Stream.BATCH_LENGTH, position])
        bucket = self.buckets[int(rng.choice(len(self.buckets), p=total / total.sum()))]
        batch_size = max(1, frames_per_batch // bucket.num_frames)
        return bucket, bucket.batch_clips(batch_size, seed, position)

    def batch(self, seed: int, position: int, frames_per_batch: int) -> Arrays:
        """Return a batch of clips of one length.

        The batch is a pure function of the arguments. The length is random, weighted by the total
        duration of its bucket. Clips come from permutations of the bucket, so all of them are used,
        though not equally often.

        Args:
            seed: Seed of the run.
            position: Number of the batch.
            frames_per_batch: Mel frames of the batch in total: short clips give larger batches.

        Returns:
            `latent` [B, C, T', F'], unit-scaled, see `sample_posterior`; every `audio/` array; of
            one random caption per clip, every `caption/` array, sequences zero-padded to the
            longest.
        """
        bucket, clips = self.batch_rows(seed, position, frames_per_batch)
        generator = seeded_generator(seed, Stream.CAPTION_CHOICE, position)
        choices = torch.randint(self.captions_per_clip, (len(clips),), generator=generator)
        captions = []
        for clip, choice in zip(clips, choices.tolist(), strict=True):
            captions.append(self.captions_per_clip * clip + choice)
        arrays = bucket.clip_rows(clips) | bucket.caption_rows(captions)
        if self.sample_posterior:
            generator = seeded_generator(seed, Stream.POSTERIOR_NOISE, position)
            noise = torch.randn(arrays[LATENT].shape, generator=generator)
            deviation = torch.exp(0.5 * bucket.rows(LATENT_LOGVAR, clips))
            arrays[LATENT] = arrays[LATENT] + deviation * noise
        return arrays

    def map_captions(
        self,
        function: Callable[[Arrays, Bucket], Tensor],
        progress: Callable[[int, int], None],
        batch_size: int = 256,
    ) -> Iterator[tuple[Bucket, Tensor]]:
        """Compute something from every caption of the data set, bucket by bucket.

        Args:
            function: (arrays of B captions, their bucket) -> rows [B, ...].
            progress: Called with (captions done, captions in all) after each batch.
            batch_size: Number B of captions per call.

        Yields:
            A bucket, and rows [B, ...] in half precision for its next captions.
        """
        num_done = 0
        total = self.captions_per_clip * sum(bucket.num_clips for bucket in self.buckets)
        for bucket in self.buckets:
            num_captions = bucket.num_clips * self.captions_per_clip
            for start in range(0, num_captions, batch_size):
                indices = list(range(start, min(start + batch_size, num_captions)))
                yield bucket, function(bucket.caption_rows(indices), bucket).half()
                num_done += len(indices)
                progress(num_done, total)

    def attach(self, name: str, rows: Arrays) -> None:
        """Add an array of captions to every batch from now on.

        Args:
            name: Name of the array, which begins with `CAPTION_PREFIX`.
            rows: Rows [N K, ...] by the bucket's mel frames.
        """
        for bucket in self.buckets:
            bucket.arrays[name] = rows[str(bucket.num_frames)]
