"""Lists of clips: reads .csv, .jsonl or .txt, and resolves every row before any work."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from ..config.option_table import OPTIONS
from ..config.parsing import parse_json
from ..errors import DataError, LatentAudioError, UsageError
from .flags import OptionValues, RuntimeFlags, validate_speech_model
from .output import validate_sample_rate

if TYPE_CHECKING:
    from ..config.options import GenerationOptions
    from ..generation.resolve import ResolvedRequest
    from ..loaders.layouts import ModelSource

Cells: TypeAlias = dict[str, Any]
"""The values of one row by column, as the file has them; pydantic checks them with the request."""

SEPARATORS = (",", ";", "\t")
"""Separators of the cells of a CSV file; of equally frequent ones the first."""
_NOT_COLUMNS = {"num_waveforms", "edit"}


@dataclass(frozen=True)
class Row:
    """A clip of a batch.

    Attributes:
        number: Number of the row, from 1.
        file: Name of its file.
        request: Its resolved request.
        record: Everything that decides the content of the file, as JSON can hold it.
    """

    number: int
    file: str
    request: ResolvedRequest
    record: dict[str, Any]


def read_text(file: Path) -> str:
    """Return the text of a UTF-8 file; `DataError` if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DataError(f"cannot read {file} ({reason})") from None


def read_prompt_file(file: Path) -> list[tuple[str, str]]:
    """Read a file with one prompt on each line.

    Args:
        file: Each line is a prompt or `prompt | name`.

    Returns:
        Pairs (prompt, name); the name of a line without one is the prompt.

    Raises:
        DataError: The file cannot be read.
        UsageError: A line has two vertical bars.
    """
    pairs = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        prompt, _, name = (field.strip() for field in line.partition("|"))
        if "|" in name:
            raise UsageError(
                f"{file}, line {number} has two vertical bars; "
                "write one, between the prompt and the name"
            )
        if prompt:
            pairs.append((prompt, name or prompt))
    return pairs


def read_rows(file: Path) -> list[Cells]:
    """Read a list of clips.

    Args:
        file: A .csv, .jsonl or .txt file.

    Returns:
        The cells of every row; empty cells are left out.

    Raises:
        DataError: The file cannot be read.
        UsageError: It is no list, or has no rows.
    """
    text = read_text(file)
    match file.suffix.lower():
        case ".txt":
            rows = [{"prompt": prompt, "name": name} for prompt, name in read_prompt_file(file)]
        case ".csv":
            rows = _read_csv(file, text)
        case ".jsonl":
            rows = _read_jsonl(file, text)
        case _:
            raise UsageError(f"{file} is not a list; end its name in .csv, .jsonl or .txt")
    if not rows:
        raise UsageError(f"{file} has no rows; write one for each clip")
    filled = []
    for row in rows:
        filled.append({name: cell for name, cell in row.items() if cell not in ("", None)})
    return filled


def _read_csv(file: Path, text: str) -> list[Cells]:
    """The rows of a table; those of Excel may have empty columns and rows, and other separators."""
    text, separator = _separator_of(text)
    rows = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=separator, strict=True):
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append(cells)
    except csv.Error as error:
        raise UsageError(
            f"{file} is not valid CSV ({error}); quote cells with commas or quotes"
        ) from None
    if not rows:
        return []
    header = rows.pop(0)
    names = [name for name in header if name]
    if len(set(names)) < len(names):
        raise UsageError(f"{file} has two columns with the same name; remove one")
    for number, row in enumerate(rows, 1):
        if any(row[len(header) :]):
            raise UsageError(
                f"{file}, row {number} has more cells than there are columns; "
                "quote cells with commas"
            )
        for name, cell in zip(header, row, strict=False):
            if cell and not name:
                raise UsageError(
                    f"{file}, row {number} has {cell!r:.40} in a column without a name; "
                    "name the column in the first row, or empty the cell"
                )
    tables = [dict(zip(header, row, strict=False)) for row in rows]
    return [{name: cell for name, cell in row.items() if name} for row in tables]


def _separator_of(text: str) -> tuple[str, str]:
    """A table without the line `sep=;` that Excel may begin with, and the separator of its cells.

    The first row has names of columns, which have no comma, semicolon or tab in them.
    """
    first, _, rest = text.partition("\n")
    stated = re.fullmatch(r'"?sep=(.)"?\r?', first, re.IGNORECASE)
    if stated:
        return rest, stated[1]
    header = next((line for line in text.splitlines() if line.strip(" ,;\t")), "")
    counts = {separator: header.count(separator) for separator in SEPARATORS}
    return text, max(SEPARATORS, key=lambda separator: counts[separator])


def _read_jsonl(file: Path, text: str) -> list[Cells]:
    rows: list[Cells] = []
    for line in filter(str.strip, text.split("\n")):
        try:
            row = parse_json(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or any(isinstance(cell, list | dict) for cell in row.values()):
            raise UsageError(
                f"{file}, row {len(rows) + 1} is not a JSON object of texts and numbers; "
                "write one on each line"
            )
        rows.append(row)
    return rows


def make_row_requests(
    file: Path, rows: Sequence[Cells], options: OptionValues, extension: str
) -> list[GenerationOptions]:
    """Return the request of every row: its cells, then flags.

    Args:
        file: The list, for errors.
        rows: Its rows.
        options: Options of rows that do not set them.
        extension: Extension of the files.

    Raises:
        UsageError: The first error in the list, with its row.
    """
    requests = []
    for number, row in enumerate(rows, 1):
        with _with_row_context(file, number):
            request = _make_request(row, options)
            validate_sample_rate(request.sample_rate, extension)
            requests.append(request)
    return requests


def _make_request(row: Cells, options: OptionValues) -> GenerationOptions:
    from ..config.options import GenerationOptions
    from ..config.registry import DEFAULT_SPEECH_MODEL, DEFAULT_VOICE_PROMPT

    columns = ["name", *(name for name in OPTIONS if name not in _NOT_COLUMNS)]
    unknown = sorted(set(row) - set(columns))
    if unknown:
        raise UsageError(f"there is no column {unknown[0]!r}; columns are: {', '.join(columns)}")
    values: dict[str, Any] = {**options, **row}
    values.pop("name", None)
    if values.get("transcript"):
        values = {"model": DEFAULT_SPEECH_MODEL, "prompt": DEFAULT_VOICE_PROMPT, **values}
        validate_speech_model(values["model"])
    return GenerationOptions(**values)


def resolve_rows(
    file: Path,
    rows: Sequence[Cells],
    requests: Sequence[GenerationOptions],
    first_seed: int,
    extension: str,
    runtime: RuntimeFlags,
    earlier_requests: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> list[Row]:
    """Resolve the request of every row with the defaults of its model.

    Args:
        file: The list, for errors.
        rows: Its rows.
        requests: Their requests.
        first_seed: Seed of row 1; later seeds leave room for the candidates of earlier rows.
        extension: Extension of the files, which are named by name or prompt, and numbered if an
            earlier row has that name.
        runtime: Flags of the model and the machine.
        earlier_requests: Earlier requests by the names of their files. A row of the same request
            keeps its seed, wherever it stands in the list by now.

    Raises:
        LatentAudioError: The first error in the list, with its row.
    """
    from ..config.options import MAX_SEED
    from ..editing.inputs import RequestInputs
    from ..generation.resolve import resolve_request

    settings = runtime.settings
    sources: dict[str, ModelSource] = {}
    resolved: list[Row] = []
    num_seeds = 0
    names = _file_names(rows, requests, extension)
    for number, (row, request, name) in enumerate(zip(rows, requests, names, strict=True), 1):
        with _with_row_context(file, number):
            if request.model not in sources:
                sources[request.model] = runtime.find_source(request.model)
            source = sources[request.model]
            has_own_seed = "seed" in row and request.seed >= 0
            if not has_own_seed:
                seed = (first_seed + num_seeds) % MAX_SEED
                request = request.model_copy(update={"seed": seed})
            inputs = RequestInputs(source.config.mel.sample_rate)
            resolved_request = resolve_request(request, source, inputs)
            num_seeds += resolved_request.options.candidates
            if not has_own_seed:
                earlier = earlier_requests.get(name, {})
                resolved_request = _with_seed_of(earlier, resolved_request, settings)
            record = _record(resolved_request, settings)
            resolved.append(Row(number, name, resolved_request, record))
    return resolved


def _record(request: ResolvedRequest, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the samples of a row, as the manifest stores it."""
    return {**request.options.model_dump(mode="json"), **settings}


def _with_seed_of(
    earlier: Mapping[str, Any], request: ResolvedRequest, settings: Mapping[str, Any]
) -> ResolvedRequest:
    """The request with the seed of an earlier one, if they differ in nothing else."""
    if {**_record(request, settings), "seed": 0} != {**earlier, "seed": 0}:
        return request
    return replace(request, options=request.options.model_copy(update={"seed": earlier["seed"]}))


def _file_names(
    rows: Sequence[Mapping[str, Any]], requests: Sequence[GenerationOptions], extension: str
) -> Iterator[str]:
    """A file name for each row, always the same for the same rows.

    Names that differ only in case count as equal, as they do on some systems.
    """
    from ..audio.io import safe_name

    used: set[str] = set()
    for row, request in zip(rows, requests, strict=True):
        title = str(row.get("name", row.get("prompt", request.transcript or request.prompt)))
        stem = safe_name(title.removesuffix(extension))
        name = stem
        number = 1
        while name.casefold() in used:
            number += 1
            name = f"{stem}_{number}"
        used.add(name.casefold())
        yield f"{name}{extension}"


@contextmanager
def _with_row_context(file: Path, number: int) -> Iterator[None]:
    """Add the file and the row to errors."""
    try:
        yield
    except LatentAudioError as error:
        raise type(error)(f"{file}, row {number}: {error}") from None
