"""`latentaudio play`: a sound that grows, to a player or into a WAV file that can be listened to meanwhile."""

from __future__ import annotations

import math
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from ..errors import DataError, UsageError
from ..generation.timeline import read_timeline
from . import console
from .edit import Asked, Asking
from .generate import Way
from .output_paths import writable

_UNKNOWN = 0x7FFFFFFF  # bytes: what programs write into a header that goes through a pipe


def play(
    prompt: str = "",
    *,
    duration: float | None = None,
    timeline: Path | None = None,
    options: Asked = Asking(),
    way: Way = Way(),
) -> None:
    """Make a sound of any length, heard while it grows: latentaudio play "rain on a roof" | ffplay -nodisp -

    Parameters
    ----------
    prompt
        What to hear.
    duration
        Seconds; without it there is no end but Ctrl-C.
    timeline
        YAML file of prompts with start times, as for generate.
    """
    wishes = {**(read_timeline(timeline) if timeline else {}), **options.model_dump(exclude_unset=True)}
    duration = duration if duration is not None else wishes.get("duration", math.inf)
    wishes.pop("duration", None)
    if way.quiet:
        warnings.simplefilter("ignore")
    if not prompt.strip() and not wishes.get("timeline"):
        raise UsageError(
            "there is no prompt; say what to hear, for example: latentaudio play 'rain on a roof' | ffplay -"
        )
    if not duration > 0.1:
        raise UsageError(f"duration = {duration:g} must be above 0.1")
    prompt = wishes.pop("prompt", "") if not prompt.strip() else prompt
    _check_output(way.output)
    model = way.load(wishes.pop("model", options.model))
    pieces = model.generate_stream(prompt, duration=duration, **wishes)
    first, done = next(pieces), 0  # what cannot be made is told before a file is there
    with _target(way.output) as file:
        file.write(_header(model.sample_rate, _UNKNOWN))
        for piece in chain([first], pieces):
            file.write((piece[0].clip(-1.0, 1.0) * 32767.0).round().astype("<i2").tobytes())
            file.flush()
            done += piece.shape[1]
            if not way.quiet:
                console.note(f"{done / model.sample_rate:.1f} s")
            if file.seekable():  # a file is whole after every piece
                file.seek(0)
                file.write(_header(model.sample_rate, min(2 * done, _UNKNOWN)))
                file.seek(0, 2)


def _check_output(output: str | None) -> None:
    """Raise UsageError or DataError, before any work, for where sound cannot grow."""
    if output in (None, "-"):
        if sys.stdout.isatty():
            raise UsageError(
                "sound is no text for a terminal; pipe it into a player, or name a .wav file with -o"
            )
        return
    path = Path(output or "")
    if path.suffix.lower() != ".wav":
        raise UsageError(f"-o {output}: only a .wav file can grow; name one")
    if path.exists():
        raise UsageError(f"{output} is there already; name a new file")
    writable(path.parent, create=False)


@contextmanager
def _target(output: str | None) -> Iterator[BinaryIO]:
    if output in (None, "-"):
        yield sys.stdout.buffer
        return
    assert output is not None
    try:
        with Path(output).open("xb") as file:
            yield file
    except FileExistsError:
        raise UsageError(f"{output} is there already; name a new file") from None
    except OSError as problem:
        raise DataError(
            f"cannot write {output} ({problem.strerror}); choose another with -o"
        ) from None


def _header(rate: int, size: int) -> bytes:
    """Of a WAV file of one channel of 16 bits and `size` bytes of samples."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", min(size + 36, _UNKNOWN))
        + b"WAVEfmt "
        + form
        + b"data"
        + struct.pack("<I", size)
    )
