"""`latentaudio loop`: a clip that repeats without a seam."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ..config.option_table import EDIT_OPTIONS, NOT_FOR_EDITS
from .edit import edit_clip
from .flags import EDIT, OutputFlags, RuntimeFlags, SourceArgument, describe, option_flags


@option_flags(before="output", hidden=NOT_FOR_EDITS)
def loop(
    audio: SourceArgument,
    prompt: Annotated[
        str, Parameter(help="The sound of the clip, if that helps.", group=EDIT, show_default=False)
    ] = "",
    *,
    loop_seam: Annotated[float, describe(EDIT_OPTIONS["loop_seam"])] = 1.0,
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
    **options: Any,
) -> None:
    """Make a clip repeat without an audible seam."""
    from ..config.edits import LoopOptions

    edit = LoopOptions(loop_seam=loop_seam)
    edit_clip(audio, prompt, edit, options, output, runtime)
