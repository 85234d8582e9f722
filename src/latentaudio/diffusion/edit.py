"""Where a walk begins that was given a sound, and what it keeps of it. Refuses to know why.

Letters: B batch, C channels, T' F' latent grid.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..types import Edit
from .samplers import Before, NoiseSource, kept
from .schedule import Schedule


def begun(
    edit: Edit, z: Tensor, schedule: Schedule, times: Sequence[int], noise: NoiseSource
) -> tuple[Tensor, int, Before | None]:
    """(z to begin with, how many of `times` to leave out, what to do before each prediction) for noise z [B, C, T', F'].

    SDEdit (arXiv 2108.01073; AudioLDM, arXiv 2301.12503, section 3.4): the sound noised to the first time below `strength` of
    the whole way. At strength 1 that is noise alone, so that the outcome is what generating makes; at 0 nothing is left to do
    and z is the sound.
    """
    init = edit.init.to(z).expand_as(z)
    start = sum(t >= edit.strength * schedule.config.steps for t in times)
    if start == len(times):
        return init, start, None
    if start > 0:
        z = schedule.q_sample(init, z, z.new_full(z.shape[:1], times[start]).long())
    return z, start, None if edit.mask is None else kept(init, edit.mask.to(z), schedule, noise)
