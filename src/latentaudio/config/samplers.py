"""The table of samplers. Torch-free: `diffusion.sampling` imports a sampler's file when it runs.

To add a sampler: one file in `diffusion/samplers/` and one row here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

Spacing: TypeAlias = Literal["leading", "trailing", "log_snr"]
"""How a sampler's timesteps are spread; see `diffusion.schedule.Schedule.timesteps`."""


@dataclass(frozen=True)
class SamplerSpec:
    """One sampler: where its function is, and the facts that validation and help need.

    Attributes:
        function: Name of its file in `diffusion/samplers/` and of the function in it.
        spacing: How its timesteps are spread. None: the distilled UNet's config lists them.
        purpose: When to choose it, in a few words for the help.
        uses_eta: Whether it takes `eta`, the amount of fresh noise per step.
        starts_from_audio: Whether it can begin between pure noise and a clip, as edits need.
        component: The network it runs: "unet", or "distilled_unet" with its own fixed timesteps,
            without guidance.
    """

    function: str
    spacing: Spacing | None
    purpose: str
    uses_eta: bool = False
    starts_from_audio: bool = True
    component: Literal["unet", "distilled_unet"] = "unet"

    @property
    def is_distilled(self) -> bool:
        """Whether it runs the distilled UNet: its own steps, one prompt, no guidance."""
        return self.component == "distilled_unet"


SAMPLERS: dict[str, SamplerSpec] = {
    "ddim": SamplerSpec("ddim", "leading", "as published", uses_eta=True),
    "dpm++": SamplerSpec("dpmpp_2m", "log_snr", "few steps"),
    "heun": SamplerSpec("heun", "log_snr", "slower, second order"),
    "distilled": SamplerSpec(
        "distilled",
        None,
        "with a distilled UNet",
        starts_from_audio=False,
        component="distilled_unet",
    ),
}
"""Every sampler by the name that users type, in the order of the help."""

if TYPE_CHECKING:
    SamplerName: TypeAlias = str
else:
    SamplerName = Literal[tuple(SAMPLERS)]
"""A key of `SAMPLERS`. Options and flags read the choices from it."""
