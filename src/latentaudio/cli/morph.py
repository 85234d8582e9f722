"""`latentaudio morph`: a clip that begins as one sound and ends as another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from . import console
from .clips import generate_clips
from .flags import ALL, PROMPT, MorphFlags, OutputFlags, RuntimeFlags, to_overrides


def morph(
    first: Annotated[
        str, Parameter(help="The sound at the start: a prompt or an audio file.", group=PROMPT)
    ],
    second: Annotated[
        str, Parameter(help="The sound at the end: a prompt or an audio file.", group=PROMPT)
    ],
    *,
    options: Annotated[MorphFlags, ALL] = MorphFlags(),
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
) -> None:
    """Generate a clip that begins as one sound and ends as another.

    The clip has 10 s by default, and the crossfade takes all of it.
    """
    from ..generation.timeline import DEFAULT_MORPH_DURATION_S, is_audio, morph_cues

    console.set_quiet(output.quiet)
    overrides = to_overrides(options)
    duration = overrides.setdefault("duration", DEFAULT_MORPH_DURATION_S)
    overrides.setdefault("crossfade", duration)
    overrides["timeline"] = morph_cues(first, second, duration)
    titles = [Path(item).stem if is_audio(item) else item for item in (first, second)]
    generate_clips(options.model, [""], [" to ".join(titles)], overrides, output, runtime)
