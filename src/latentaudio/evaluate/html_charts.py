"""Charts of an evaluation's page as SVG: bars by class, and clips on a map. No script is needed."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence

from .report import EmbeddingMap, format_number

COLORS = ("#5b3fa8", "#d0632c", "#16806c", "#b3246b", "#3772c4", "#8a6d00", "#555", "#c03030")
"""Of the models, in their order."""
REFERENCE_COLOR = "#9a9a9a"
MAX_CLASSES = 24
"""Classes with bars of their own; the others are joined."""
OTHERS = "all others"
_BAR_HEIGHT = 11
_GROUP_GAP = 8
_LABEL_WIDTH = 190
_BAR_WIDTH = 300
_NUMBER_WIDTH = 70
_MAX_LABEL_CHARS = 26
_MAP_WIDTH = 560
_MAP_HEIGHT = 400
_MARGIN = 18


def color_of(index: int) -> str:
    """Return the color of a model."""
    return COLORS[index % len(COLORS)]


def means_by_class(
    by_clip: Mapping[str, float], classes: Mapping[str, str]
) -> dict[str, tuple[float, int]]:
    """Return mean and number of clips of every class.

    Args:
        by_clip: values of clips by name.
        classes: class of clips by name.
    """
    values: dict[str, list[float]] = {}
    for name, value in by_clip.items():
        if name in classes:
            values.setdefault(classes[name], []).append(value)
    return {name: (sum(each) / len(each), len(each)) for name, each in values.items()}


def frequent_classes(classes: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the class, or `OTHERS`, under which each class is shown.

    Args:
        classes: class of clips by name, one mapping for each model.
    """
    counts: Counter[str] = Counter()
    for of_model in classes:
        counts.update(of_model.values())
    shown = {name for name, _ in counts.most_common(MAX_CLASSES)}
    if len(counts) == MAX_CLASSES + 1:  # one more takes no more room than "all others"
        shown = set(counts)
    return {name: name if name in shown else OTHERS for name in counts}


def bar_chart(means: Sequence[Mapping[str, tuple[float, int]]], models: Sequence[str]) -> str:
    """Return bars of every class, one for each model.

    Args:
        means: mean and number of clips by class, one mapping for each model.
        models: names of the models.
    """
    totals: dict[str, list[float]] = {}
    for of_model in means:
        for name, (value, _) in of_model.items():
            totals.setdefault(name, []).append(value)
    names = sorted(
        totals, key=lambda name: (name == OTHERS, -sum(totals[name]) / len(totals[name]))
    )
    every = [value for values in totals.values() for value in values]
    lowest = min(0.0, *every)
    highest = max(0.0, *every)
    scale = _BAR_WIDTH / ((highest - lowest) or 1.0)
    zero = _LABEL_WIDTH - lowest * scale
    parts = []
    y = 4
    for name in names:
        height = len(means) * _BAR_HEIGHT
        label = name if len(name) <= _MAX_LABEL_CHARS else f"{name[: _MAX_LABEL_CHARS - 1]}…"
        parts.append(
            f'<text x="{_LABEL_WIDTH - 8}" y="{y + height / 2 + 4:.0f}" text-anchor="end">'
            f"{html.escape(label)}</text>"
        )
        for index, of_model in enumerate(means):
            if name in of_model:
                tip = f"{models[index]}, {name}"
                parts.append(_bar(*of_model[name], zero, scale, y, color_of(index), tip))
            y += _BAR_HEIGHT
        y += _GROUP_GAP
    parts.append(f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{y}" stroke="#888"/>')
    width = _LABEL_WIDTH + _BAR_WIDTH + _NUMBER_WIDTH
    return (
        f'<svg class="bars" role="img" viewBox="0 0 {width} {y}" width="{width}" height="{y}">'
        f"{''.join(parts)}</svg>"
    )


def _bar(
    value: float, count: int, zero: float, scale: float, y: float, color: str, tip: str
) -> str:
    """One bar with its number."""
    left = zero + min(0.0, value) * scale
    width = max(1.0, abs(value) * scale)
    number = format_number(value)
    return (
        f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{_BAR_HEIGHT - 2}" '
        f'fill="{color}"><title>{html.escape(tip)}: {number}, {count} clips</title></rect>'
        f'<text class="small" x="{left + width + 4:.1f}" y="{y + 8}">{number}</text>'
    )


def map_chart(maps: Sequence[EmbeddingMap | None], models: Sequence[str]) -> str:
    """Return the clips of all models in the plane of the reference's principal axes.

    Args:
        maps: of the same network and reference, one for each model, or None.
        models: names of the models.
    """
    known = [each for each in maps if each is not None]
    points: list[tuple[float, float]] = []
    for each in known:
        points += [*each.generated.values(), *each.reference.values()]
    bounds = []
    for axis in range(2):
        values = [place[axis] for place in points]
        bounds.append((min(values), (max(values) - min(values)) or 1.0))

    def circle(place: tuple[float, float], color: str, tip: str) -> str:
        x = _MARGIN + (place[0] - bounds[0][0]) / bounds[0][1] * (_MAP_WIDTH - 2 * _MARGIN)
        y = _MARGIN + (place[1] - bounds[1][0]) / bounds[1][1] * (_MAP_HEIGHT - 2 * _MARGIN)
        return (
            f'<circle cx="{x:.1f}" cy="{_MAP_HEIGHT - y:.1f}" r="4.5" fill="{color}" '
            f'fill-opacity=".65"><title>{html.escape(tip)}</title></circle>'
        )

    parts = []
    reference = known[0].reference  # the same for all
    for name, place in reference.items():
        parts.append(circle(place, REFERENCE_COLOR, f"{name}, reference"))
    for index, plane in enumerate(maps):
        for name, place in (plane.generated if plane else {}).items():
            parts.append(circle(place, color_of(index), f"{name}, {models[index]}"))
    return (
        f'<svg class="map" role="img" viewBox="0 0 {_MAP_WIDTH} {_MAP_HEIGHT}" '
        f'width="{_MAP_WIDTH}" height="{_MAP_HEIGHT}">{"".join(parts)}</svg>'
    )
