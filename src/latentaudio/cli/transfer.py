"""`latentaudio transfer`: a clip turned into the sound of a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..config.edits import TransferOptions
from .clips import edit_clip
from .flags import ALL, EDIT, EditFlags, OutputFlags, RuntimeFlags, describe


def transfer(
    audio: Annotated[
        Path, Parameter(help="Audio file, of any sample rate and number of channels.", group=EDIT)
    ],
    prompt: Annotated[str, Parameter(help="The new sound, in English.", group=EDIT)],
    *,
    strength: Annotated[float, describe(TransferOptions, "strength", EDIT)] = 0.5,
    options: Annotated[EditFlags, ALL] = EditFlags(),
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
) -> None:
    """Turn a clip into the sound that a prompt describes."""
    edit = TransferOptions(strength=strength)
    edit_clip(audio, prompt, edit, options, output, runtime)
