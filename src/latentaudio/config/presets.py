"""How much time a clip is worth, in one word: bundles of settings that stand where nothing is said. Torch-free.

Knows values of `Options`. Refuses to know models, but for what a row of `variants` leaves to the preset. What each costs is
measured in benchmarks/presets.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .architecture import ModelConfig

PresetName: TypeAlias = Literal["paper", "quality", "balanced", "fast", "draft"]


@dataclass(frozen=True)
class Preset:
    """Its settings, and those that take their place in a system with a student."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    taught: Mapping[str, Any] = field(default_factory=dict)

    def of(self, config: ModelConfig, alone: bool = True) -> dict[str, Any]:
        """Its settings for a system of this shape; a student's only where nothing is asked that it cannot do (`alone`)."""
        return dict(
            self.taught if config.student is not None and self.taught and alone else self.settings
        )


_HALF = 0.76  # guidance until t = 240: below, it changes little (arXiv 2404.07724) and every step costs half
PRESETS: dict[PresetName, Preset] = {
    "paper": Preset({"sampler": "ddim", "steps": 200, "guidance_stop": 1.0}),
    "quality": Preset({"sampler": "dpm++", "steps": 25, "candidates": 1}),
    "balanced": Preset({"sampler": "dpm++", "steps": 15, "guidance_stop": _HALF, "candidates": 1}),
    "fast": Preset(
        {"sampler": "dpm++", "steps": 10, "guidance_stop": _HALF, "reuse": 2, "candidates": 1}
    ),
    "draft": Preset(
        {"sampler": "dpm++", "steps": 6, "guidance_stop": _HALF, "reuse": 2, "candidates": 1},
        {"sampler": "leaps", "candidates": 1},
    ),
}
