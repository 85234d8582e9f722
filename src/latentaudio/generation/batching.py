"""Expands requests into single clips and groups those that can be denoised together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice

from ..config.options import GenerationOptions
from .resolve import MAX_SEED, ResolvedRequest


def expand_candidates(request: ResolvedRequest) -> Iterator[ResolvedRequest]:
    """Yield one request for each candidate of each clip; candidate k has the request's seed + k."""
    options = request.options
    for k in range(options.num_waveforms * options.candidates):
        seed = (options.seed + k) % MAX_SEED
        yield request.with_options(seed=seed, num_waveforms=1, candidates=1)


def group_by_settings(
    requests: Sequence[ResolvedRequest], batch_size: int
) -> Iterator[list[ResolvedRequest]]:
    """Yield neighbors that differ in prompt, negative prompt and seed only, `batch_size` at most.

    A request without words is not grouped with one that has words.
    """
    for _, group in groupby(requests, _shared_settings):
        while batch := list(islice(group, batch_size)):
            yield batch


def _shared_settings(request: ResolvedRequest) -> GenerationOptions:
    options = request.options
    has_words = bool(options.prompt.strip() or options.timeline)
    shared = {"prompt": "-" if has_words else "~", "negative_prompt": "", "seed": 0}
    return options.model_copy(update=shared)
