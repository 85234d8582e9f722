"""Draw what strengths of a transfer do, from a report of `latentaudio bench edit`.

    latentaudio bench edit --output benchmarks/edits.json
    python benchmarks/strength.py benchmarks/edits.json docs/strength.svg

Three curves over strength, each of its own scale: how many of the dogs the judge hears as bells, how well the envelope follows
the dog's, and the mean distance of log-mels from the dog, as a share of its largest.
"""

import json
import re
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, FOOT = 640, 320, 50, 30, 40
CURVES = (
    ("judged a bell", "#46206e"),
    ("envelope of the dog", "#b6367a"),
    ("distance of log-mels, of its largest", "#e07b39"),
)


def curves(report: Path) -> list[list[tuple[float, float]]]:
    """(strength, value) of each curve."""
    lines = {line["name"]: line for line in json.loads(report.read_text())["lines"]}
    found = re.findall(
        r"([\d.]+): ([\d.]+)%/(-?[\d.]+)/([\d.]+)", lines["dog to bell at 0.5, bell"]["note"]
    )
    rows = [tuple(map(float, row)) for row in found]
    most = max(row[3] for row in rows)
    return [
        [(row[0], row[1] / 100) for row in rows],
        [(row[0], row[2]) for row in rows],
        [(row[0], row[3] / most) for row in rows],
    ]


def place(x: float, y: float) -> str:
    """Pixels of a point of the unit square."""
    return f"{LEFT + x * (WIDTH - LEFT - 10):.1f},{TOP + (1 - y) * (HEIGHT - TOP - FOOT):.1f}"


def drawing(points: list[list[tuple[float, float]]]) -> str:
    """The SVG."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        (x, foot), (left, y) = place(tick, 0).split(","), place(0, tick).split(",")
        out.append(f'<path d="M{place(0, tick)} L{place(1, tick)}" stroke="#ddd"/>')
        out.append(f'<text x="{x}" y="{float(foot) + 16}" text-anchor="middle">{tick:g}</text>')
        out.append(
            f'<text x="{float(left) - 6}" y="{float(y) + 4}" text-anchor="end">{tick:g}</text>'
        )
    for k, ((name, colour), line) in enumerate(zip(CURVES, points, strict=True)):
        path = " ".join(place(*point) for point in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{LEFT + k * 190}" y="16" fill="{colour}">{name}</text>')
    out.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">strength</text></svg>')
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(drawing(curves(Path(sys.argv[1]))), encoding="utf-8")
