"""Facts about the samplers that validation and help need.

The functions are in `diffusion.samplers`. Torch-free.

To add a sampler: its name in `SamplerName`, one row in `SAMPLER_TRAITS`, and in
`diffusion/samplers.py` one function and one row in `SAMPLERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

SamplerName: TypeAlias = Literal["ddim", "dpm++", "lcm", "heun"]


@dataclass(frozen=True)
class SamplerTraits:
    """What a sampler can do and which network it needs.

    Attributes:
        uses_eta: Whether it takes `eta`, the amount of fresh noise per step.
        starts_from_audio: Whether it can begin between pure noise and a clip, as edits need.
        component: The network it runs: "unet", or "distilled_unet" with its own fixed timesteps,
            without guidance.
    """

    uses_eta: bool = False
    starts_from_audio: bool = True
    component: Literal["unet", "distilled_unet"] = "unet"

    @property
    def is_distilled(self) -> bool:
        """Whether it runs the distilled UNet: its own steps, one prompt, no guidance."""
        return self.component == "distilled_unet"


SAMPLER_TRAITS: dict[SamplerName, SamplerTraits] = {
    "ddim": SamplerTraits(uses_eta=True),
    "dpm++": SamplerTraits(),
    "lcm": SamplerTraits(starts_from_audio=False, component="distilled_unet"),
    "heun": SamplerTraits(),
}
"""One row for each sampler."""
