"""`latentaudio super-resolve`: high frequencies for a clip that lacks them."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ..config.option_table import EDIT_OPTIONS, NOT_FOR_EDITS
from .edit import edit_clip
from .flags import EDIT, OutputFlags, RuntimeFlags, SourceArgument, describe, option_flags


@option_flags(before="output", hidden=NOT_FOR_EDITS)
def super_resolve(
    audio: SourceArgument,
    prompt: Annotated[
        str, Parameter(help="The sound of the clip, if that helps.", group=EDIT, show_default=False)
    ] = "",
    *,
    cutoff_hz: Annotated[float, describe(EDIT_OPTIONS["cutoff_hz"])],
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
    **options: Any,
) -> None:
    """Regenerate everything above a cutoff frequency (audio super-resolution)."""
    from ..config.edits import SuperResolveOptions

    edit = SuperResolveOptions(cutoff_hz=cutoff_hz)
    edit_clip(audio, prompt, edit, options, output, runtime)
