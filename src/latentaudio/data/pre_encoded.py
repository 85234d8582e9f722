"""Latents and conditions on disk, so that diffusion trains without decoding a sound or reading a word twice.

Knows the layout: `index.json` and per clip length one `frames_<n>.safetensors`, memory-mapped (beside them
`written_<fingerprint>.safetensors`, see `write`). Refuses to know the networks that made it (see `train.encode`).

Letters: N clips, K captions a clip, C T' F' latent, n D language of audio, W text states in a row, P CLAP width.
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

from ..errors import DataError
from .dataset import dice, draw

INDEX = "index.json"


@dataclass(frozen=True)
class Bucket:
    """Clips of one length: mel frames, how many, and the memory-mapped arrays."""

    frames: int
    count: int
    arrays: dict[str, Tensor]

    def rows(self, name: str, indices: list[int]) -> Tensor:
        """Rows of one array in float32, [B, ...]."""
        return self.arrays[name][indices].float()


class Encoded:
    """An encoded folder: clips by length, to be drawn in batches of one length."""

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{folder} holds no {INDEX}; it is not an encoded data set") from None
        self.buckets = [
            Bucket(b["frames"], b["count"], load_file(folder / f"frames_{b['frames']}.safetensors"))
            for b in index["buckets"]
        ]
        self.captions: int = index["captions"]

    def batch(self, seed: int, position: int, frames: int) -> dict[str, Tensor]:
        """Batch number `position`, a pure function of its arguments, of clips of one length whose frames add up to `frames`.

        Each length comes by chance and takes clips of its permutation from there on: all come up, though not equally often.

        latent [B, C, T', F'] unit-scaled; where encoded: loa [B, n, D], clap_audio [B, P]; of one caption a clip: clap_text
        [B, P], text [B, W, D] and text_mask [B, W], zero-padded to the longest.
        """
        total = np.array([b.count * b.frames for b in self.buckets], float)
        lot = np.random.default_rng([seed, 7, position])
        bucket = self.buckets[int(lot.choice(len(self.buckets), p=total / total.sum()))]
        size = max(1, frames // bucket.frames)
        indices = draw(bucket.count, size, seed, position)
        out: dict[str, Tensor] = {
            name: bucket.rows(name, indices)
            for name in ("latent", "loa", "clap_audio")
            if name in bucket.arrays
        }
        which = torch.randint(
            self.captions, (len(indices),), generator=dice(seed, 8, position)
        ).tolist()
        return out | self._words(
            bucket, [self.captions * i + k for i, k in zip(indices, which, strict=True)]
        )

    def write(
        self,
        make: Callable[[dict[str, Tensor], int], Tensor],
        progress: Callable[[int, int], None],
        size: int = 256,
    ) -> dict[str, Tensor]:
        """Something for every caption: make(words, n) -> [B, n, D], kept by mel frames for `take`. progress(done, total)."""
        written, done, total = {}, 0, self.captions * sum(bucket.count for bucket in self.buckets)
        for bucket in self.buckets:
            count, tokens, parts = bucket.count * self.captions, bucket.arrays["loa"].shape[1], []
            for start in range(0, count, size):
                rows = list(range(start, min(start + size, count)))
                parts.append(make(self._words(bucket, rows), tokens).half())
                done += len(rows)
                progress(done, total)
            written[str(bucket.frames)] = torch.cat(parts)
        return written

    def take(self, written: dict[str, Tensor]) -> None:
        """Hand out what `write` made: in the batches as `written` from now on."""
        for bucket in self.buckets:
            bucket.arrays["written"] = written[str(bucket.frames)]

    def _words(self, bucket: Bucket, rows: list[int]) -> dict[str, Tensor]:
        """What is kept of captions `rows`."""
        out: dict[str, Tensor] = {
            name: bucket.rows(name, rows)
            for name in ("clap_text", "written")
            if name in bucket.arrays
        }
        if "text" in bucket.arrays:
            out["text"], out["text_mask"] = self._texts(bucket, rows)
        return out

    @staticmethod
    def _texts(bucket: Bucket, rows: list[int]) -> tuple[Tensor, Tensor]:
        ends, states = bucket.arrays["text_ends"], bucket.arrays["text"]
        spans = [(int(ends[r - 1]) if r else 0, int(ends[r])) for r in rows]
        found = [states[a:b].float() for a, b in spans]
        longest = max(len(f) for f in found)
        padded = torch.stack(
            [torch.nn.functional.pad(f, (0, 0, 0, longest - len(f))) for f in found]
        )
        return padded, torch.tensor([[1.0] * len(f) + [0.0] * (longest - len(f)) for f in found])
