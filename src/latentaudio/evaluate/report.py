"""The result of an evaluation: every number with all that it depends on, as JSON, CSV and text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..config.parsing import parse_json, read_bounded
from ..config.validation import format_validation_error
from ..errors import DataError, first_line
from ..fileio import atomic_write

SCHEMA_VERSION = 1
FORMAT = "latentaudio evaluation"
_MAX_WHOLE = 10**9
Detail: TypeAlias = bool | int | float | str | list[int | float | str] | None
"""A setting or a side result."""
_COLUMNS = ("metric", "backbone", "value", "95 % interval", "N", "better")


class _Stored(BaseModel):
    """Base of what is stored: immutable, without unknown fields, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Value(_Stored):
    """One number and all that it depends on.

    Attributes:
        metric: name of the metric, a row of `METRICS`.
        title: its name in tables.
        variant: which of several forms of the metric.
        value: the number.
        n: number of clips, or of pairs.
        interval: bounds of the 95 % interval; None if it cannot be known.
        is_lower_better: whether smaller numbers are better; None if neither is.
        backbone: the network; None for metrics of signals.
        weights_sha256: hash of its weights.
        sample_rate: of its input, in Hz.
        resampler: how clips came to that rate.
        protocol: name of the settings.
        candidates: clips per prompt among which the best was taken; None if unknown.
        ranker: the network that ranked them.
        guidance_scale: of the generation; None if unknown or mixed.
        steps: of the generation; None if unknown or mixed.
        seed: least seed of the clips; None if unknown.
        prompts_sha256: hash of the list of names and captions; None without captions.
        details: settings and side results of the metric.
        warnings: what makes the number doubtful.
        by_clip: values of single clips by name.
    """

    metric: str
    title: str
    variant: str = ""
    value: float
    n: int
    interval: tuple[float, float] | None = None
    is_lower_better: bool | None = None
    backbone: str | None = None
    weights_sha256: str | None = None
    sample_rate: int | None = None
    resampler: str | None = None
    protocol: str
    candidates: int | None = None
    ranker: str | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    seed: int | None = None
    prompts_sha256: str | None = None
    details: dict[str, Detail] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    by_clip: dict[str, float] = Field(default_factory=dict)

    @property
    def full_title(self) -> str:
        """Title and variant."""
        return f"{self.title}, {self.variant}" if self.variant else self.title

    @property
    def source(self) -> str:
        """Title, variant and backbone."""
        return f"{self.full_title} ({self.backbone})" if self.backbone else self.full_title


class NotComputed(_Stored):
    """A metric that could not be measured.

    Attributes:
        metric: name of the metric.
        backbone: the network; None if it needs none.
        reason: why.
    """

    metric: str
    backbone: str | None = None
    reason: str


class Level(_Stored):
    """A number of all clips of a set.

    Attributes:
        mean: over the clips.
        least: of a clip.
        greatest: of a clip.
    """

    mean: float
    least: float
    greatest: float


class ClipSet(_Stored):
    """One side of the evaluation.

    Attributes:
        path: folder or file.
        n: number of clips that were measured.
        skipped: files that could not be read, if the user allowed that.
        sha256: hash of the hashes of all clips, in the order of their names.
        levels: mean, least and greatest duration, loudness and so on.
    """

    path: str
    n: int
    skipped: tuple[str, ...] = ()
    sha256: str | None = None
    levels: dict[str, Level] = Field(default_factory=dict)


class EmbeddingMap(_Stored):
    """Clips in the plane of two principal axes of a network's embeddings.

    Attributes:
        backbone: the network.
        explained: part of the variance along each axis.
        generated: coordinates of generated clips by name.
        reference: coordinates of reference clips by name.
    """

    backbone: str
    explained: tuple[float, float]
    generated: dict[str, tuple[float, float]]
    reference: dict[str, tuple[float, float]] = Field(default_factory=dict)


class Subset(_Stored):
    """The list of clips that were measured.

    Attributes:
        path: its file.
        n: number of names in it.
        sha256: hash of the names, in their order.
        missing: names that a folder lacks.
    """

    path: str
    n: int
    sha256: str
    missing: tuple[str, ...] = ()


class Evaluation(_Stored):
    """The result of `latentaudio evaluate`.

    Attributes:
        format: what the file is.
        schema_version: version of these fields.
        software: name and version of this package.
        protocol: all settings of the protocol.
        generated: the clips that were measured.
        reference: the clips that they were compared with.
        values: the numbers.
        not_computed: what could not be measured, and why.
        warnings: what makes all numbers doubtful.
        subset: the list of clips that were measured; None: all of the folders.
        classes: class of generated clips by name.
        classes_from: where the classes come from: "folders", "captions" or a network.
        maps: a map of the embeddings for each network.
    """

    format: Literal["latentaudio evaluation"] = "latentaudio evaluation"
    schema_version: Literal[1] = 1
    software: str
    protocol: dict[str, Detail]
    generated: ClipSet
    reference: ClipSet | None = None
    values: tuple[Value, ...] = ()
    not_computed: tuple[NotComputed, ...] = ()
    warnings: tuple[str, ...] = ()
    subset: Subset | None = None
    classes: dict[str, str] = Field(default_factory=dict)
    classes_from: str = ""
    maps: tuple[EmbeddingMap, ...] = ()

    @field_validator("protocol")
    @classmethod
    def _check_protocol(cls, settings: dict[str, Detail]) -> dict[str, Detail]:
        if not isinstance(settings.get("name"), str):
            raise ValueError("a protocol has a name")
        return settings

    def as_dict(self, with_clips: bool = True) -> dict[str, Any]:
        """Return everything as plain values, for JSON.

        Args:
            with_clips: whether to keep the values of single clips.
        """
        record: dict[str, Any] = self.model_dump(mode="json")
        if not with_clips:
            for value in record["values"]:
                del value["by_clip"]
        return record

    def save(self, path: Path) -> None:
        """Write the result as JSON, completely or not at all.

        Raises:
            DataError: The file cannot be written.
        """
        with atomic_write(path, create=False) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def save_csv(self, path: Path) -> None:
        """Write the values of single clips as a table, one row for each clip.

        Raises:
            DataError: The file cannot be written.
        """
        columns = [value for value in self.values if value.by_clip]
        names = list(dict.fromkeys(name for value in columns for name in value.by_clip))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", *(_csv_title(value) for value in columns)])
        for name in names:
            writer.writerow([name, *(value.by_clip.get(name, "") for value in columns)])
        with atomic_write(path, create=False) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")

    def __str__(self) -> str:
        """Return the tables and remarks for the terminal."""
        rows: list[tuple[str, ...]] = [_COLUMNS]
        rows += [_cells(value) for value in self.values]
        lines = [f"{self.generated.path} ({self._sides()}), protocol {self.protocol['name']}", ""]
        if self.protocol.get("differs"):
            lines[1:1] = [f"differs from the program of that name: {self.protocol['differs']}"]
        lines += aligned(rows)
        lines += ["", *aligned(self._level_rows())]
        for value in self.values:
            details = _shown_details(value)
            if details:
                lines.append(f"{value.source}: {details}")
        for missing in self.not_computed:
            on = f" on {missing.backbone}" if missing.backbone else ""
            lines.append(f"not computed: {missing.metric}{on}: {missing.reason}")
        lines += [f"warning: {text}" for text in self.all_warnings]
        return "\n".join(lines)

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """Warnings of the evaluation and of every value."""
        warnings = list(self.warnings)
        for value in self.values:
            warnings += [
                f"{value.full_title} ({value.backbone}): {text}" for text in value.warnings
            ]
        return tuple(dict.fromkeys(warnings))

    def _sides(self) -> str:
        """The number of clips on both sides, and the files left out."""
        parts = [f"{self.generated.n} clips"]
        if self.reference:
            parts.append(f"{self.reference.n} reference clips of {self.reference.path}")
        skipped = len(self.generated.skipped)
        skipped += len(self.reference.skipped) if self.reference else 0
        return ", ".join([*parts, f"{skipped} unreadable files left out"] if skipped else parts)

    def _level_rows(self) -> list[tuple[str, ...]]:
        """Rows of the table of levels: mean (least to greatest) for each side."""
        sides = [side for side in (self.generated, self.reference) if side and side.levels]
        if not sides:
            return []
        rows: list[tuple[str, ...]] = [("", *("generated", "reference")[: len(sides)])]
        for name in sides[0].levels:
            cells = []
            for side in sides:
                level = side.levels.get(name)
                cells.append(_shown_level(level) if level else "")
            rows.append((name, *cells))
        return rows


def load_evaluation(path: Path) -> Evaluation:
    """Read a result that `save` wrote.

    Raises:
        DataError: The file cannot be read or is no such result.
    """
    try:
        stored = parse_json(read_bounded(path, 2**30))
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise DataError(f"{path} is not a result of `latentaudio evaluate --json`")
        if stored.get("schema_version") != SCHEMA_VERSION:
            raise DataError(
                f"{path} has schema version {stored.get('schema_version')!r:.40}; this version of "
                f"latentaudio reads version {SCHEMA_VERSION}"
            )
        return Evaluation.model_validate(stored)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error}); check the name") from None
    except ValidationError as error:
        problem = format_validation_error(error, ())
        raise DataError(f"{path} is damaged: {problem}; evaluate again") from None
    except ValueError as error:
        raise DataError(
            f"{path} is not a result of `latentaudio evaluate --json` ({first_line(error)})"
        ) from None


def format_number(value: float) -> str:
    """Return a number with four significant digits; whole numbers are complete."""
    if value == round(value) and abs(value) < _MAX_WHOLE:
        return str(round(value))
    return f"{value:.4g}"


def _cells(value: Value) -> tuple[str, ...]:
    """One string per column of `_COLUMNS`."""
    interval = ""
    if value.interval:
        interval = " to ".join(map(format_number, value.interval))
    better = {True: "lower", False: "higher", None: ""}[value.is_lower_better]
    return (
        value.full_title,
        value.backbone or "",
        format_number(value.value),
        interval,
        str(value.n),
        better,
    )


def _csv_title(value: Value) -> str:
    parts = [value.metric, value.variant, value.backbone or ""]
    return " ".join(part for part in parts if part)


_SHOWN_DETAILS = {
    "bandwidth": "bandwidth", "bandwidth_rule": "rule", "r_squared": "R²", "slope": "slope",
    "subsets": "subsets", "splits": "splits", "epsilon": "epsilon", "reference": "true clips",
}  # fmt: skip
"""Details that the terminal shows, and their names there."""


def _shown_details(value: Value) -> str:
    parts = []
    for key, name in _SHOWN_DETAILS.items():
        detail = value.details.get(key)
        if detail not in (None, 0, 0.0):
            text = format_number(detail) if isinstance(detail, float) else str(detail)
            parts.append(f"{name} {text}")
    return ", ".join(parts)


def _shown_level(level: Level) -> str:
    span = f"{format_number(level.least)} to {format_number(level.greatest)}"
    return f"{format_number(level.mean)} ({span})"


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the rows of a table as lines with columns of equal width."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
