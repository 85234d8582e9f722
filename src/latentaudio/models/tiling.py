"""Long things a piece at a time, along time: pieces that overlap and are blended, or pieces cut with margins, exact.

Knows only shapes. Refuses to know what is done to a piece. Letters: T positions in time, axis 2 of [B, C, T, ...].
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor


def window_starts(total: int, length: int, overlap: int) -> list[int]:
    """Where pieces of `length` begin that cover `total` evenly and share at least `overlap` with the next."""
    if total <= length:
        return [0]
    count = -(-(total - overlap) // (length - overlap))
    return [round(k * (total - length) / (count - 1)) for k in range(count)]


def crossfade_window(length: int, overlap: int, first: bool, last: bool) -> Tensor:
    """Weights [length] of a piece: 1, but rising and falling over `overlap` where it has a neighbour before or behind it."""
    up = torch.arange(1, overlap + 1, dtype=torch.float32) / (overlap + 1)
    weight = torch.ones(length)
    if not first:
        weight[:overlap] = up
    if not last:
        weight[-overlap:] = torch.minimum(weight[-overlap:], up.flip(0))
    return weight


def apply_overlapping(work: Callable[[Tensor], Tensor], x: Tensor, length: int, overlap: int) -> Tensor:
    """work(x) of x [B, C, T, ...] with T beyond `length`: of overlapping pieces, faded into each other.

    What `work` makes of a piece is a whole number of times as long. Within `length` it is work(x) itself.
    """
    places = window_starts(x.shape[2], length, overlap)
    if len(places) == 1:
        return work(x)
    total: Tensor | None = None
    weights = torch.zeros(0)
    for place in places:
        made = work(x[:, :, place : place + length]).float()
        scale = made.shape[2] // length
        if total is None:
            total = made.new_zeros(*made.shape[:2], x.shape[2] * scale, *made.shape[3:])
            weights = made.new_zeros(x.shape[2] * scale)
        weight = crossfade_window(made.shape[2], overlap * scale, place == 0, place == places[-1]).to(
            made.device
        )
        here = slice(place * scale, (place + length) * scale)
        total[:, :, here] += made * weight.view(-1, *(1,) * (made.ndim - 3))
        weights[here] += weight
    assert total is not None
    return total / weights.view(-1, *(1,) * (total.ndim - 3))


def apply_chunked(
    work: Callable[[Tensor], Tensor], x: Tensor, length: int, margin: int, scale: int
) -> Tensor:
    """work(x) [B, C, scale T (+ a rest)] of x [B, C, T, ...], from as few equal pieces as are needed of at most `length`, more
    than two margins, of which what is nearer than `margin` to a cut is thrown away.

    The same as the whole where `work` reaches no further than `margin` to either side. All pieces are of one shape: for every
    new one oneDNN makes itself kernels, which takes time and memory.
    """
    assert length > 2 * margin, f"pieces of {length} are nothing but margins of {margin}"
    total, count = x.shape[2], len(window_starts(x.shape[2], length, 2 * margin))
    length = -(-(total + (count - 1) * 2 * margin) // count)
    places = window_starts(total, length, 2 * margin)
    cuts = [0, *(place + margin for place in places[1:]), total]
    whole: Tensor | None = None
    for place, (begin, end) in zip(places, pairwise(cuts), strict=True):
        made = work(x[:, :, place : place + length])
        if whole is None:
            whole = made.new_empty(
                *made.shape[:2], total * scale + made.shape[2] - length * scale, *made.shape[3:]
            )
        stop = None if end == total else end * scale
        whole[:, :, begin * scale : stop] = made[
            :, :, (begin - place) * scale : None if stop is None else stop - place * scale
        ]
    assert whole is not None
    return whole
