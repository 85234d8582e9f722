"""The verbs that work on a given sound: `transfer`, `vary`, `inpaint`, `upsample`, `extend`, `loop`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..audio.io import info
from ..config.options import EditOptions, Options, Span
from ..editing.drawn_mask import pixels
from ..errors import UsageError
from . import console
from .generate import Flags, Way, keep, spoken
from .output_paths import targets


class Asking(Flags):
    """Options as flags, but for those that the sound itself answers."""

    seconds: Annotated[float, Parameter(parse=False)] = 5.0
    loop: Annotated[float, Parameter(parse=False)] = 0.0
    crossfade: Annotated[float, Parameter(parse=False)] = 1.0


def _spans(texts: list[str] | None) -> tuple[Span, ...]:
    """START:END each as two numbers."""
    spans = []
    for text in texts or ():
        try:
            first, last = (float(part) for part in text.split(":"))
        except ValueError:
            raise UsageError(f"{text!r} is no span; write START:END, such as 1.0:2.5") from None
        spans.append((first, last))
    return tuple(spans)


Asked = Annotated[Asking, Parameter(name="*", show_default=False)]


def transfer(
    sound: Path, prompt: str, *, strength: float = 0.5, options: Asked = Asking(), way: Way = Way()
) -> None:
    """Make a sound into what a prompt says.

    Parameters
    ----------
    sound
        The sound's file: WAV, FLAC, OGG, MP3 or Opus, of any rate.
    prompt
        What to hear instead.
    strength
        0 leaves it (through the model's codec), 1 makes another from nothing.
    """
    _made(sound, prompt, EditOptions(verb="transfer", strength=strength), options, way)


def vary(
    sound: Path,
    prompt: str = "",
    *,
    amount: float = 0.4,
    options: Asked = Asking(),
    way: Way = Way(),
) -> None:
    """Make sounds like a sound.

    Parameters
    ----------
    sound
        The sound's file.
    prompt
        What it is, if that helps.
    amount
        0 leaves it, 1 makes another from nothing.
    """
    _made(sound, prompt, EditOptions(verb="vary", strength=amount), options, way)


def inpaint(
    sound: Path,
    prompt: str = "",
    *,
    time: list[str] | None = None,
    band: list[str] | None = None,
    mask: Path | None = None,
    context: Annotated[bool | None, Parameter(negative="--no-context")] = None,
    options: Asked = Asking(),
    way: Way = Way(),
) -> None:
    """Make parts of a sound anew. Unfinished, the rest stays to the bit, but for 20 ms beside each span.

    Parameters
    ----------
    sound
        The sound's file.
    prompt
        What to hear there.
    time
        A span of seconds, START:END; may be given several times.
    band
        A band in Hz, LOW:HIGH; may be given several times. With spans: in those spans only.
    mask
        A picture over the whole sound, white where it is made anew: time from left to right, and from 0 Hz below to the
        model's highest frequency above on the mel scale, as --plot draws it.
    context
        The language of audio goes on from what the sound says, not from the prompt alone (--no-context). Default: where the
        model has an AudioMAE.
    """
    edit = EditOptions(
        verb="inpaint",
        times=_spans(time),
        bands=_spans(band),
        mask=str(mask or ""),
        context=context,
    )
    _made(sound, prompt, edit, options, way)


def upsample(
    sound: Path, prompt: str = "", *, cutoff: float, options: Asked = Asking(), way: Way = Way()
) -> None:
    """Give a sound the heights it lacks.

    Parameters
    ----------
    sound
        The sound's file.
    prompt
        What it is, if that helps.
    cutoff
        Hz, above which all is made anew; what lies below stays.
    """
    _made(sound, prompt, EditOptions(verb="upsample", cutoff=cutoff), options, way)


def extend(
    sound: Path,
    prompt: str = "",
    *,
    left: float = 0.0,
    right: float = 0.0,
    context: Annotated[bool | None, Parameter(negative="--no-context")] = None,
    options: Asked = Asking(),
    way: Way = Way(),
) -> None:
    """Make a sound longer, before or behind. Unfinished, it stays to the bit, but for 20 ms at its old ends.

    Parameters
    ----------
    sound
        The sound's file.
    prompt
        What to hear there.
    left
        Seconds to put before it.
    right
        Seconds to put behind it.
    context
        The language of audio goes on from what the sound says, not from the prompt alone (--no-context). Default: where the
        model has an AudioMAE.
    """
    _made(
        sound,
        prompt,
        EditOptions(verb="extend", left=left, right=right, context=context),
        options,
        way,
    )


def loop(
    sound: Path, prompt: str = "", *, seam: float = 1.0, options: Asked = Asking(), way: Way = Way()
) -> None:
    """Make a sound go round without a seam.

    Parameters
    ----------
    sound
        The sound's file.
    prompt
        What it is, if that helps.
    seam
        Seconds to make anew around the place where its end meets its beginning.
    """
    _made(sound, prompt, EditOptions(verb="loop", seam=seam), options, way)


def _made(sound: Path, prompt: str, edit: EditOptions, options: Options, way: Way) -> None:
    """The one walk of every verb here."""
    if way.quiet:
        warnings.simplefilter("ignore")
    wishes = spoken(options.model_dump(exclude_unset=True))
    name = f"{sound.stem} {edit.verb}"
    paths = targets(way.output, [name] * options.count, rate=options.rate)
    if way.output and Path(way.output).suffix:  # in a folder, names are new ones
        files = list(paths)
        drawn = [path.with_name(f"{path.name}.png") for path in files] * way.plot
        for given, what in ((sound, "the sound"), (Path(edit.mask), "the mask")):
            if given.is_file() and any(
                path.exists() and path.samefile(given) for path in [*files, *drawn]
            ):
                raise UsageError(
                    f"-o {way.output} would write over {what} itself; name another file"
                )
        paths = iter(files)
    info(sound)  # a sound that is none is told before a model is looked for
    if edit.mask:
        pixels(edit.mask)
    with console.bar(edit.verb, way.quiet or way.json) as tick:
        model = way.load(wishes.pop("model", options.model))
        for clip in model.edit(sound, edit, prompt, progress=tick, **wishes):
            keep(clip, next(paths), way.plot, way.json, way.quiet)
