"""`latentaudio batch`: one clip for each row of a list; a stopped batch can be resumed."""

from __future__ import annotations

import json as json_format
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter

from ..config.audio_formats import FORMATS
from ..config.parsing import parse_json
from ..config.tags import TAGS_OF_0_1, upgrade_tags
from ..errors import DataError, GenerationError, LatentAudioError, UsageError
from ..fileio import remove_abandoned_parts, sha256_of_file
from . import console
from .batch_list import Row, make_row_requests, read_rows, resolve_rows
from .batch_workers import check_workers, generate_rows_in_processes
from .flags import MACHINE, OUTPUT, PROMPT, DisplayFlags, RuntimeFlags, option_flags
from .output import is_made_by, save_clip, writable_folder
from .row_generator import Result, RowGenerator

MANIFEST_FILE = "manifest.jsonl"
Results: TypeAlias = Iterator[tuple[Row, Result]]
"""Rows, each with its clip or its error."""
_FORMAT_NAMES = ", ".join(name.removeprefix(".") for name in FORMATS)
_REQUEST_OF_0_1 = {**TAGS_OF_0_1, "like": "architecture"}


@dataclass
class Manifest:
    """The files of a batch: one line of JSON per file, of which the last one of a name counts.

    A line that was cut off, because the process was killed, does not count.

    Attributes:
        path: The manifest.
        records: The last record of each file.
        first_seed: Seed of row 1, from the manifest or drawn now.
    """

    path: Path
    records: dict[str, dict[str, Any]] = field(init=False)
    first_seed: int = field(init=False)

    def __post_init__(self) -> None:
        data = self.path.read_bytes() if self.path.is_file() else b""
        self._size_when_read = len(data)
        self._complete_size = data.rfind(b"\n") + 1
        try:
            records = []
            for line in data[: self._complete_size].splitlines():
                records.append(_upgrade_record(parse_json(line)))
            self.records = {record["name"]: record for record in records}
            self.first_seed = records[-1]["first_seed"] if records else secrets.randbelow(2**31)
        except (ValueError, TypeError, KeyError):
            raise DataError(
                f"{self.path} is damaged; move it away, or choose another folder"
            ) from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from writing the manifest; a killed process holds no lock.

        Raises:
            UsageError: Another process writes it, or has written it since it was read.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        try:
            file = self.path.open("ab")
        except OSError as error:
            raise self._write_error(error) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(
                    f"another batch is running in {self.path.parent}; wait, "
                    "or choose another folder"
                ) from None
            state = os.fstat(file.fileno())
            if state.st_size != self._size_when_read or not state.st_nlink:
                raise UsageError(
                    f"another batch has just written to {self.path.parent}; run the command again"
                )
            try:
                yield
            finally:
                if not os.fstat(file.fileno()).st_size:  # nothing was generated
                    self.path.unlink(missing_ok=True)

    def is_done(self, row: Row) -> bool:
        """Return whether the file of a row is the one that was generated from the same request."""
        record = self.records.get(row.file, {})
        path = self.path.parent / row.file
        if "error" in record or record.get("request") != row.record or not path.is_file():
            return False
        return record.get("sha256") == sha256_of_file(path)

    def requests(self) -> dict[str, dict[str, Any]]:
        """Return the requests of all files of batches with this first seed, by name."""
        requests = {}
        for name, record in self.records.items():
            if record.get("first_seed") == self.first_seed:
                requests[name] = record.get("request", {})
        return requests

    def add(self, record: dict[str, Any]) -> None:
        """Write a record to disk, after the complete ones.

        Raises:
            DataError: The manifest cannot be written.
        """
        data = f"{json_format.dumps(record, ensure_ascii=False)}\n".encode()
        try:
            with self.path.open("ab") as file:
                file.truncate(self._complete_size)
                self._complete_size += file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._write_error(error) from None

    def _write_error(self, error: OSError) -> DataError:
        return DataError(
            f"cannot write {self.path} ({error.strerror}); free some space or choose another folder"
        )


def _upgrade_record(record: dict[str, Any]) -> dict[str, Any]:
    """A record under today's names; version 0.1 wrote others."""
    if "asked" not in record:
        _check_record(record)
        return record
    upgraded = {**record, "first_seed": record["first"]}
    request = upgraded.pop("asked")
    upgraded["request"] = {_REQUEST_OF_0_1.get(name, name): request[name] for name in request}
    upgraded["request"] |= upgrade_tags({"sampler": request["sampler"]})
    _check_record(upgraded)
    return upgraded


def _check_record(record: dict[str, Any]) -> None:
    """Raise TypeError unless the name, the first seed and the request have their types."""
    is_right = isinstance(record["name"], str) and isinstance(record["first_seed"], int)
    if not (is_right and isinstance(record.get("request", {}), dict)):
        raise TypeError("a value of another type")


RowsArgument = Annotated[
    Path,
    Parameter(
        help="List of clips: .csv (columns: prompt, name and names of options), .jsonl "
        "(objects of the same), or .txt (`prompt` or `prompt | name` on each line). A value "
        "in a row replaces that of a flag.",
        group=PROMPT,
    ),
]
WorkersFlag = Annotated[
    int,
    Parameter(
        help="Processes that generate rows at once. Each holds the model and gets its share of the "
        "processors.",
        group=MACHINE,
    ),
]
RayFlag = Annotated[
    str | None,
    Parameter(
        help="Ray cluster whose machines generate: auto (the one of this machine), local (all "
        "cores of this machine) or an address. The files come here. Default: no cluster.",
        group=MACHINE,
    ),
]


@option_flags(before="format", hidden={"num_waveforms"})
def batch(
    rows: RowsArgument,
    folder: Annotated[
        Path, Parameter(help="Folder for the files, named after the rows.", group=OUTPUT)
    ],
    *,
    format: Annotated[
        str, Parameter(help=f"Format of the files: {_FORMAT_NAMES}.", group=OUTPUT)
    ] = "wav",
    overwrite: Annotated[
        bool,
        Parameter(
            help="Replace files that this batch has not made, or that were edited since.",
            group=OUTPUT,
            show_default=False,
        ),
    ] = False,
    skip_existing: Annotated[
        bool,
        Parameter(
            help="Skip every row whose file exists, whatever generated it.",
            group=OUTPUT,
            show_default=False,
        ),
    ] = False,
    workers: WorkersFlag = 1,
    ray: RayFlag = None,
    display: DisplayFlags = DisplayFlags(),
    runtime: RuntimeFlags = RuntimeFlags(),
    **options: Any,
) -> None:
    """Generate one clip for each row of a list. The same command resumes a stopped batch.

    FOLDER/manifest.jsonl gets one line per file. Rows without a seed take --seed, and one more for
    each row; without --seed, the seed is random and stored in the manifest. A row that has changed
    is generated again; a row that only moved in the list is not. A row that fails is tried again.
    """
    console.set_quiet(display.quiet)
    extension = f".{format}"
    if extension not in FORMATS:
        raise UsageError(f"there is no format {format!r}; choose one of: {_FORMAT_NAMES}")
    manifest_path = folder / MANIFEST_FILE
    if manifest_path.exists() and rows.exists() and manifest_path.samefile(rows):
        raise UsageError(f"{rows} is the manifest of the folder; give the list it was made from")
    cells = read_rows(rows)
    check_workers(workers, len(cells), ray)
    requests = make_row_requests(rows, cells, options, extension)
    manifest = Manifest(manifest_path)
    for row, request in zip(cells, requests, strict=True):
        if "seed" not in row and request.seed >= 0:  # of --seed
            manifest.first_seed = request.seed
    resolved = resolve_rows(
        rows, cells, requests, manifest.first_seed, extension, runtime, manifest.requests()
    )
    generate = _choose_generator(runtime, workers, ray)
    _generate_missing(resolved, manifest, skip_existing, overwrite, display, generate)


def _choose_generator(
    runtime: RuntimeFlags, num_workers: int, ray: str | None
) -> Callable[[Sequence[Row]], Results]:
    """Return what generates rows: this process, several of this machine, or a cluster."""
    if ray is not None:
        from .batch_ray import generate_rows_on_ray

        return partial(generate_rows_on_ray, runtime=runtime, address=ray)
    if num_workers > 1:
        return partial(generate_rows_in_processes, runtime=runtime, num_workers=num_workers)
    return partial(_generate_rows, runtime=runtime)


def _generate_missing(
    rows: Sequence[Row],
    manifest: Manifest,
    skip_existing: bool,
    overwrite: bool,
    display: DisplayFlags,
    generate: Callable[[Sequence[Row]], Results],
) -> None:
    """Generate the rows without a file, and record each."""
    folder = manifest.path.parent
    num_failed = 0
    with writable_folder(folder), manifest.lock():
        remove_abandoned_parts(folder)
        missing = []
        for row in rows:
            exists = skip_existing and (folder / row.file).exists()
            if not exists and not manifest.is_done(row):
                missing.append(row)
        if not overwrite:
            _reject_replacing(missing, manifest)
        with console.progress_bar("generating", display.hides_progress) as tick:
            for num_done, (row, clip) in enumerate(generate(missing), 1):
                record: dict[str, Any] = {"name": row.file, "row": row.number}
                if isinstance(clip, LatentAudioError):
                    num_failed += 1
                    console.print_error(f"row {row.number}: {clip}")
                    record |= {"seed": row.request.options.seed, "error": str(clip)}
                else:
                    save_clip(clip, folder / row.file, display)
                    digest = sha256_of_file(folder / row.file)
                    record |= {"seed": clip.seed, "score": clip.score, "sha256": digest}
                record |= {"first_seed": manifest.first_seed, "request": row.record}
                manifest.add(record)
                tick(num_done, len(missing), row.file)
    if num_failed:
        raise GenerationError(
            f"{num_failed} of {len(missing)} rows failed; the same command tries them again"
        )
    if not display.hides_progress:
        num_skipped = len(rows) - len(missing)
        console.print_result(f"{folder}  {len(missing)} generated, {num_skipped} skipped")


def _reject_replacing(rows: Sequence[Row], manifest: Manifest) -> None:
    """Raise `UsageError` if a row has the file name of something that no batch has made."""
    for row in rows:
        path = manifest.path.parent / row.file
        if not path.exists():
            continue
        checksum = manifest.records.get(row.file, {}).get("sha256")
        if checksum is None and not is_made_by(path, row.request.options.has_made):
            raise UsageError(
                f"{path} exists, and this batch has not made it; "
                f"move it away, give row {row.number} a name, or add --overwrite"
            )
        if checksum is not None and not (path.is_file() and checksum == sha256_of_file(path)):
            raise UsageError(
                f"{path} has changed since this batch made it; "
                f"move it away, or add --overwrite to generate it again"
            )


def _generate_rows(rows: Sequence[Row], runtime: RuntimeFlags) -> Results:
    """Each row with its clip or its error, model by model."""
    generator = RowGenerator(runtime)
    for model in dict.fromkeys(row.request.options.model for row in rows):
        with_model = [row for row in rows if row.request.options.model == model]
        results = generator.run([row.request for row in with_model])
        yield from zip(with_model, results, strict=True)
        generator.forget()
