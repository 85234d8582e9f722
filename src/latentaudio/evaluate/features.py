"""Features of clips: what a backbone computes, and sets of it that metrics read.

Letters: W windows of a clip, E size of an embedding, K classes, N clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.floating]
PointKind = Literal["clips", "windows"]
"""One point of a distribution: the mean over a clip's windows, or each window."""

MAX_MAGNITUDE = 1e20
"""Greatest value of a feature. The sixth power of larger ones, which a kernel needs, overflows."""


@dataclass(frozen=True)
class ClipFeatures:
    """Output of a backbone for one clip.

    Attributes:
        embeddings: [W, E] float32.
        logits: [K] float32 of the whole clip; None if the backbone names no classes.
    """

    embeddings: Embeddings
    logits: Embeddings | None = None


def are_usable(values: Embeddings) -> bool:
    """Return whether all values are finite and small enough for every metric."""
    return bool((np.abs(values) <= MAX_MAGNITUDE).all())


@dataclass(frozen=True)
class FeatureSet:
    """The features of all clips of a folder, read one clip at a time.

    Attributes:
        names: name of each clip, which pairs it with a clip of another set.
        read: the features of the clip at an index.
        paths: audio files of the clips; () if only their features are known.
        max_means_bytes: most memory for the means of clips, which are kept once they are read. A
            larger set is read again for each pass.
    """

    names: Sequence[str]
    read: Callable[[int], ClipFeatures]
    paths: Sequence[Path] = ()
    max_means_bytes: int = 0
    _means: dict[int, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.names)

    def points(self, index: int, unit: PointKind) -> NDArray[np.float64]:
        """Return the points of one clip, [1, E] or [W, E], in float64."""
        if unit == "clips" and index in self._means:
            return self._means[index]
        embeddings: NDArray[np.float64] = np.asarray(self.read(index).embeddings, np.float64)
        if unit == "windows":
            return embeddings
        mean: NDArray[np.float64] = embeddings.mean(axis=0, keepdims=True)
        if len(self) * mean.nbytes <= self.max_means_bytes:
            self._means[index] = mean
        return mean

    def iterate(
        self, unit: PointKind, indices: Sequence[int] | None = None
    ) -> Iterator[NDArray[np.float64]]:
        """Iterate over the points of clips, one array [1, E] or [W, E] each.

        Args:
            unit: the points of a clip.
            indices: which clips, in this order; None: all.
        """
        for index in range(len(self)) if indices is None else indices:
            yield self.points(index, unit)

    def logits(self, index: int) -> NDArray[np.float64]:
        """Return the logits [K] of one clip in float64."""
        logits = self.read(index).logits
        assert logits is not None, "this backbone names no classes"
        return np.asarray(logits, np.float64)


def feature_set(
    embeddings: Embeddings, logits: Embeddings | None = None, names: Sequence[str] | None = None
) -> FeatureSet:
    """Return the set of features in arrays, one row for each clip.

    Args:
        embeddings: [N, E].
        logits: [N, K], or None.
        names: names of the clips; None: the numbers of the rows.
    """

    def read(index: int) -> ClipFeatures:
        row = None if logits is None else np.asarray(logits[index])
        return ClipFeatures(np.asarray(embeddings[index : index + 1]), row)

    return FeatureSet(names or [str(row) for row in range(len(embeddings))], read)
