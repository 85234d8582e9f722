"""Backbones of an evaluation: networks that turn clips into features, one row each.

To add a backbone, add a file with a `BackboneSpec` and a row to `BACKBONES`.
"""

from __future__ import annotations

from ...errors import UsageError
from . import (
    audiobox_aesthetics,
    clap,
    mini_audiomae,
    mini_classifier,
    panns,
    passt,
    vggish,
    yamnet,
)
from .base import BackboneSpec

_SPECS = (
    yamnet.SPEC,
    vggish.SPEC,
    *panns.SPECS,
    passt.SPEC,
    clap.SPEC,
    clap.SPEC_OF_MINI,
    mini_audiomae.SPEC,
    mini_classifier.SPEC,
    audiobox_aesthetics.SPEC,
)

BACKBONES: dict[str, BackboneSpec] = {spec.name: spec for spec in _SPECS}
"""Every backbone by name."""


def get_backbone(name: str) -> BackboneSpec:
    """Return a row of the table.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in BACKBONES:
        raise UsageError(f"there is no backbone {name!r}; choose one of {', '.join(BACKBONES)}")
    return BACKBONES[name]
