"""What a bench found: lines of numbers with their targets, as a table for people and as JSON for machines.

Knows numbers and text. Refuses to know how anything was measured.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..fileio import replacing

Unit = Literal["%", "x", "s", "GB", ""]


@dataclass(frozen=True)
class Line:
    """One measurement: its value, the target, what renders reach by the same measure, and how many clips it rests on.

    `most`: the target is an upper bound. A line without a target is shown for comparison only.
    """

    name: str
    value: float
    unit: Unit
    count: int
    seed: int
    target: float | None = None
    most: bool = False
    ceiling: float | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value <= self.target if self.most else self.value >= self.target

    def cells(self) -> tuple[str, ...]:
        """The line in words: name, value, target, renders, N, seed, verdict and note."""
        bound = (
            ""
            if self.target is None
            else f"{'<=' if self.most else '>='} {_said(self.target, self.unit)}"
        )
        ceiling = "" if self.ceiling is None else _said(self.ceiling, self.unit)
        verdict = {True: "yes", False: "NO", None: ""}[self.reached]
        return (
            self.name,
            _said(self.value, self.unit),
            bound,
            ceiling,
            str(self.count),
            str(self.seed),
            verdict,
            self.note,
        )


@dataclass
class Report:
    """All lines, the share right of every kind, and what was mistaken for what (asked, heard, how often)."""

    model: str
    lines: list[Line] = field(default_factory=list)
    kinds: dict[str, float] = field(default_factory=dict)
    mistakes: list[tuple[str, str, int]] = field(default_factory=list)

    def line(self, name: str) -> Line:
        """The line of that name."""
        return next(line for line in self.lines if line.name == name)

    @property
    def worst(self) -> tuple[str, float]:
        """The kind that is right least often, and how often."""
        return min(self.kinds.items(), key=lambda item: item[1])

    def __str__(self) -> str:
        head = ("measure", "value", "target", "renders", "N", "seed", "reached", "")
        rows = [head, *(line.cells() for line in self.lines)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        if self.kinds:
            names = sorted(self.kinds, key=lambda kind: (self.kinds[kind], kind))
            table += [
                "",
                "right, by kind (worst first): "
                + ", ".join(f"{name} {self.kinds[name]:.0%}" for name in names),
            ]
        if self.mistakes:
            table += [
                "mistaken: "
                + ", ".join(
                    f"{asked} for {heard} ({times}x)" for asked, heard, times in self.mistakes[:20]
                )
            ]
        return "\n".join([f"bench of {self.model}", "", *table])

    def as_dict(self) -> dict[str, Any]:
        """Everything, in plain values."""
        return {
            "model": self.model,
            "lines": [{**asdict(line), "reached": line.reached} for line in self.lines],
            "kinds": self.kinds,
            "mistakes": [list(mistake) for mistake in self.mistakes],
        }

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all. Raises DataError where that cannot be."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")


def _said(value: float, unit: Unit) -> str:
    if unit == "%":
        return f"{value:.1%}"
    return f"{value:.2f}{' ' if unit in ('s', 'GB') else ''}{unit}" if unit else f"{value:.2g}"
