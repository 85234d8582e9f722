"""Checks and plans an edit: what the sampler starts from, and what happens to what it generates.

`EDITS` maps the options of an edit to its file. A new edit is one class in `config/edits.py`, one
file in `editing/edits/` and one row here.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..audio.ops import SILENCE_PEAK
from ..codec import AudioCodec
from ..config.architecture import MelSpec
from ..config.edits import (
    AnyEdit,
    EditOptions,
    ExtendOptions,
    InpaintOptions,
    LoopOptions,
    SuperResolveOptions,
    TransferOptions,
    VaryOptions,
)
from ..errors import UsageError
from .base import EditPlan, EditSource
from .edits import extend, inpaint, loop, super_resolve, transfer
from .validation import validate_source_duration


class EditFile(Protocol):
    """A file of `editing/edits/`. `edit` has the class of its row."""

    def validate(self, edit: Any, source: EditSource, mel: MelSpec) -> None:
        """Raise `UsageError` if the edit does not fit the source or the model."""

    def plan(self, edit: Any, source: EditSource, codec: AudioCodec) -> EditPlan:
        """Return the plan of an edit that `validate` has accepted."""


EDITS: dict[type[EditOptions], EditFile] = {
    TransferOptions: transfer,
    VaryOptions: transfer,
    InpaintOptions: inpaint,
    SuperResolveOptions: super_resolve,
    ExtendOptions: extend,
    LoopOptions: loop,
}
"""Options of an edit -> its file."""


def output_length(edit: AnyEdit, num_samples: int, sample_rate: int) -> int:
    """Return how many samples an edit of `num_samples` samples gives."""
    return num_samples + sum(edit.added_samples(sample_rate))


def validate_edit(edit: AnyEdit, source: EditSource, mel: MelSpec) -> None:
    """Check that an edit fits a source and a model.

    Args:
        edit: The edit.
        source: The source at the model's sample rate.
        mel: Front end of the model, which gives its highest frequency.

    Raises:
        UsageError: A value does not fit. The message names it and its limits.
    """
    validate_source_duration(source.duration(mel.sample_rate))
    EDITS[type(edit)].validate(edit, source, mel)


def plan_edit(edit: AnyEdit, source: EditSource, codec: AudioCodec) -> EditPlan:
    """Plan an edit of a source.

    Args:
        edit: The edit; `validate_edit` has accepted it.
        source: The source at the model's sample rate.
        codec: Codec of the model.

    Returns:
        The plan.

    Raises:
        UsageError: The source is silent.
    """
    if np.abs(source.audio.samples).max(initial=0.0) < SILENCE_PEAK:
        raise UsageError("the source is silent, or its channels cancel out; choose another")
    return EDITS[type(edit)].plan(edit, source, codec)
