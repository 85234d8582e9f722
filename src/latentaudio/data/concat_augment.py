"""Two encoded clips, one after the other, as one: pairs made while a stage trains, hardly any of them twice.

A corpus holds some thousands of "this, then that", which are soon known by heart. Any two clips make another, as
Make-An-Audio 2 augments its data (arXiv 2305.18474). Knows latents and how captions are linked. Refuses to know who reads
captions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from .dataset import draw
from .manifest import Clip
from .pre_encoded import Encoded

LINKS = (
    "{a}, followed by {b}", "{a} and then {b}", "{a}, then {b}", "first {a}, then {b}", "{a}, and after that {b}",
    "{a} before {b}", "{b} after {a}", "after {a}, {b}", "after {a} there is {b}", "after {a} you can hear {b}",
    "{a}; next, {b}", "{a}; {b} is next", "{a}, next up is {b}", "{a}; {b} follows", "{a}; a moment later {b}",
    "once {a} is over, {b}", "{b}, but first {a}", "{a} to begin with, {b} to end with", "{a} comes first, {b} comes second",
    "{a} until {b}", "before {b}, {a}",
)  # fmt: skip


def linked(first: str, second: str, link: str) -> str:
    """One caption of two, as clauses of one sentence: without full stops and capitals of their own."""
    a, b = (caption.rstrip(". ") for caption in (first, second))
    return link.format(a=a[:1].lower() + a[1:], b=b[:1].lower() + b[1:])


class Pairs:
    """Pairs of clips of one length, each of one sound, out of an encoded data set.

    clips: those of each bucket of `encoded`, by mel frames and in its order. One whose manifest says that it has a relation
    other than "alone" is a pair already, and left out.
    """

    def __init__(self, encoded: Encoded, clips: Mapping[int, Sequence[Clip]]) -> None:
        self.encoded, self.clips = encoded, clips
        self.single = {
            frames: [
                i
                for i, clip in enumerate(members)
                if clip.record.get("relation", "alone") == "alone"
            ]
            for frames, members in clips.items()
        }

    @property
    def lengths(self) -> list[int]:
        """Of how many mel frames pairs can be, where clips are as long already."""
        return [
            bucket.frames for bucket in self.encoded.buckets if self.single.get(bucket.frames // 2)
        ]

    def draw(
        self, seed: int, position: int, frames: int, count: int
    ) -> tuple[Tensor, list[str]] | None:
        """latent [count, C, T', F'] of `frames` mel frames and their captions, a pure function of the arguments.

        None where no clips are half as long.
        """
        if frames not in self.lengths:
            return None
        half = next(bucket for bucket in self.encoded.buckets if 2 * bucket.frames == frames)
        lot = np.random.default_rng([seed, 9, position])
        turns = draw(len(self.single[half.frames]), 2 * count, seed + 1, position)
        chosen = [self.single[half.frames][k] for k in lot.permutation(turns)]
        latents = half.rows("latent", chosen).unflatten(0, (2, count))
        said = [str(lot.choice(self.clips[half.frames][i].captions)) for i in chosen]
        links = lot.choice(LINKS, count)
        captions = [
            linked(a, b, str(link))
            for a, b, link in zip(said[:count], said[count:], links, strict=True)
        ]
        return torch.cat([latents[0], latents[1]], dim=2), captions
