"""`latentaudio extend`: generated audio before and after a clip."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..config.edits import ExtendOptions
from .clips import edit_clip
from .flags import ALL, EDIT, EditFlags, OutputFlags, RuntimeFlags, SourceArgument, describe


def extend(
    audio: SourceArgument,
    prompt: Annotated[
        str, Parameter(help="The sound of the new parts.", group=EDIT, show_default=False)
    ] = "",
    *,
    before: Annotated[float, describe(ExtendOptions, "before", EDIT)] = 0.0,
    after: Annotated[float, describe(ExtendOptions, "after", EDIT)] = 0.0,
    in_context: Annotated[
        bool | None,
        describe(ExtendOptions, "in_context", EDIT, negative="--no-in-context"),
    ] = None,
    options: Annotated[EditFlags, ALL] = EditFlags(),
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
) -> None:
    """Generate audio before or after a clip."""
    edit = ExtendOptions(before=before, after=after, in_context=in_context)
    edit_clip(audio, prompt, edit, options, output, runtime)
