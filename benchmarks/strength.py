"""Draw the effect of the strength of a transfer, from a report of `latentaudio evaluate editing`.

    latentaudio evaluate editing --output benchmarks/edits.json
    python benchmarks/strength.py benchmarks/edits.json docs/strength.svg

The figure has three curves over strength: the fraction of dogs that the classifier names as bells,
the correlation of the envelope with that of the source, and the mean log-mel distance to the
source, relative to its maximum.
"""

import json
import re
import sys
from pathlib import Path

METRIC = "transfer: target accuracy (strength 0.5)"
POINT = r"([\d.]+): ([\d.]+)%/(-?[\d.]+)/([\d.]+)"  # strength: accuracy/correlation/distance

# Size of the figure and its margins, in pixels
WIDTH = 640
HEIGHT = 320
LEFT = 50
RIGHT = 10
TOP = 30
BOTTOM = 40
CURVE_LABEL_WIDTH = 190

CURVES = (
    ("classified as a bell", "#46206e"),
    ("envelope correlation", "#b6367a"),
    ("log-mel distance, of its maximum", "#e07b39"),
)
Curve = list[tuple[float, float]]


def read_curves(report: Path) -> list[Curve]:
    """Return the points (strength, value) of each curve."""
    metrics = json.loads(report.read_text(encoding="utf-8"))["metrics"]
    [note] = [metric["note"] for metric in metrics if metric["name"] == METRIC]
    accuracies: Curve = []
    correlations: Curve = []
    distances: Curve = []
    for point in re.findall(POINT, note):
        strength, accuracy, correlation, distance = map(float, point)
        accuracies.append((strength, accuracy / 100))
        correlations.append((strength, correlation))
        distances.append((strength, distance))
    max_distance = max(distance for _, distance in distances)
    relative = [(strength, distance / max_distance) for strength, distance in distances]
    return [accuracies, correlations, relative]


def to_pixels(x: float, y: float) -> tuple[str, str]:
    """Return the pixel coordinates of a point of the unit square."""
    left = LEFT + x * (WIDTH - LEFT - RIGHT)
    top = TOP + (1 - y) * (HEIGHT - TOP - BOTTOM)
    return f"{left:.1f}", f"{top:.1f}"


def draw(curves: list[Curve]) -> str:
    """Return the figure as SVG."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x, bottom = to_pixels(tick, 0)
        left, y = to_pixels(0, tick)
        right, _ = to_pixels(1, tick)
        out.append(f'<path d="M{left},{y} L{right},{y}" stroke="#ddd"/>')
        out.append(f'<text x="{x}" y="{float(bottom) + 16}" text-anchor="middle">{tick:g}</text>')
        label_x = float(left) - 6
        label_y = float(y) + 4
        out.append(f'<text x="{label_x}" y="{label_y}" text-anchor="end">{tick:g}</text>')
    for k, ((name, color), curve) in enumerate(zip(CURVES, curves, strict=True)):
        points = " ".join(",".join(to_pixels(*point)) for point in curve)
        out.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        out.append(f'<text x="{LEFT + k * CURVE_LABEL_WIDTH}" y="16" fill="{color}">{name}</text>')
    out.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">strength</text></svg>')
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    svg = draw(read_curves(Path(sys.argv[1])))
    Path(sys.argv[2]).write_text(svg, encoding="utf-8")
