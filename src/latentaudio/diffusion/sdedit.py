"""SDEdit: begin sampling from a noised clip instead of pure noise, and keep its masked part.

See arXiv 2108.01073.

B batch, C channels, T' F' latent grid.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..types import LatentEdit
from .sampling import NoiseSource, PreStepHook
from .schedule import Schedule


def init_from_latent(
    edit: LatentEdit, z: Tensor, schedule: Schedule, timesteps: Sequence[int], noise: NoiseSource
) -> tuple[Tensor, int, list[int], PreStepHook | None]:
    """Noise the edit's clip to its strength (AudioLDM, arXiv 2301.12503, section 3.4).

    Strength is the fraction of the noising that is redone. It becomes a timestep. The timestep just
    before it in the list is replaced by it. Strength 1 is pure noise, so the result equals that of
    generating. At strength 0 no step is left.

    Args:
        edit: The clip's latent, the strength, and the mask of what is generated.
        z: Pure noise [B, C, T', F'].
        schedule: The noise schedule.
        timesteps: The sampler's timesteps, noisiest first.
        noise: Source of the noise that the mask's hook draws at every step.

    Returns:
        The z to begin with, the number of timesteps to skip, the timesteps, and the sampler's
        `pre_step` hook or None.
    """
    init = edit.init.to(z).expand_as(z)
    times = list(timesteps)
    pre_step = None
    if edit.mask is not None:
        pre_step = keep_known_region(init, edit.mask.to(z), schedule, noise)
    if edit.strength == 1.0:
        return z, 0, times, pre_step
    # the timestep whose noise level is the strength
    first = round(edit.strength * schedule.config.num_train_timesteps) - 1
    if first < 0:
        return init, len(times), times, pre_step
    start = sum(t > first for t in times)
    # begin at exactly the strength, unless it already is one of the timesteps
    if start > 0 and (start == len(times) or times[start] < first):
        start -= 1
        times[start] = first
    t = z.new_full(z.shape[:1], times[start]).long()
    return schedule.q_sample(init, z, t), start, times, pre_step


def keep_known_region(
    x0: Tensor, mask: Tensor, schedule: Schedule, noise: NoiseSource
) -> PreStepHook:
    """Return the inpainting hook: (1 - m) q_sample(x0, t) + m z before every step.

    See arXiv 2301.12503, section 3.5.

    Args:
        x0: Clean latent [B, C, T', F'] of the source.
        mask: [1 or B, 1, T', F'], 1 where the sampler generates and 0 where the source stays.
        schedule: The noise schedule.
        noise: Source of the noise that is drawn at every step (numerics: editing masks).

    Returns:
        A hook for a sampler's `pre_step`.
    """

    def pre_step(z: Tensor, t: Tensor) -> Tensor:
        # new noise at every step, drawn before the prediction
        return (1 - mask) * schedule.q_sample(x0, noise(z.shape[1:]).to(z), t) + mask * z

    return pre_step
