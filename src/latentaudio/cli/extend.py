"""`latentaudio extend`: generated audio before and after a clip."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ..config.option_table import EDIT_OPTIONS, NOT_FOR_EDITS
from .edit import edit_clip
from .flags import EDIT, OutputFlags, RuntimeFlags, SourceArgument, describe, option_flags


@option_flags(before="output", hidden=NOT_FOR_EDITS)
def extend(
    audio: SourceArgument,
    prompt: Annotated[
        str, Parameter(help="The sound of the new parts.", group=EDIT, show_default=False)
    ] = "",
    *,
    before: Annotated[float, describe(EDIT_OPTIONS["before"])] = 0.0,
    after: Annotated[float, describe(EDIT_OPTIONS["after"])] = 0.0,
    in_context: Annotated[
        bool | None,
        describe(EDIT_OPTIONS["in_context"], negative="--no-in-context"),
    ] = None,
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
    **options: Any,
) -> None:
    """Generate audio before or after a clip."""
    from ..config.edits import ExtendOptions

    edit = ExtendOptions(before=before, after=after, in_context=in_context)
    edit_clip(audio, prompt, edit, options, output, runtime)
