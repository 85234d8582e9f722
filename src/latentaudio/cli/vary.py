"""`latentaudio vary`: variations of a clip."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..config.edits import VaryOptions
from .clips import edit_clip
from .flags import ALL, EDIT, EditFlags, OutputFlags, RuntimeFlags, SourceArgument, describe


def vary(
    audio: SourceArgument,
    prompt: Annotated[
        str, Parameter(help="The sound of the clip, if that helps.", group=EDIT, show_default=False)
    ] = "",
    *,
    strength: Annotated[float, describe(VaryOptions, "strength", EDIT)] = 0.4,
    options: Annotated[EditFlags, ALL] = EditFlags(),
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
) -> None:
    """Generate variations of a clip."""
    edit = VaryOptions(strength=strength)
    edit_clip(audio, prompt, edit, options, output, runtime)
