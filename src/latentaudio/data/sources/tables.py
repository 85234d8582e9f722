"""Rows of tables on disk: JSON lines, JSON, CSV and Parquet, with the line that each stands on."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...config.extras import install_command
from ...config.parsing import parse_json, read_bounded
from ...errors import DataError, first_line
from .base import (
    FILE_KEYS,
    MAX_JSON_BYTES,
    Place,
    Record,
    bad_row,
    record_of_row,
    split_of_name,
    type_name,
)

HUB_EXTRA = install_command("hub")
_MAX_LINE_BYTES = 2**24
_MAX_HEADER_CHARS = 2**16
_MAX_CELL_CHARS = 2**24
_BATCH_ROWS = 256

Row = tuple[str, Any]
"""Position "file:line", and the row: a dict, or a `Record` with the problem."""


def json_rows(table: Path) -> Iterator[Row]:
    """Yield the rows of a table with one JSON object per line.

    Args:
        table: The file.
    """
    with opened(table) as file:
        number = 0
        while line := file.readline(_MAX_LINE_BYTES):
            number += 1
            position = f"{table}:{number}"
            if not line.strip():
                continue
            try:
                yield position, parse_json(line.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                problem = f"not UTF-8 ({error.reason}); save the file as UTF-8"
                yield position, Record(position=position, problem=problem)
            except ValueError as error:
                yield position, bad_row(position, first_line(error))


def json_file_rows(table: Path) -> Iterator[Row]:
    """Yield the rows of a JSON file that is a table.

    It is a list of objects, an object with such a list as `data`, or an object of names and
    captions.

    Args:
        table: The file.
    """
    opened(table).close()
    try:
        content = parse_json(read_bounded(table, MAX_JSON_BYTES))
    except (OSError, ValueError) as error:
        yield str(table), bad_row(str(table), first_line(error))
        return
    if isinstance(content, dict) and not _is_list_of_objects(content.get("data")):
        for name, captions in content.items():
            yield f"{table}:{name}", {"name": name, "captions": captions}
        return
    rows = content["data"] if isinstance(content, dict) else content
    if not isinstance(rows, list):
        yield str(table), bad_row(str(table), f"it is {type_name(rows)}")
        return
    for number, row in enumerate(rows, 1):
        yield f"{table}:{number}", row


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def csv_rows(table: Path) -> Iterator[Row]:
    """Yield the rows of a CSV table with a header. Commas, semicolons or tabs part the cells.

    Args:
        table: The file.
    """
    csv.field_size_limit(_MAX_CELL_CHARS)
    with opened(table) as raw:
        lines = _text_lines(raw)
        reader = csv.DictReader(lines, delimiter=_delimiter(table))
        while True:
            position = f"{table}:{reader.line_num + 1}"
            try:
                row = next(reader, None)
            except (csv.Error, UnicodeDecodeError) as error:
                problem = f"not a row of a table in UTF-8 ({first_line(error)}); correct the line"
                yield position, Record(position=position, problem=problem)
                continue
            if row is None:
                return
            row.pop(None, None)  # cells without a column
            if any(row.values()):
                yield f"{table}:{reader.line_num}", row


def csv_header(table: Path) -> list[str]:
    """Return the names of a table's columns, in small letters; [] if it has none.

    Args:
        table: The file.
    """
    try:
        with table.open("rb") as file:
            line = file.readline(_MAX_HEADER_CHARS).decode("utf-8-sig")
        cells = next(csv.reader([line], delimiter=_delimiter(table)), [])
    except (OSError, ValueError, csv.Error):
        return []
    return [cell.strip().lower() for cell in cells]


def _delimiter(table: Path) -> str:
    """Return the character of the header that parts its cells."""
    with table.open("rb") as file:
        header = file.readline(_MAX_HEADER_CHARS).decode("utf-8-sig", errors="replace")
    return max(",;\t", key=header.count)


def _text_lines(raw: Any) -> Iterator[str]:
    """Yield the lines of a file as text; a long one comes in pieces, which fail to parse."""
    is_first = True
    while line := raw.readline(_MAX_LINE_BYTES):
        text = line.decode("utf-8-sig" if is_first else "utf-8", errors="surrogateescape")
        is_first = False
        yield text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def parquet_rows(table: Path, columns: list[str] | None = None) -> Iterator[Row]:
    """Yield the rows of a Parquet table, a few at a time.

    Args:
        table: The file.
        columns: Columns to read, or None for all.

    Raises:
        DataError: It cannot be read, or pyarrow is not installed.
    """
    pyarrow_parquet = import_extra("pyarrow.parquet", table)
    number = 0
    try:
        with pyarrow_parquet.ParquetFile(table) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{table}:{number}", row
    except (OSError, ValueError, KeyError) as error:  # errors of pyarrow derive from these
        problem = f"the table cannot be read ({first_line(error)}); copy it again"
        yield f"{table}:{number + 1}", Record(position=f"{table}:{number + 1}", problem=problem)


def import_extra(module: str, what: object) -> Any:
    """Return a module of the extra `hub`.

    Args:
        module: Its name.
        what: The data that needs it, for the error.

    Raises:
        DataError: It is not installed.
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise DataError(f"{what} needs the package {package}; run {HUB_EXTRA}") from None


def opened(table: Path) -> Any:
    """Return an open file.

    Raises:
        DataError: It cannot be opened.
    """
    try:
        return table.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {table} ({error.strerror}); check its name") from None


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": json_rows,
    ".json": json_file_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
}
"""How a table's rows are read, by the ending of its name."""


def metadata_tables(place: Place, ending: str) -> list[Path]:
    """Return the tables of a folder in Hugging Face's AudioFolder form.

    They are metadata.ENDING in the folder; else the same in its subfolders; else tables that are
    named after splits, such as train.ENDING or metadata_test.ENDING.

    Args:
        place: The folder, or one table.
        ending: ".jsonl", ".csv", ".tsv" or ".parquet".
    """
    if place.path.is_file():
        is_right = place.path.name.lower().endswith(ending)
        return [place.path] if is_right and has_file_column(place.path) else []
    name = f"metadata{ending}"
    if name in place.top_files:
        return [place.path / name]
    nested = [place.path / file for file in place.files if Path(file).name == name]
    if nested:
        return nested
    tables = []
    for table in place.tables(ending):
        is_metadata = table.stem.startswith("metadata")
        if split_of_name(table.name) and (is_metadata or has_file_column(table)):
            tables.append(table)
    return tables


def has_file_column(table: Path) -> bool:
    """Return whether a table names its sounds in one of the usual columns.

    Args:
        table: The file.
    """
    if table.suffix == ".parquet":
        return _parquet_names_files(table)
    if table.suffix == ".jsonl":
        return True
    header = csv_header(table)
    return any(key in header for key in FILE_KEYS) and "caption_1" not in header


def _parquet_names_files(table: Path) -> bool:
    """Whether a Parquet table has a column of names, and not the sounds themselves."""
    try:
        columns = import_extra("pyarrow.parquet", table).read_schema(table)
        return any(str(columns.field(key).type) == "string" for key in _present(columns))
    except (DataError, OSError, ValueError):
        return table.stem.startswith("metadata")  # its reader names the problem


def _present(columns: Any) -> list[str]:
    return [key for key in FILE_KEYS if key in columns.names]


def read_metadata(place: Place, ending: str) -> Iterator[Record]:
    """Yield the records of a folder's tables of one ending.

    Args:
        place: The folder, or one table.
        ending: ".jsonl", ".csv", ".tsv" or ".parquet".
    """
    for table in metadata_tables(place, ending):
        split = split_of_name(str(table.relative_to(place.folder)))
        for position, row in READERS[ending](table):
            if isinstance(row, Record):
                yield row
            else:
                yield record_of_row(row, table.parent, position, split)
