"""Results of an evaluation: metrics with their targets, as a table and as JSON.

Letter: N number of clips (or of places in clips) that a metric is computed over.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...config.stored_results import read_results
from ...fileio import atomic_write
from ..report import aligned

Unit = Literal["%", "x", ""]
Result = Literal["pass", "fail"]

MAX_CONFUSIONS_SHOWN = 20  # in the printed table; the JSON file has all of them
COLUMNS = ("metric", "value", "target", "ceiling (ground truth)", "N", "seed", "result", "note")


@dataclass(frozen=True)
class Metric:
    """One measured number and its target.

    Attributes:
        name: the metric.
        value: the measured number; a fraction if `unit` is "%".
        unit: "%", "x" (a ratio) or "" (no unit).
        n: number of clips that the value is computed over.
        seed: seed of the prompts and of the clips.
        target: the value to reach; None if the metric is shown for comparison only.
        lower_is_better: if true, the target is an upper bound.
        ceiling: the same metric on ground truth.
        note: details, for the last column.
    """

    name: str
    value: float
    unit: Unit
    n: int
    seed: int
    target: float | None = None
    lower_is_better: bool = False
    ceiling: float | None = None
    note: str = ""

    @property
    def result(self) -> Result | None:
        """Whether the value reaches its target; None without a target."""
        if self.target is None:
            return None
        if self.lower_is_better:
            return "pass" if self.value <= self.target else "fail"
        return "pass" if self.value >= self.target else "fail"

    def cells(self) -> tuple[str, ...]:
        """Return the metric as text, one string per column of `COLUMNS`."""
        target = ""
        if self.target is not None:
            bound = "<=" if self.lower_is_better else ">="
            target = f"{bound} {_format(self.target, self.unit)}"
        ceiling = "" if self.ceiling is None else _format(self.ceiling, self.unit)
        result = "FAIL" if self.result == "fail" else self.result or ""
        value = _format(self.value, self.unit)
        return (self.name, value, target, ceiling, str(self.n), str(self.seed), result, self.note)


@dataclass
class Report:
    """The results of one model.

    Attributes:
        model: name or folder of the model.
        metrics: every metric, in the order of measurement.
        class_accuracy: top-1 accuracy of every sound class.
        confusions: (prompted class, predicted class, number of clips), most frequent first.
    """

    model: str
    metrics: list[Metric] = field(default_factory=list)
    class_accuracy: dict[str, float] = field(default_factory=dict)
    confusions: list[tuple[str, str, int]] = field(default_factory=list)

    def metric(self, name: str) -> Metric:
        """Return the metric of that name. Raises KeyError if there is none."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)

    @property
    def worst_class(self) -> tuple[str, float]:
        """The sound class with the lowest accuracy, and that accuracy."""
        return min(self.class_accuracy.items(), key=lambda item: item[1])

    def __str__(self) -> str:
        """Return the table for the terminal."""
        rows: list[tuple[str, ...]] = [COLUMNS]
        rows += [metric.cells() for metric in self.metrics]
        title = f"evaluation of {self.model}"
        return "\n".join([title, "", *aligned(rows), *self._class_lines()])

    def _class_lines(self) -> list[str]:
        """Lines on accuracy by class and on confusions."""
        lines = []
        if self.class_accuracy:
            ranked = sorted(self.class_accuracy.items(), key=lambda item: (item[1], item[0]))
            accuracies = ", ".join(f"{name} {accuracy:.0%}" for name, accuracy in ranked)
            lines += ["", f"accuracy by class (worst first): {accuracies}"]
        if self.confusions:
            shown = self.confusions[:MAX_CONFUSIONS_SHOWN]
            pairs = ", ".join(
                f"{prompted} as {predicted} ({n}x)" for prompted, predicted, n in shown
            )
            lines.append(f"confusions (prompted as predicted): {pairs}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "model": self.model,
            "metrics": [{**asdict(metric), "result": metric.result} for metric in self.metrics],
            "class_accuracy": self.class_accuracy,
            "confusions": [list(confusion) for confusion in self.confusions],
        }

    def save(self, path: Path) -> None:
        """Write the report as JSON. An interrupted write leaves no file.

        Args:
            path: the file to write.

        Raises:
            DataError: the file cannot be written.
        """
        with atomic_write(path) as temporary:
            text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read a report that `save` wrote.

        Args:
            path: the JSON file.

        Returns:
            The report.

        Raises:
            DataError: the file does not exist or is not such a report.
        """
        return read_results(path, cls, "a report of `evaluate --output`")


def _format(value: float, unit: Unit) -> str:
    if unit == "%":
        return f"{value:.1%}"
    if unit == "x":
        return f"{value:.2f}x"
    return f"{value:.2g}"
