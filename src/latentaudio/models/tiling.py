"""Long inputs in chunks along time.

Overlapping chunks with crossfades, or chunks with margins, which is exact.

T positions in time, axis 2 of [B, C, T, ...].
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor


def window_starts(total: int, length: int, overlap: int) -> list[int]:
    """Return the starts of chunks that cover `total` evenly and overlap by at least `overlap`."""
    if total <= length:
        return [0]
    # rounded up: the smallest number that covers everything
    count = -(-(total - overlap) // (length - overlap))
    return [round(k * (total - length) / (count - 1)) for k in range(count)]


def crossfade_window(length: int, overlap: int, is_first: bool, is_last: bool) -> Tensor:
    """Return the weights [length] of a chunk.

    They are 1, with linear ramps over `overlap` where it has a neighbor.
    """
    rising = torch.arange(1, overlap + 1, dtype=torch.float32) / (overlap + 1)
    weight = torch.ones(length)
    if not is_first:
        weight[:overlap] = rising
    if not is_last:
        weight[-overlap:] = torch.minimum(weight[-overlap:], rising.flip(0))
    return weight


def apply_overlapping(
    fn: Callable[[Tensor], Tensor], x: Tensor, length: int, overlap: int
) -> Tensor:
    """Apply a function to overlapping chunks and crossfade the results.

    Args:
        fn: Called on each chunk [B, C, length, ...]; its result is a whole number of times as long.
        x: [B, C, T, ...].
        length: Of a chunk. If T fits, the result is fn(x).
        overlap: Of neighboring chunks, at least.

    Returns:
        The results, joined along time, float32.
    """
    starts = window_starts(x.shape[2], length, overlap)
    if len(starts) == 1:
        return fn(x)
    total: Tensor | None = None
    weights = torch.zeros(0)
    for start in starts:
        out = fn(x[:, :, start : start + length]).float()
        scale = out.shape[2] // length
        if total is None:
            total = out.new_zeros(*out.shape[:2], x.shape[2] * scale, *out.shape[3:])
            weights = out.new_zeros(x.shape[2] * scale)
        is_last = start == starts[-1]
        weight = crossfade_window(out.shape[2], overlap * scale, start == 0, is_last)
        # linear ramps of neighbors add up to 1 where the overlap is even; the division below
        # corrects the rest
        weight = weight.to(out.device)
        position = slice(start * scale, (start + length) * scale)
        total[:, :, position] += out * weight.view(-1, *(1,) * (out.ndim - 3))
        weights[position] += weight
    assert total is not None
    return total / weights.view(-1, *(1,) * (total.ndim - 3))


def apply_chunked(
    fn: Callable[[Tensor], Tensor], x: Tensor, length: int, margin: int, scale: int
) -> Tensor:
    """Apply a function of limited reach to chunks, and drop a margin at every cut.

    The result equals fn(x) if `fn` depends on at most `margin` positions to either side. All chunks
    have the same shape, as few and as short as possible: oneDNN compiles kernels for each new
    shape, which takes time and memory.

    Args:
        fn: Called on each chunk [B, C, n, ...]; its result is `scale` times as long, plus a
            constant rest.
        x: [B, C, T, ...].
        length: Of a chunk, at most; more than two margins.
        margin: Positions to drop beside each cut.
        scale: Output positions per input position.

    Returns:
        The results, joined along time.
    """
    assert length > 2 * margin, f"a chunk of {length} does not exceed its two margins of {margin}"
    total = x.shape[2]
    count = len(window_starts(total, length, 2 * margin))
    length = -(-(total + (count - 1) * 2 * margin) // count)
    starts = window_starts(total, length, 2 * margin)
    # each chunk supplies the outputs between two cuts
    cuts = [0, *(start + margin for start in starts[1:]), total]
    result: Tensor | None = None
    for start, (begin, end) in zip(starts, pairwise(cuts), strict=True):
        out = fn(x[:, :, start : start + length])
        if result is None:
            rest = out.shape[2] - length * scale
            result = out.new_empty(*out.shape[:2], total * scale + rest, *out.shape[3:])
        if end == total:  # the last chunk keeps its rest
            result[:, :, begin * scale :] = out[:, :, (begin - start) * scale :]
        else:
            chunk = out[:, :, (begin - start) * scale : (end - start) * scale]
            result[:, :, begin * scale : end * scale] = chunk
    assert result is not None
    return result
