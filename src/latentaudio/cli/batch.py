"""`latentaudio batch`: a clip of every row of a list into a folder, which the same command goes on with."""

from __future__ import annotations

import hashlib
import json as notation
import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..audio.io import Audio
from ..errors import DataError, GenerationError, LatentAudioError, UsageError
from . import console
from .batch_list import Cells, Row, planned, read
from .generate import Flags, How, keep
from .output_paths import writable


class Asking(Flags):
    """Options as flags, but for the number of clips, which is that of the rows."""

    num_waveforms: Annotated[int, Parameter(parse=False)] = 1


@dataclass
class Manifest:
    """What a folder knows of its files: a line of JSON each, the latest of a name counts. A torn last line does not.

    first: seed of row 1, as it was once drawn, or a new one.
    """

    path: Path
    lines: dict[str, Cells] = field(init=False)
    first: int = field(init=False)

    def __post_init__(self) -> None:
        data = self.path.read_bytes() if self.path.is_file() else b""
        self.size, self.whole = len(data), data.rfind(b"\n") + 1
        try:
            lines = [notation.loads(line) for line in data[: self.whole].splitlines()]
            self.lines = {line["name"]: line for line in lines}
            self.first = lines[-1]["first"] if lines else secrets.randbelow(2**31)
        except (ValueError, TypeError, KeyError):
            raise DataError(
                f"{self.path} is damaged; move it away, or choose another folder"
            ) from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within it no other process writes this manifest; UsageError where one does. A killed one holds nothing."""
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        try:
            lock = self.path.open("ab")
        except OSError as problem:
            raise self._unwritable(problem) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(
                    f"another batch is at work in {self.path.parent}; wait, or choose another folder"
                ) from None
            if self.path.stat().st_size != self.size:
                raise UsageError(
                    f"another batch was at work in {self.path.parent} just now; give the command again"
                )
            yield

    def holds(self, row: Row) -> bool:
        """Whether the file of a row is there, made of just this."""
        line = self.lines.get(row.file, {})
        return (
            (self.path.parent / row.file).exists()
            and "error" not in line
            and line.get("asked") == row.asked
        )

    def add(self, line: Cells) -> None:
        """Put a line on disk, behind those that are whole."""
        data = f"{notation.dumps(line, ensure_ascii=False)}\n".encode()
        try:
            with self.path.open("ab") as file:
                file.truncate(self.whole)
                self.whole += file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            raise self._unwritable(problem) from None

    def _unwritable(self, problem: OSError) -> DataError:
        return DataError(
            f"cannot write {self.path} ({problem.strerror}); free some space or choose another folder"
        )


def batch(
    rows: Path,
    out: Path,
    *,
    options: Annotated[Asking, Parameter(name="*", show_default=False)] = Asking(),
    format: Literal["wav", "flac", "ogg", "mp3", "opus"] = "wav",
    skip_existing: bool = False,
    how: How = How(),
) -> None:
    """Make a clip of every row of a list. The same command goes on where it stopped, however it stopped.

    OUT/manifest.jsonl gets a line for every file. Rows without a seed get --seed, and one more each; without --seed one is
    drawn and kept in the manifest. A row that changed is made anew, one that fails is told and tried again the next time.

    Parameters
    ----------
    rows
        A .csv file (columns: prompt, name and names of options), .jsonl (objects of the same), or .txt (a prompt on each line;
        behind a vertical bar its clip may be given a name). What a row says comes before flags.
    out
        A folder; files are named by name or prompt.
    format
        Of the files.
    skip_existing
        Skip every row whose file is there, whatever made it.
    """
    if how.quiet:
        warnings.simplefilter("ignore")
    own = out / "manifest.jsonl"
    if own.exists() and rows.exists() and own.samefile(rows):
        raise UsageError(f"{rows} is the folder's own manifest; give the list that it was made of")
    given, manifest, flags = read(rows), Manifest(own), options.model_dump(exclude_unset=True)
    if (seed := flags.pop("seed", -1)) >= 0:
        manifest.first = seed
    _work(
        planned(rows, given, flags, manifest.first, f".{format}", how.computing),
        manifest,
        skip_existing,
        how,
    )


def _work(rows: Sequence[Row], manifest: Manifest, skip_existing: bool, how: How) -> None:
    """Make what is not there, one file and one line after the other."""
    folder, failed = writable(manifest.path.parent, create=True), 0
    with manifest.alone():
        for left in folder.glob(f".{16 * '[0-9a-f]'}.part"):  # of a process that was killed
            left.unlink(missing_ok=True)
        todo = [
            row
            for row in rows
            if not (manifest.holds(row) or (skip_existing and (folder / row.file).exists()))
        ]
        with console.bar("making", how.quiet or how.json) as tick:
            for done, (row, clip) in enumerate(_made(todo, how), 1):
                line: Cells = {"name": row.file, "row": row.number, "seed": row.request.seed}
                if isinstance(clip, Audio):
                    keep(clip, folder / row.file, how.plot, how.json, how.quiet)
                    digest = hashlib.sha256((folder / row.file).read_bytes()).hexdigest()
                    line |= {"seed": clip.seed, "score": clip.score, "sha256": digest}
                else:
                    failed += 1
                    console.complain(f"row {row.number}: {clip}")
                    line["error"] = str(clip)
                manifest.add({**line, "first": manifest.first, "asked": row.asked})
                tick(done, len(todo), row.file)
    if failed:
        raise GenerationError(
            f"{failed} of {len(todo)} rows failed; the same command tries them again"
        )
    if not how.quiet and not how.json:
        console.say(f"{folder}  {len(todo)} made, {len(rows) - len(todo)} were there")


def _made(rows: Sequence[Row], how: How) -> Iterator[tuple[Row, Audio | LatentAudioError]]:
    """Each row with its clip or with what went wrong, model by model."""
    for model in dict.fromkeys(row.request.model for row in rows):
        yield from _of_one_model([row for row in rows if row.request.model == model], how)


def _of_one_model(rows: list[Row], how: How) -> Iterator[tuple[Row, Audio | LatentAudioError]]:
    model = how.load(rows[0].request.model)
    while rows:
        clips = model.stream([row.request for row in rows])
        try:
            for clip in clips:
                yield rows.pop(0), clip
        except (
            GenerationError,
            UsageError,
        ) as problem:  # of the first that is left; the others go on
            yield rows.pop(0), problem
