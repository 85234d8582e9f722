"""Lists of what to make: .csv, .jsonl or .txt to complete requests, every row checked before any work. Knows no sound."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..audio.io import safe_name
from ..config.options import GenerationOptions
from ..config.registry import MODELS
from ..errors import LatentAudioError, UsageError
from .generate import VOICE, prompts_of, spoken, text_of
from .output_paths import check_rate

if TYPE_CHECKING:
    from ..loaders.resolve import ModelSource

Cells: TypeAlias = dict[str, Any]
COLUMNS = ["name", *(name for name in GenerationOptions.model_fields if name not in ("num_waveforms", "edit"))]


@dataclass(frozen=True)
class Row:
    """number: from 1. file: its name. request: complete. asked: all that decides the file, as JSON can hold it."""

    number: int
    file: str
    request: GenerationOptions
    asked: Cells


def read(file: Path) -> list[Cells]:
    """What every row of a list says, empty cells left out. Raises DataError or UsageError in one line."""
    text = text_of(file)
    match file.suffix.lower():
        case ".txt":
            rows = [{"prompt": prompt, "name": name} for prompt, name in prompts_of(file)]
        case ".csv":
            rows = _table(file, text)
        case ".jsonl":
            rows = _objects(file, text)
        case _:
            raise UsageError(
                f"{file} is no list that can be read; end its name in .csv, .jsonl or .txt"
            )
    if not rows:
        raise UsageError(f"{file} holds no rows; say what to make")
    return [{name: cell for name, cell in row.items() if cell not in ("", None)} for row in rows]


def _table(file: Path, text: str) -> list[Cells]:
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(io.StringIO(text), strict=True)
            if row
        ]
    except csv.Error as problem:
        raise UsageError(
            f"{file} is no table of commas ({problem}); quote cells that hold commas or quotes"
        ) from None
    header, *rows = rows or [[]]
    if len(set(header)) < len(header):
        raise UsageError(f"{file} has two columns of one name; leave one")
    for number, row in enumerate(rows, 1):
        if len(row) > len(header):
            raise UsageError(
                f"{file}, row {number} has more cells than there are columns; quote cells that hold commas"
            )
    return [dict(zip(header, row, strict=False)) for row in rows]


def _objects(file: Path, text: str) -> list[Cells]:
    rows: list[Cells] = []
    for line in filter(str.strip, text.split("\n")):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or any(isinstance(cell, list | dict) for cell in row.values()):
            raise UsageError(
                f"{file}, row {len(rows) + 1} is no JSON object of texts and numbers; write one on each line"
            )
        rows.append(row)
    return rows


def planned(
    file: Path, rows: Sequence[Cells], flags: Cells, first: int, ending: str, way: Mapping[str, Any]
) -> list[Row]:
    """The rows of a list made whole by flags and the models' own defaults.

    first: seed of row 1; later ones leave room for the candidates of those before. ending: of the files, which are named by
    name or prompt, numbered where that is another row's. way: keywords of `load`. Raises what is wrong with the first wrong
    row.
    """
    asked = []
    for number, row in enumerate(rows, 1):
        with _told(file, number):
            if strange := sorted(set(row) - set(COLUMNS)):
                raise UsageError(
                    f"there is no column {strange[0]!r}; there are: {', '.join(COLUMNS)}"
                )
            wishes = spoken(
                {**flags, **{name: cell for name, cell in row.items() if name != "name"}}
            )
            one = GenerationOptions(**({"prompt": VOICE} if wishes.get("transcript") else {}) | wishes)
            check_rate(one.sample_rate, ending)
            asked.append(one)
    from ..generation.resolve import resolve_options

    models: dict[str, ModelSource] = {}
    done, names, taken = [], _names(rows, asked, ending), 0
    for number, (one, name) in enumerate(zip(asked, names, strict=True), 1):
        with _told(file, number):
            if one.model not in models:
                models[one.model] = _found(one.model, way)
            whole = resolve_options(one, models[one.model])
            whole = whole if one.seed >= 0 else whole.replace(seed=(first + taken) % 2**63)
            taken += whole.candidates
            done.append(Row(number, name, whole, {**whole.model_dump(mode="json"), **way}))
    return done


def _found(model: str, way: Mapping[str, Any]) -> ModelSource:
    """A model, as far as checking needs it: of published ones nothing is fetched for it."""
    from ..config.reference import get_reference
    from ..loaders.resolve import spec_only, resolve_model

    if model in MODELS and MODELS[model].unet_parameters:
        return replace(spec_only(model), reference=get_reference(way["reference"]))
    return resolve_model(model, way["architecture"], way["reference"])


def _names(rows: Sequence[Cells], asked: Sequence[GenerationOptions], ending: str) -> Iterator[str]:
    """A file's name for each row, the same for the same rows; letters that differ in case only are one on some systems."""
    taken: set[str] = set()
    for row, one in zip(rows, asked, strict=True):
        said = str(row.get("name", row.get("prompt", one.transcript or one.prompt)))
        plain, k = safe_name(said.removesuffix(ending)), 1
        name = plain
        while name.casefold() in taken:
            k += 1
            name = f"{plain}_{k}"
        taken.add(name.casefold())
        yield f"{name}{ending}"


@contextmanager
def _told(file: Path, number: int) -> Iterator[None]:
    """Whatever is wrong within is told with its row."""
    try:
        yield
    except LatentAudioError as problem:
        raise type(problem)(f"{file}, row {number}: {problem}") from None
