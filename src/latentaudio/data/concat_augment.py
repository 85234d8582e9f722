"""Concatenation augmentation: two pre-encoded clips, one after the other, as one training clip.

A corpus holds some thousands of clips with the relation "A, then B", and a network soon memorizes
them. Any two clips of equal length make another pair, as in Make-An-Audio 2 (arXiv 2305.18474).

Shapes: N pairs, C channels, T' F' latent frames and bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..config.streams import Stream
from .clip import Clip
from .dataset import batch_indices
from .pre_encoded import Bucket, PreEncodedDataset

CONJUNCTIONS = (
    "{a}, followed by {b}",
    "{a} and then {b}",
    "{a}, then {b}",
    "first {a}, then {b}",
    "{a}, and after that {b}",
    "{a} before {b}",
    "{b} after {a}",
    "after {a}, {b}",
    "after {a} there is {b}",
    "after {a} you can hear {b}",
    "after {a} follows {b}",
    "{a}; next, {b}",
    "{a}; {b} is next",
    "{a}, next up is {b}",
    "{a}; {b} follows",
    "{a}; then comes {b}",
    "in the beginning {a}, later {b}",
    "{a}; a moment later {b}",
    "once {a} is over, {b}",
    "{b}, but first {a}",
    "{a} to begin with, {b} to end with",
    "{a} comes first, {b} comes second",
    "{a} until {b}",
    "before {b}, {a}",
)
"""Captions of a pair in which clip a comes before clip b."""


def join_captions(first: str, second: str, conjunction: str) -> str:
    """Return one caption of two clips.

    Args:
        first: Caption of the first clip.
        second: Caption of the second clip.
        conjunction: One of `CONJUNCTIONS`.
    """
    return conjunction.format(a=_as_clause(first), b=_as_clause(second))


def _as_clause(caption: str) -> str:
    """Remove the full stop and the capital of a sentence."""
    caption = caption.rstrip(". ")
    return caption[:1].lower() + caption[1:]


class ConcatPairs:
    """Pairs of clips of equal length from a pre-encoded data set."""

    def __init__(self, dataset: PreEncodedDataset, clips: Mapping[int, Sequence[Clip]]) -> None:
        """Find the clips that may be paired.

        A clip whose manifest names a relation other than "alone" is a pair already and is left out.

        Args:
            dataset: The pre-encoded clips.
            clips: Clips of each bucket of `dataset`, by mel frames and in the order of the bucket.
        """
        self.dataset = dataset
        self.clips = clips
        self.single: dict[int, list[int]] = {}
        for num_frames, members in clips.items():
            self.single[num_frames] = [
                index
                for index, clip in enumerate(members)
                if clip.record.get("relation", "alone") == "alone"
            ]

    @property
    def lengths(self) -> list[int]:
        """Lengths of pairs in mel frames, limited to those that a bucket has."""
        return [b.num_frames for b in self.dataset.buckets if self.single.get(b.num_frames // 2)]

    def batch(
        self, seed: int, position: int, num_frames: int, num_pairs: int
    ) -> tuple[Tensor, list[str]] | None:
        """Return latents [N, C, T', F'] and captions of pairs, or None if no clip is half as long.

        The result is a pure function of the arguments.

        Args:
            seed: Seed of the run.
            position: Number of the batch.
            num_frames: Length of a pair in mel frames.
            num_pairs: Number N of pairs.
        """
        if num_frames not in self.lengths:
            return None
        half = self._bucket(num_frames // 2)
        single = self.single[half.num_frames]
        members = self.clips[half.num_frames]
        rng = np.random.default_rng([seed, Stream.CONCAT_PAIRS, position])
        # `seed + 1`: another permutation than that of the clips themselves.
        indices = batch_indices(len(single), 2 * num_pairs, seed + 1, position)
        chosen = [single[k] for k in rng.permutation(indices)]
        first, second = half.rows("latent", chosen).unflatten(0, (2, num_pairs))
        clauses = [str(rng.choice(members[i].captions)) for i in chosen]
        conjunctions = rng.choice(CONJUNCTIONS, num_pairs)
        captions = []
        for k, conjunction in enumerate(conjunctions):
            captions.append(join_captions(clauses[k], clauses[num_pairs + k], str(conjunction)))
        return torch.cat([first, second], dim=2), captions

    def _bucket(self, num_frames: int) -> Bucket:
        return next(b for b in self.dataset.buckets if b.num_frames == num_frames)
