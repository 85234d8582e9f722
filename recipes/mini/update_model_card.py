"""Write the measured scores to the table of the model card.

latentaudio evaluate mini --parts stages diversity pairs presets quality \\
  --recordings data/recordings/test --output benchmarks/mini.json --markdown benchmarks/mini.md
latentaudio benchmark mini --output benchmarks/mini-speed.json
python recipes/mini/update_model_card.py
"""

import re
from pathlib import Path

from latentaudio.benchmark.end_to_end import SEED
from latentaudio.benchmark.report import BenchmarkResults
from latentaudio.evaluate.mini.yamnet_report import YAMNetReport

ROOT = Path(__file__).parent.parent.parent
BENCHMARKS = ROOT / "benchmarks"
CARD = ROOT / "src" / "latentaudio" / "assets" / "mini" / "README.md"
SECTION = "## Scores"
SCORES = f"""{SECTION}
Printed by `latentaudio evaluate mini --parts quality` and `latentaudio benchmark mini`.
`benchmarks/mini.md` has the accuracy of every sound class, and what YAMNet says.

| metric | mini | ceiling (ground truth) | target | N | seed |
|---|---|---|---|---|---|
"""


def score_rows() -> list[tuple[str, ...]]:
    """Return the rows of the card's table: quality first, then speed and memory."""
    rows: list[tuple[str, ...]] = []
    quality = YAMNetReport.load(BENCHMARKS / "mini.json").quality
    assert quality is not None, "benchmarks/mini.json lacks the part quality"
    for metric in quality.metrics:
        name, value, target, ceiling, n, seed, _, _ = metric.cells()
        rows.append((name, value, ceiling, target, n, seed))
    [cost] = BenchmarkResults.load(BENCHMARKS / "mini-speed.json").end_to_end
    for measure, value, target, n, _ in cost.rows():
        rows.append((measure, value, "", target, n, str(SEED)))
    return rows


def main() -> None:
    """Write the table."""
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
