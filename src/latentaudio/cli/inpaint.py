"""`latentaudio inpaint`: parts of a clip, regenerated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..config.option_table import EDIT_OPTIONS, NOT_FOR_EDITS
from ..errors import UsageError
from .edit import edit_clip
from .flags import EDIT, OutputFlags, RuntimeFlags, SourceArgument, describe, option_flags


@option_flags(before="output", hidden=NOT_FOR_EDITS)
def inpaint(
    audio: SourceArgument,
    prompt: Annotated[
        str, Parameter(help="The sound of the regenerated parts.", group=EDIT, show_default=False)
    ] = "",
    *,
    time: Annotated[
        list[str] | None,
        Parameter(
            help="Range in seconds, START:END, that is regenerated. May be given several times.",
            group=EDIT,
        ),
    ] = None,
    band: Annotated[
        list[str] | None,
        Parameter(
            help="Range in Hz, LOW:HIGH, that is regenerated. May be given several times. With "
            "--time, only inside those ranges.",
            group=EDIT,
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        Parameter(
            help="Image that covers the whole spectrogram as --plot draws it. White parts are "
            "regenerated. Left is the start; the bottom is 0 Hz, on the mel scale.",
            group=EDIT,
        ),
    ] = None,
    in_context: Annotated[
        bool | None,
        describe(EDIT_OPTIONS["in_context"], negative="--no-in-context"),
    ] = None,
    output: OutputFlags = OutputFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
    **options: Any,
) -> None:
    """Regenerate parts of a clip.

    The file is converted to mono and to the model's sample rate first. With --time, the rest of
    that stays bit-identical, except for 20 ms beside each range, unless post-processing is used.
    """
    from ..config.edits import InpaintOptions

    edit = InpaintOptions(
        time_ranges=_parse_ranges(time),
        frequency_ranges=_parse_ranges(band),
        mask=str(mask or ""),
        in_context=in_context,
    )
    edit_clip(audio, prompt, edit, options, output, runtime)


def _parse_ranges(texts: list[str] | None) -> tuple[tuple[float, float], ...]:
    """The two numbers of each START:END."""
    ranges = []
    for text in texts or ():
        try:
            start, end = (float(number) for number in text.split(":"))
        except ValueError:
            raise UsageError(f"{text!r} is not a range; write START:END, such as 1.0:2.5") from None
        ranges.append((start, end))
    return tuple(ranges)
