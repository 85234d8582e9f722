"""`latentaudio transfer`: a clip turned into the sound of a prompt."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ..config.option_table import EDIT_OPTIONS, NOT_FOR_EDITS
from .edit import edit_clip
from .flags import EDIT, OutputFlags, RuntimeFlags, SourceArgument, describe, option_flags


@option_flags(before="output", hidden=NOT_FOR_EDITS)
def transfer(
    audio: SourceArgument,
    prompt: Annotated[str, Parameter(help="The new sound, in English.", group=EDIT)],
    *,
    strength: Annotated[float, describe(EDIT_OPTIONS["transfer_strength"])] = 0.5,
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
    **options: Any,
) -> None:
    """Turn a clip into the sound that a prompt describes."""
    from ..config.edits import TransferOptions

    edit = TransferOptions(strength=strength)
    edit_clip(audio, prompt, edit, options, output, runtime)
