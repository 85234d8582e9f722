"""Named presets: sampler settings that apply where the caller sets none.

A preset trades quality for speed; benchmarks/mini.md measures what each one costs. Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .architecture import ModelConfig

PresetName: TypeAlias = Literal["paper", "quality", "balanced", "fast", "draft"]


@dataclass(frozen=True)
class Preset:
    """Values of some generation options.

    Attributes:
        settings: Option name to value.
        distilled_settings: The settings for a model that has a distilled UNet; empty: `settings`
            serve it too.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    distilled_settings: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self, config: ModelConfig, use_distilled: bool = True) -> dict[str, Any]:
        """Return the settings for one model.

        Args:
            config: The model's shapes.
            use_distilled: Whether the request allows a distilled UNet: it sets no sampler, steps,
                guidance or edit.
        """
        if use_distilled and config.distilled_unet is not None and self.distilled_settings:
            return dict(self.distilled_settings)
        return dict(self.settings)


GUIDANCE_STOP = 0.76
"""Progress, 0 to 1, at which the fast presets end guidance (t = 240 of 1000).

Later guidance changes little (arXiv 2404.07724), and every guided step costs twice as much.
"""

PRESETS: dict[PresetName, Preset] = {
    "paper": Preset({"sampler": "ddim", "steps": 200, "guidance_start": 0.0, "guidance_stop": 1.0}),
    "quality": Preset({"sampler": "dpm++", "steps": 25, "candidates": 1}),
    "balanced": Preset(
        {"sampler": "dpm++", "steps": 15, "guidance_stop": GUIDANCE_STOP, "candidates": 1}
    ),
    "fast": Preset(
        {
            "sampler": "dpm++",
            "steps": 10,
            "guidance_stop": GUIDANCE_STOP,
            "cache_interval": 2,
            "candidates": 1,
        }
    ),
    "draft": Preset(
        {
            "sampler": "dpm++",
            "steps": 6,
            "guidance_stop": GUIDANCE_STOP,
            "cache_interval": 2,
            "candidates": 1,
        },
        {"sampler": "distilled", "candidates": 1},
    ),
}
"""Every preset by its name, slowest first."""
