"""`latentaudio stream`: a clip of any length, written while it is generated.

It goes to a player through a pipe, or to a WAV file that can be played meanwhile.
"""

from __future__ import annotations

import math
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
    from ..generation.engine import Engine
    from ..generation.streaming import PieceStream

MIN_DURATION_S = 0.1
BYTES_PER_SAMPLE = 2


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
    from ..generation.streaming import PieceStream, validate_stream

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
    pieces = PieceStream(model.source, request, num_seconds, inputs)
    _write_pieces(Engine(model), pieces, output, quiet)


def _write_pieces(engine: Engine, stream: PieceStream, output: str | None, quiet: bool) -> None:
    """Write the pieces as they come; a file is a complete WAV after every piece."""
    from ..audio.wav_stream import UNKNOWN_SIZE, sample_bytes, wav_header
    from ..generation.streaming import run_stream

    sample_rate = engine.system.sample_rate
    pieces = run_stream(engine, stream)
    first = next(pieces)  # errors of the request come before the file is created
    num_bytes = 0
    with _open_output(output) as file:
        size = 0 if file.seekable() else UNKNOWN_SIZE
        file.write(wav_header(sample_rate, size, stream.tags))
        for piece in chain([first], pieces):
            num_bytes += file.write(sample_bytes(piece))
            file.flush()
            if not quiet:
                console.print_status(f"{num_bytes / BYTES_PER_SAMPLE / sample_rate:.1f} s")
            if file.seekable():
                file.seek(0)
                file.write(wav_header(sample_rate, min(num_bytes, UNKNOWN_SIZE), stream.tags))
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
