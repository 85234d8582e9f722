"""`latentaudio vary`: variations of a clip."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ..config.option_table import EDIT_OPTIONS, NOT_FOR_EDITS
from .edit import edit_clip
from .flags import EDIT, OutputFlags, RuntimeFlags, SourceArgument, describe, option_flags


@option_flags(before="output", hidden=NOT_FOR_EDITS)
def vary(
    audio: SourceArgument,
    prompt: Annotated[
        str, Parameter(help="The sound of the clip, if that helps.", group=EDIT, show_default=False)
    ] = "",
    *,
    strength: Annotated[float, describe(EDIT_OPTIONS["vary_strength"])] = 0.4,
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
    **options: Any,
) -> None:
    """Generate variations of a clip."""
    from ..config.edits import VaryOptions

    edit = VaryOptions(strength=strength)
    edit_clip(audio, prompt, edit, options, output, runtime)
