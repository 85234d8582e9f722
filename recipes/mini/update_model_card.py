"""Write the measured scores to benchmarks/mini.md and to the table of the model card.

latentaudio evaluate quality mini --output benchmarks/mini.json
latentaudio benchmark mini --output benchmarks/mini-speed.json
python recipes/mini/update_model_card.py
"""

import re
from pathlib import Path

from latentaudio.benchmark.end_to_end import SEED
from latentaudio.benchmark.report import BenchmarkResults
from latentaudio.evaluate.mini.report import Report

ROOT = Path(__file__).parent.parent.parent
BENCHMARKS = ROOT / "benchmarks"
CARD = ROOT / "src" / "latentaudio" / "assets" / "mini" / "README.md"
INTRODUCTION = """# Quality of `mini`

Printed by `latentaudio evaluate quality mini --output benchmarks/mini.json` on two cores (AVX-512,
bf16). "Ceiling (ground truth)" is the same metric on ground truth.
"""
SECTION = "## Scores"
SCORES = f"""{SECTION}
Printed by `latentaudio evaluate quality mini` and `latentaudio benchmark mini`.
`benchmarks/mini.md` has the accuracy of every sound class.

| metric | mini | ceiling (ground truth) | target | N | seed |
|---|---|---|---|---|---|
"""


def score_rows() -> list[tuple[str, ...]]:
    """Return the rows of the card's table: quality first, then speed and memory."""
    rows: list[tuple[str, ...]] = []
    for metric in Report.load(BENCHMARKS / "mini.json").metrics:
        name, value, target, ceiling, n, seed, _, _ = metric.cells()
        rows.append((name, value, ceiling, target, n, seed))
    [cost] = BenchmarkResults.load(BENCHMARKS / "mini-speed.json").end_to_end
    for measure, value, target, n, _ in cost.rows():
        rows.append((measure, value, "", target, n, str(SEED)))
    return rows


def main() -> None:
    """Write both documents."""
    report = Report.load(BENCHMARKS / "mini.json")
    text = f"{INTRODUCTION}\n```\n{report}\n```\n"
    (BENCHMARKS / "mini.md").write_text(text, encoding="utf-8")
    table = SCORES
    for row in score_rows():
        table += f"| {' | '.join(row)} |\n"
    card = CARD.read_text(encoding="utf-8")
    pattern = rf"{SECTION}\n.*?\n(?=## )"
    updated, count = re.subn(pattern, lambda _: table + "\n", card, flags=re.S)
    assert count == 1, f"{CARD} has no section {SECTION!r}"
    CARD.write_text(updated, encoding="utf-8")


if __name__ == "__main__":
    main()
