"""Where a walk begins that was given a sound, and what it keeps of it. Refuses to know why.

Letters: B batch, C channels, T' F' latent grid.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..types import LatentEdit
from .samplers import PreStepHook, NoiseSource, keep_known_region
from .schedule import Schedule


def init_from_latent(
    edit: LatentEdit, z: Tensor, schedule: Schedule, times: Sequence[int], noise: NoiseSource
) -> tuple[Tensor, int, list[int], PreStepHook | None]:
    """(z to begin with, how many times to leave out, the times, what to do before each prediction) for noise z [B, C, T', F'].

    SDEdit (arXiv 2108.01073; AudioLDM, arXiv 2301.12503, section 3.4): the sound noised to `strength` of the whole way, which
    becomes a time of its own in the place of the one before it. At strength 1 that is noise alone, so that the outcome is what
    generating makes; at 0 nothing is left to do and z is the sound.
    """
    init, times, total = edit.init.to(z).expand_as(z), list(times), schedule.config.num_train_timesteps
    before = None if edit.mask is None else keep_known_region(init, edit.mask.to(z), schedule, noise)
    if edit.strength == 1.0:
        return z, 0, times, before
    first = round(edit.strength * total) - 1
    start = sum(t > first for t in times)
    if first < 0:
        return init, len(times), times, before
    if start > 0 and (start == len(times) or times[start] < first):
        start -= 1
        times[start] = first
    return (
        schedule.q_sample(init, z, z.new_full(z.shape[:1], times[start]).long()),
        start,
        times,
        before,
    )
