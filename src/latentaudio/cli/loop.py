"""`latentaudio loop`: a clip that repeats without a seam."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..config.edits import LoopOptions
from .clips import edit_clip
from .flags import ALL, EDIT, EditFlags, OutputFlags, RuntimeFlags, SourceArgument, describe


def loop(
    audio: SourceArgument,
    prompt: Annotated[
        str, Parameter(help="The sound of the clip, if that helps.", group=EDIT, show_default=False)
    ] = "",
    *,
    seam_duration: Annotated[float, describe(LoopOptions, "seam_duration", EDIT)] = 1.0,
    options: Annotated[EditFlags, ALL] = EditFlags(),
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
) -> None:
    """Make a clip repeat without an audible seam."""
    edit = LoopOptions(seam_duration=seam_duration)
    edit_clip(audio, prompt, edit, options, output, runtime)
