"""`latentaudio super-resolve`: high frequencies for a clip that lacks them."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..config.edits import SuperResolveOptions
from .clips import edit_clip
from .flags import ALL, EDIT, EditFlags, OutputFlags, RuntimeFlags, SourceArgument, describe


def super_resolve(
    audio: SourceArgument,
    prompt: Annotated[
        str, Parameter(help="The sound of the clip, if that helps.", group=EDIT, show_default=False)
    ] = "",
    *,
    cutoff_hz: Annotated[float, describe(SuperResolveOptions, "cutoff_hz", EDIT)],
    options: Annotated[EditFlags, ALL] = EditFlags(),
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
) -> None:
    """Regenerate everything above a cutoff frequency (audio super-resolution)."""
    edit = SuperResolveOptions(cutoff_hz=cutoff_hz)
    edit_clip(audio, prompt, edit, options, output, runtime)
