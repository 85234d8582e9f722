"""Pre-encoded data sets: latents and text states on disk, read in batches of one clip length.

Stages that train on latents would otherwise run the VAE and the text encoders at every step.
A data set is a folder with `index.json` and one memory-mapped `frames_<n>.safetensors` per clip
length of n mel frames. `train.pre_encode` writes it.

Shapes: B batch, N clips, K captions per clip, C channels, T' F' latent grid, W text tokens, P CLAP
width. The language of audio has L tokens of width D.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import pad

from ..config.streams import Stream
from ..errors import DataError
from .dataset import batch_indices, seeded_generator

INDEX_FILE = "index.json"
_PER_CLIP = ("latent", "loa", "clap_audio")
_PER_CAPTION = ("clap_text", "generated_loa")


@dataclass(frozen=True)
class Bucket:
    """Clips of one length.

    Attributes:
        num_frames: Length of every clip in mel frames.
        num_clips: Number N of clips.
        arrays: Memory-mapped arrays by name, with one row per clip or one per caption.
    """

    num_frames: int
    num_clips: int
    arrays: dict[str, Tensor]

    def rows(self, name: str, indices: list[int]) -> Tensor:
        """Return rows of one array as float32 [B, ...].

        Args:
            name: Name of the array.
            indices: Indices of the rows.
        """
        return self.arrays[name][indices].float()

    def existing(self, names: tuple[str, ...], indices: list[int]) -> dict[str, Tensor]:
        """Return rows of those arrays that the bucket has.

        Args:
            names: Names of the arrays.
            indices: Indices of the rows, the same for every array.
        """
        return {name: self.rows(name, indices) for name in names if name in self.arrays}

    def caption_rows(self, indices: list[int]) -> dict[str, Tensor]:
        """Return everything that is stored per caption.

        Args:
            indices: Indices of captions: caption k of clip i has index K i + k.
        """
        rows = self.existing(_PER_CAPTION, indices)
        if "text" in self.arrays:
            rows["text"], rows["text_mask"] = self._text_states(indices)
        return rows

    def _text_states(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Return zero-padded text states [B, W, D] and their mask [B, W]."""
        # The states of all captions are stored in a row, without padding: they are the largest
        # array. `text_ends` holds the end of each caption.
        ends = self.arrays["text_ends"]
        states = []
        for index in indices:
            start = int(ends[index - 1]) if index else 0
            states.append(self.arrays["text"][start : int(ends[index])].float())
        max_length = max(len(s) for s in states)
        padded = torch.stack([pad(s, (0, 0, 0, max_length - len(s))) for s in states])
        mask = [[1.0] * len(s) + [0.0] * (max_length - len(s)) for s in states]
        return padded, torch.tensor(mask)


class PreEncodedDataset:
    """A folder of pre-encoded clips, in buckets by length."""

    def __init__(self, folder: Path) -> None:
        """Open the data set.

        Args:
            folder: Folder that `train.pre_encode` wrote.

        Raises:
            DataError: The folder is not a pre-encoded data set.
        """
        try:
            index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(
                f"{folder} has no {INDEX_FILE}, so it is not a pre-encoded data set; "
                "remove the folder and start the training again"
            ) from None
        self.captions_per_clip: int = index["captions"]
        self.buckets: list[Bucket] = []
        for entry in index["buckets"]:
            arrays = load_file(folder / f"frames_{entry['frames']}.safetensors")
            self.buckets.append(Bucket(entry["frames"], entry["count"], arrays))

    def batch(self, seed: int, position: int, frames_per_batch: int) -> dict[str, Tensor]:
        """Return a batch of clips of one length.

        The batch is a pure function of the arguments. The length is random, weighted by the total
        duration of its bucket. Clips come from permutations of the bucket, so all of them are used,
        though not equally often.

        Args:
            seed: Seed of the run.
            position: Number of the batch.
            frames_per_batch: Mel frames of the batch in total: short clips give larger batches.

        Returns:
            `latent` [B, C, T', F'], unit-scaled. The others are returned if they are stored.
            Of the audio: `loa` [B, L, D] and `clap_audio` [B, P]. Of one random caption per clip:
            `clap_text` [B, P], `generated_loa` [B, L, D], `text` [B, W, D] and `text_mask` [B, W].
            Text is zero-padded to the longest.
        """
        total = np.array([b.num_clips * b.num_frames for b in self.buckets], float)
        rng = np.random.default_rng([seed, Stream.BATCH_LENGTH, position])
        bucket = self.buckets[int(rng.choice(len(self.buckets), p=total / total.sum()))]
        batch_size = max(1, frames_per_batch // bucket.num_frames)
        clips = batch_indices(bucket.num_clips, batch_size, seed, position)
        generator = seeded_generator(seed, Stream.CAPTION_CHOICE, position)
        choices = torch.randint(self.captions_per_clip, (len(clips),), generator=generator)
        captions = []
        for clip, choice in zip(clips, choices.tolist(), strict=True):
            captions.append(self.captions_per_clip * clip + choice)
        return bucket.existing(_PER_CLIP, clips) | bucket.caption_rows(captions)

    def map_captions(
        self,
        function: Callable[[dict[str, Tensor], int], Tensor],
        progress: Callable[[int, int], None],
        batch_size: int = 256,
    ) -> dict[str, Tensor]:
        """Compute something from every caption of the data set.

        Args:
            function: (arrays of B captions, number L of tokens) -> [B, L, D].
            progress: Called with (captions done, captions in all) after each batch.
            batch_size: Number B of captions per call.

        Returns:
            Results [N K, L, D] in half precision, by the bucket's mel frames. See `attach`.
        """
        results = {}
        num_done = 0
        total = self.captions_per_clip * sum(bucket.num_clips for bucket in self.buckets)
        for bucket in self.buckets:
            num_captions = bucket.num_clips * self.captions_per_clip
            num_tokens = bucket.arrays["loa"].shape[1]
            chunks = []
            for start in range(0, num_captions, batch_size):
                indices = list(range(start, min(start + batch_size, num_captions)))
                chunks.append(function(bucket.caption_rows(indices), num_tokens).half())
                num_done += len(indices)
                progress(num_done, total)
            results[str(bucket.num_frames)] = torch.cat(chunks)
        return results

    def attach(self, generated_loa: dict[str, Tensor]) -> None:
        """Add `generated_loa` to every batch from now on.

        Args:
            generated_loa: Result of `map_captions`.
        """
        for bucket in self.buckets:
            bucket.arrays["generated_loa"] = generated_loa[str(bucket.num_frames)]
