"""`latentaudio transfer`: a clip turned into the sound of a prompt."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..config.edits import TransferOptions
from .clips import edit_clip
from .flags import ALL, EDIT, EditFlags, OutputFlags, RuntimeFlags, SourceArgument, describe


def transfer(
    audio: SourceArgument,
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
