"""The result of an evaluation as a page for a browser: one file, which needs no network.

The page has the table of numbers with their intervals, levels, warnings, players with spectrograms
of some clips, and what is needed to get the same numbers again.

Letters: C channels, T samples.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..audio.encoding import encode
from ..audio.io import read
from ..audio.plot import plot_png
from ..errors import DataError
from ..fileio import atomic_write
from .clips import find_clips
from .report import ClipSet, Evaluation, Value, format_number

MAX_CLIPS = 12  # with a player
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .8rem; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
figure { display: inline-block; width: 31%; min-width: 18rem; margin: .5rem }
figure img, figure audio { width: 100% }
pre { background: #f4f4f4; padding: 1rem; overflow: auto }
.warning { background: #fff3cd; padding: .5rem 1rem; margin: .3rem 0 }
"""


def save_page(result: Evaluation, path: Path) -> None:
    """Write the page.

    Args:
        result: the evaluation.
        path: the file, replaced completely or not at all.

    Raises:
        DataError: The file cannot be written.
    """
    with atomic_write(path, create=False) as temporary:
        temporary.write_text(render_page(result), encoding="utf-8")


def render_page(result: Evaluation) -> str:
    """Return the page as HTML."""
    title = f"Evaluation of {result.generated.path}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(_summary(result))}</p>",
        *_warnings(result.all_warnings),
        "<h2>Numbers</h2>",
        _values_table(result.values),
        *_missing(result),
        "<h2>Levels</h2>",
        _levels_table(result),
        "<h2>Clips</h2>",
        *_players(result),
        "<h2>The same numbers again</h2>",
        _reproduction(result),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _summary(result: Evaluation) -> str:
    text = f"{result.generated.n} clips"
    if result.reference:
        text += f", compared with {result.reference.n} clips of {result.reference.path}"
    return f"{text}. Protocol {result.protocol['name']}. {result.software}."


def _warnings(warnings: Iterable[str]) -> list[str]:
    return [f'<p class="warning">{html.escape(text)}</p>' for text in warnings]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns after the first two are numbers."""
    lines = ["<table><tr>", *(f"<th>{html.escape(name)}</th>" for name in header), "</tr>"]
    for row in rows:
        lines.append("<tr>")
        for column, cell in enumerate(row):
            kind = ' class="number"' if column > 1 else ""
            lines.append(f"<td{kind}>{html.escape(cell)}</td>")
        lines.append("</tr>")
    return "".join([*lines, "</table>"])


def _values_table(values: Sequence[Value]) -> str:
    rows = []
    for value in values:
        interval = ""
        if value.interval:
            interval = " to ".join(map(format_number, value.interval))
        better = {True: "lower", False: "higher", None: ""}[value.is_lower_better]
        number = format_number(value.value)
        rows.append(
            (value.full_title, value.backbone or "", number, interval, str(value.n), better)
        )
    return _table(("metric", "network", "value", "95 % interval", "N", "better"), rows)


def _missing(result: Evaluation) -> list[str]:
    lines = []
    for missing in result.not_computed:
        text = f"Not computed: {missing.metric} {missing.backbone or ''}: {missing.reason}"
        lines.append(f"<p>{html.escape(text)}</p>")
    return lines


def _levels_table(result: Evaluation) -> str:
    rows = []
    sides = (("generated", result.generated), ("reference", result.reference))
    for label, side in sides:
        for name, level in (side.levels if side else {}).items():
            numbers = [format_number(level[key]) for key in ("mean", "least", "greatest")]
            rows.append((name, label, *numbers))
    return _table(("level", "clips", "mean", "least", "greatest"), rows)


def _players(result: Evaluation) -> list[str]:
    """Players with spectrograms of some generated clips, each beside its reference clip."""
    lines = []
    references = _files(result.reference)
    generated = _files(result.generated)
    names = list(generated)
    places = np.unique(np.linspace(0, len(names) - 1, min(MAX_CLIPS, len(names))).round())
    for place in places.astype(int).tolist():
        name = names[place]
        lines.append(_figure(f"{name}, generated", generated[name]))
        if name in references:
            lines.append(_figure(f"{name}, reference", references[name]))
    return lines


def _files(side: ClipSet | None) -> dict[str, Path]:
    """Files of the clips by name, without those that were left out; {} if there are none."""
    if side is None or not Path(side.path).is_dir():
        return {}
    folder = find_clips(Path(side.path))
    files = zip(folder.names, folder.files, strict=True)
    return {name: file for name, file in files if str(file) not in side.skipped}


def _figure(title: str, file: Path) -> str:
    """A player and a spectrogram; the reason if the file cannot be read any more."""
    try:
        samples, rate = read(file)
    except DataError as error:
        return f"<p>{html.escape(str(error))}</p>"
    sound = base64.b64encode(encode(samples, rate, ".flac")).decode()
    image = base64.b64encode(plot_png(samples, rate)).decode()
    label = html.escape(title, quote=True)
    return (
        f"<figure><figcaption>{label}</figcaption>"
        f'<img alt="spectrogram of {label}" src="data:image/png;base64,{image}">'
        f'<audio controls src="data:audio/flac;base64,{sound}"></audio></figure>'
    )


def _reproduction(result: Evaluation) -> str:
    """Protocol, hashes and settings behind the numbers."""
    networks = {}
    for value in result.values:
        if value.backbone:
            networks[value.backbone] = {
                "weights_sha256": value.weights_sha256,
                "sample_rate": value.sample_rate,
                "resampler": value.resampler,
            }
    facts = {
        "software": result.software,
        "generated_sha256": result.generated.sha256,
        "reference_sha256": result.reference.sha256 if result.reference else None,
        "networks": networks,
        "protocol": result.protocol,
    }
    command = f"latentaudio evaluate --generated {result.generated.path}"
    if result.reference:
        command += f" --reference {result.reference.path}"
    command += f" --protocol {result.protocol['name']}"
    text = f"{command}\n\n{json.dumps(facts, indent=1, ensure_ascii=False)}"
    return f"<pre>{html.escape(text)}</pre>"
