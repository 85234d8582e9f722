"""Features that somebody else has computed, from .npy files.

Letters: N clips, E size of an embedding, K classes.
"""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np

from ..errors import DataError, UsageError, first_line
from .features import MAX_MAGNITUDE, Embeddings, FeatureSet, are_usable, feature_set

_MAGIC = b"\x93NUMPY"
_CHECKED_ROWS = 4096  # at once


def read_feature_sets(
    embeddings: tuple[Path, Path] | None, logits: tuple[Path, Path] | None
) -> tuple[FeatureSet, FeatureSet]:
    """Return the sets of generated and reference clips. Row k of both files is a pair.

    Args:
        embeddings: files [N, E] of generated and of reference clips, or None.
        logits: files [N, K] of the same clips, or None.

    Raises:
        DataError: A file cannot be read, or its array has another shape or kind.
        UsageError: Two files do not fit each other, or none is named.
    """
    if embeddings is None and logits is None:
        raise UsageError("name two files with --embeddings or with --logits")
    columns: list[list[Embeddings]] = []
    for paths in (embeddings, logits):
        if paths is None:
            continue
        arrays = [read_array(path) for path in paths]
        if arrays[0].shape[1] != arrays[1].shape[1]:
            raise UsageError(
                f"{paths[0]} has {arrays[0].shape[1]} columns and {paths[1]} has "
                f"{arrays[1].shape[1]}; both must come from the same network"
            )
        columns.append(arrays)
    if embeddings is not None and logits is not None:
        for side in range(2):
            if len(columns[0][side]) != len(columns[1][side]):
                raise UsageError(
                    f"{embeddings[side]} has {len(columns[0][side])} rows and {logits[side]} has "
                    f"{len(columns[1][side])}; a row is a clip"
                )
    sides = []
    for side in range(2):
        of_side = columns[-1][side] if logits is not None else None
        sides.append(feature_set(columns[0][side], of_side))
    return sides[0], sides[1]


def read_array(path: Path) -> Embeddings:
    """Return an array [N, E] of finite numbers; it stays on the disk until it is used.

    Raises:
        DataError: It is no such file.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError("it does not begin as numpy.save writes it")
        array: Embeddings = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error}); check the name") from None
    except (
        ValueError, ArithmeticError, EOFError, LookupError, MemoryError, RecursionError,
        SyntaxError, TokenError, TypeError,
    ) as error:  # fmt: skip
        raise DataError(f"{path} is no .npy file of numbers ({first_line(error)})") from None
    if array.ndim != 2 or array.dtype.kind != "f":
        raise DataError(
            f"{path} has shape {array.shape} and type {array.dtype}; "
            "it must have a row of decimal numbers for each clip"
        )
    if len(array) < 2 or array.shape[1] < 1:
        raise DataError(f"{path} has shape {array.shape}; two rows or more are needed")
    for start in range(0, len(array), _CHECKED_ROWS):
        if not are_usable(array[start : start + _CHECKED_ROWS]):
            raise DataError(
                f"{path} has values that are not finite or above {MAX_MAGNITUDE:g}; compute the "
                "features again"
            )
    return array
