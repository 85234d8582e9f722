"""Determinism: the same seed gives the same samples, whatever else is generated beside it.

Letter: T samples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .report import Metric

Generate = Callable[[list[str], float, int], list[np.ndarray]]
"""(prompts, duration in seconds, seed) -> one clip [T] at 16 kHz each; clip k uses seed + k."""

_PROMPT = "a church bell ringing in the distance"
_NEIGHBOR_PROMPT = "rain on a roof"
_MAX_SEQUENTIAL_DIFFERENCE = 1e-5


def measure_determinism(
    generate: Generate, generate_batched: Generate | None, duration: float, seed: int
) -> list[Metric]:
    """Compare clips of the same prompt and seed, sample by sample.

    Args:
        generate: the model; prompts of a list may be computed one by one.
        generate_batched: the model in float32 with two prompts in one batch; None leaves it out.
        duration: duration of the clips in seconds.
        seed: seed of the clips.

    Returns:
        Maximum absolute differences: repeated, beside another prompt, in one batch with it.
    """
    # The prompt comes second in the pair and gets seed + 1 there; alone it needs that seed too.
    pair = [_NEIGHBOR_PROMPT, _PROMPT]
    single = generate([_PROMPT], duration, seed + 1)[0]
    repeated = generate([_PROMPT], duration, seed + 1)[0]
    second_of_pair = generate(pair, duration, seed)[1]
    metrics = [
        Metric(
            "determinism, max abs difference",
            _max_abs_difference(single, repeated),
            "",
            2,
            seed,
            target=0.0,
            lower_is_better=True,
        ),
        Metric(
            "batch invariance (sequential), max abs difference",
            _max_abs_difference(single, second_of_pair),
            "",
            2,
            seed,
            target=_MAX_SEQUENTIAL_DIFFERENCE,
            lower_is_better=True,
        ),
    ]
    if generate_batched is None:
        return metrics
    single = generate_batched([_PROMPT], duration, seed + 1)[0]
    second_of_batch = generate_batched(pair, duration, seed)[1]
    metrics.append(
        Metric(
            "batch invariance (batched), max abs difference",
            _max_abs_difference(single, second_of_batch),
            "",
            2,
            seed,
            lower_is_better=True,
            note="float32; on a CPU, prompts of a list are computed one by one",
        )
    )
    return metrics


def _max_abs_difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).max())
