"""Write the measured numbers into the documents: benchmarks/mini.md and the table of the model card.

latentaudio bench mini --output benchmarks/mini.json && python recipes/mini/card.py
"""

import json
import re
from pathlib import Path

from latentaudio.evaluate.report import Line, Report

ROOT = Path(__file__).parent.parent.parent
CARD = ROOT / "src" / "latentaudio" / "assets" / "mini" / "README.md"
HEAD = """# How `mini` scores

Printed by `latentaudio bench mini --output benchmarks/mini.json` on two cores (AVX-512, bf16). "renders" is the same measure on
true renders: the ceiling.
"""
SCORES = """## How it scores
`latentaudio bench mini`; every kind is in `benchmarks/mini.md`.

| measure | mini | true renders | wanted | N | seed |
|---|---|---|---|---|---|
"""


def read(path: Path) -> Report:
    """The report that `bench --output` wrote."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        Line(**{key: value for key, value in line.items() if key != "reached"})
        for line in stored["lines"]
    ]
    return Report(
        stored["model"], lines, stored["kinds"], [tuple(mistake) for mistake in stored["mistakes"]]
    )


def row(line: Line) -> str:
    """A line of the card's table."""
    name, value, target, renders, count, seed, _, _ = line.cells()
    return f"| {name} | {value} | {renders} | {target} | {count} | {seed} |\n"


def main() -> None:
    """See the file's docstring."""
    report = read(ROOT / "benchmarks" / "mini.json")
    (ROOT / "benchmarks" / "mini.md").write_text(f"{HEAD}\n```\n{report}\n```\n", encoding="utf-8")
    table = SCORES + "".join(map(row, report.lines))
    card = CARD.read_text(encoding="utf-8")
    text, found = re.subn(
        r"## How it scores\n.*?\n(?=## )", lambda _: table + "\n", card, flags=re.S
    )
    assert found == 1, f"{CARD} has no section 'How it scores'"
    CARD.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
