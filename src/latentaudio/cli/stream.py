"""`latentaudio stream`: a clip of any length, written while it is generated.

It goes to a player through a pipe, or to a WAV file that can be played meanwhile.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

from cyclopts import Parameter

from ..config.option_table import CLIP_ONLY_OPTIONS
from ..errors import DataError, UsageError
from . import console
from .flags import (
    LENGTH,
    OUTPUT,
    PROMPT,
    RuntimeFlags,
    TextFlag,
    TimelineFlag,
    add_timeline,
    option_flags,
    reject_file_names,
)
from .output import require_writable_dir

if TYPE_CHECKING:
    from ..audio.ops import Samples

MIN_DURATION_S = 0.1
UNKNOWN_SIZE = 0x7FFFFFFF
"""Size in bytes that programs write into a WAV header that goes through a pipe."""
_BITS = 16  # of a sample
_HEADER_SIZE = 36  # bytes of a WAV header after the field with the size


@option_flags(before="duration", hidden={*CLIP_ONLY_OPTIONS, "duration"})
def stream(
    prompt: Annotated[
        str,
        Parameter(
            help="Text that describes the sound, in English.", group=PROMPT, show_default=False
        ),
    ] = "",
    *,
    timeline: TimelineFlag = None,
    duration: Annotated[
        float | None,
        Parameter(help="Length in seconds, above 0.1. Default: until Ctrl-C.", group=LENGTH),
    ] = None,
    output: Annotated[
        str | None,
        Parameter(
            alias="-o",
            help="New .wav file. Default: WAV to stdout, for a player: | ffplay -nodisp -",
            group=OUTPUT,
        ),
    ] = None,
    quiet: Annotated[
        bool, Parameter(help="Print no progress.", group=OUTPUT, show_default=False)
    ] = False,
    text: TextFlag = False,
    runtime: RuntimeFlags = RuntimeFlags(),
    **options: Any,
) -> None:
    """Generate a clip of any length and write it while it grows."""
    from ..config.options import GenerationOptions
    from ..editing.inputs import RequestInputs
    from ..generation.engine import Engine
    from ..generation.streaming import generate_pieces, validate_stream

    console.set_quiet(quiet)
    reject_file_names([prompt], text)
    if timeline is not None:
        options = add_timeline(options, timeline)
    values: dict[str, Any] = {**options}
    if prompt.strip():
        values["prompt"] = prompt
    if not values.get("prompt", "").strip() and "timeline" not in values:
        raise UsageError(
            "there is no prompt; describe the sound, "
            "for example: latentaudio stream 'rain on a roof' | ffplay -"
        )
    request = GenerationOptions(**{"prompt": "", **values})
    validate_stream(request)
    of_timeline = request.duration if "duration" in values else math.inf
    num_seconds = of_timeline if duration is None else duration
    if not num_seconds > MIN_DURATION_S:
        raise UsageError(f"duration = {num_seconds:g} must be above {MIN_DURATION_S}")
    _validate_output(output)
    model = runtime.load(request.model)
    inputs = RequestInputs(model.sample_rate)
    pieces = generate_pieces(Engine(model), request, num_seconds, inputs)
    _write_pieces(pieces, model.sample_rate, output, quiet)


def _write_pieces(
    pieces: Iterator[Samples], sample_rate: int, output: str | None, quiet: bool
) -> None:
    """Write samples [1, N] as they come; a file is a complete WAV after every piece."""
    from ..audio.encoding import round_to_steps

    first = next(pieces)  # errors of the request come before the file is created
    num_samples = 0
    with _open_output(output) as file:
        file.write(_wav_header(sample_rate, 0 if file.seekable() else UNKNOWN_SIZE))
        for piece in chain([first], pieces):
            file.write(round_to_steps(piece[0], _BITS).astype("<i2").tobytes())
            file.flush()
            num_samples += piece.shape[1]
            if not quiet:
                console.print_status(f"{num_samples / sample_rate:.1f} s")
            if file.seekable():
                file.seek(0)
                file.write(_wav_header(sample_rate, min(2 * num_samples, UNKNOWN_SIZE)))
                file.seek(0, 2)


def _validate_output(output: str | None) -> None:
    """Raise an error, before any work, if a stream cannot be written there."""
    if output in (None, "-"):
        if sys.stdout.isatty():
            raise UsageError(
                "audio cannot be written to a terminal; pipe it into a player, "
                "or name a .wav file with -o"
            )
        return
    path = Path(output or "")
    if path.suffix.lower() != ".wav":
        raise UsageError(f"-o {output}: a stream can only be written to a .wav file; name one")
    if path.exists():
        raise UsageError(f"{output} exists already; name a new file")
    require_writable_dir(path.parent)


@contextmanager
def _open_output(output: str | None) -> Iterator[BinaryIO]:
    if output is None or output == "-":
        yield sys.stdout.buffer
        return
    try:
        with Path(output).open("xb") as file:
            yield file
    except FileExistsError:
        raise UsageError(f"{output} exists already; name a new file") from None
    except OSError as error:
        raise DataError(
            f"cannot write {output} ({error.strerror}); choose another with -o"
        ) from None


def _wav_header(sample_rate: int, size: int) -> bytes:
    """Header of a mono WAV file of 16 bits with `size` bytes of samples."""
    sample_format = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    riff_size = struct.pack("<I", min(size + _HEADER_SIZE, UNKNOWN_SIZE))
    data_size = struct.pack("<I", size)
    return b"RIFF" + riff_size + b"WAVEfmt " + sample_format + b"data" + data_size
