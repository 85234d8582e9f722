"""The verbs that work on a given sound: `transfer`, `vary`, `inpaint`, `upsample`, `extend`, `loop`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..audio.io import info
from ..config.edits import (
    AnyEdit,
    ExtendOptions,
    InpaintOptions,
    LoopOptions,
    SuperResolveOptions,
    TimeRange,
    TransferOptions,
    VaryOptions,
)
from ..config.options import GenerationOptions
from ..editing.drawn_mask import load_mask
from ..errors import UsageError
from . import console
from .generate import Flags, Way, keep, spoken
from .output_paths import targets


class Asking(Flags):
    """Options as flags, but for those that the sound itself answers."""

    duration: Annotated[float, Parameter(parse=False)] = 5.0
    loop_seam: Annotated[float, Parameter(parse=False)] = 0.0
    crossfade: Annotated[float, Parameter(parse=False)] = 1.0


def _spans(texts: list[str] | None) -> tuple[TimeRange, ...]:
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
    _made(sound, prompt, TransferOptions(strength=strength), options, way)


def vary(
    sound: Path,
    prompt: str = "",
    *,
    strength: float = 0.4,
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
    strength
        0 leaves it, 1 makes another from nothing.
    """
    _made(sound, prompt, VaryOptions(strength=strength), options, way)


def inpaint(
    sound: Path,
    prompt: str = "",
    *,
    time: list[str] | None = None,
    band: list[str] | None = None,
    mask: Path | None = None,
    in_context: Annotated[bool | None, Parameter(negative="--no-in-context")] = None,
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
    in_context
        The language of audio goes on from what the sound says, not from the prompt alone (--no-in-context). Default: where the
        model has an AudioMAE.
    """
    edit = InpaintOptions(
        time_ranges=_spans(time),
        frequency_ranges=_spans(band),
        mask=str(mask or ""),
        in_context=in_context,
    )
    _made(sound, prompt, edit, options, way)


def upsample(
    sound: Path, prompt: str = "", *, cutoff_hz: float, options: Asked = Asking(), way: Way = Way()
) -> None:
    """Give a sound the heights it lacks.

    Parameters
    ----------
    sound
        The sound's file.
    prompt
        What it is, if that helps.
    cutoff_hz
        Hz, above which all is made anew; what lies below stays.
    """
    _made(sound, prompt, SuperResolveOptions(cutoff_hz=cutoff_hz), options, way)


def extend(
    sound: Path,
    prompt: str = "",
    *,
    before: float = 0.0,
    after: float = 0.0,
    in_context: Annotated[bool | None, Parameter(negative="--no-in-context")] = None,
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
    before
        Seconds to put before it.
    after
        Seconds to put behind it.
    in_context
        The language of audio goes on from what the sound says, not from the prompt alone (--no-in-context). Default: where the
        model has an AudioMAE.
    """
    _made(
        sound,
        prompt,
        ExtendOptions(before=before, after=after, in_context=in_context),
        options,
        way,
    )


def loop(
    sound: Path, prompt: str = "", *, seam_duration: float = 1.0, options: Asked = Asking(), way: Way = Way()
) -> None:
    """Make a sound go round without a seam.

    Parameters
    ----------
    sound
        The sound's file.
    prompt
        What it is, if that helps.
    seam_duration
        Seconds to make anew around the place where its end meets its beginning.
    """
    _made(sound, prompt, LoopOptions(seam_duration=seam_duration), options, way)


def _made(sound: Path, prompt: str, edit: AnyEdit, options: GenerationOptions, way: Way) -> None:
    """The one walk of every verb here."""
    if way.quiet:
        warnings.simplefilter("ignore")
    wishes = spoken(options.model_dump(exclude_unset=True))
    mask = edit.mask if isinstance(edit, InpaintOptions) else ""
    name = f"{sound.stem} {edit.kind}"
    paths = targets(way.output, [name] * options.num_waveforms, rate=options.sample_rate)
    if way.output and Path(way.output).suffix:  # in a folder, names are new ones
        files = list(paths)
        drawn = [path.with_name(f"{path.name}.png") for path in files] * way.plot
        for given, what in ((sound, "the sound"), (Path(mask), "the mask")):
            if given.is_file() and any(
                path.exists() and path.samefile(given) for path in [*files, *drawn]
            ):
                raise UsageError(
                    f"-o {way.output} would write over {what} itself; name another file"
                )
        paths = iter(files)
    info(sound)  # a sound that is none is told before a model is looked for
    if mask:
        load_mask(mask)
    with console.bar(edit.kind, way.quiet or way.json) as tick:
        model = way.load(wishes.pop("model", options.model))
        for clip in model.edit(sound, edit, prompt, progress=tick, **wishes):
            keep(clip, next(paths), way.plot, way.json, way.quiet)
