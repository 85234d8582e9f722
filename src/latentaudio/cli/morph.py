"""`latentaudio morph`: a clip that begins as one sound and ends as another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from . import console
from .flags import PROMPT, OutputFlags, RuntimeFlags, option_flags, reject_file_names
from .generate import run_requests


@option_flags(before="output", hidden={"transcript"})
def morph(
    first: Annotated[
        str, Parameter(help="The sound at the start: a prompt or an audio file.", group=PROMPT)
    ],
    second: Annotated[
        str, Parameter(help="The sound at the end: a prompt or an audio file.", group=PROMPT)
    ],
    *,
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
    **options: Any,
) -> None:
    """Generate a clip that begins as one sound and ends as another.

    The clip has 10 s by default, and the crossfade takes all of it.
    """
    from ..config.options import PromptCue
    from ..generation.timeline import is_audio, morph_request

    console.set_quiet(output.quiet)
    titles = []
    cues = []
    reject_file_names([item for item in (first, second) if not is_audio(item)], output.text)
    for item in (first, second):
        titles.append(Path(item).stem if is_audio(item) else item)
        cues.append(PromptCue(audio_prompt=item) if is_audio(item) else PromptCue(text=item))
    request = morph_request(cues[0], cues[1], options)
    run_requests([request], [" to ".join(titles)], output, runtime)
