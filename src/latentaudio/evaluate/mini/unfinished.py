"""A report that grows part by part and is stored after each, so that a stopped command goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from ...config.stored_results import read_results
from ...fileio import atomic_write
from .report import Report

_Benchmark = TypeVar("_Benchmark")


def unfinished_file(output: Path) -> Path:
    """Return the file that holds the results of a stopped command.

    Args:
        output: File of the complete results.
    """
    return output.with_suffix(f".unfinished{output.suffix}")


@dataclass
class UnfinishedReport:
    """A report, and which of its parts are in it.

    Attributes:
        report: the metrics so far.
        settings: all that they depend on.
        finished: names of the parts that are complete.
    """

    report: Report
    settings: dict[str, str | int | float] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)

    def save(self, file: Path) -> None:
        """Write it as JSON.

        Raises:
            DataError: The file cannot be written.
        """
        record = asdict(self) | {"report": self.report.as_dict()}
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")


class ReportStore:
    """Measures the parts of a report that are not in its file yet.

    Attributes:
        is_continued: whether the file had parts of the same measurement.
    """

    def __init__(
        self,
        model: str,
        settings: Mapping[str, str | int | float] | None = None,
        file: Path | None = None,
    ) -> None:
        """Open the report of a stopped command, or begin one.

        Args:
            model: name of the model.
            settings: all that the metrics depend on. A file with others is written anew.
            file: where parts are stored; None: nowhere.

        Raises:
            DataError: The file exists and holds something else.
        """
        self._file = file
        self._state = UnfinishedReport(Report(model), dict(settings or {}))
        self.is_continued = False
        if file is not None and file.exists():
            stored = read_results(file, UnfinishedReport, "an unfinished report")
            same_model = stored.report.model == model
            self.is_continued = same_model and stored.settings == self._state.settings
            if self.is_continued:
                self._state = stored

    @property
    def report(self) -> Report:
        """The report, to which parts add their metrics."""
        return self._state.report

    def measure(
        self, benchmark: _Benchmark, parts: Mapping[str, Callable[[_Benchmark, Report], None]]
    ) -> Report:
        """Measure the parts that are not finished, and store each of them.

        Args:
            benchmark: what the parts measure.
            parts: functions that add metrics to a report, by name.

        Returns:
            The report with all parts.

        Raises:
            DataError: The file cannot be written.
        """
        for name, part in parts.items():
            if name in self._state.finished:
                continue
            part(benchmark, self.report)
            self._state.finished.append(name)
            if self._file is not None:
                self._state.save(self._file)
        return self.report

    def remove(self) -> None:
        """Delete the file; call it when the complete report is written."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
