"""Results of evaluations as a page for a browser: one file, which needs no network.

The page has the numbers of one model, or of several side by side, bars by class, a map of the
embeddings, levels, warnings, players with spectrograms of some clips, and what is needed to get the
same numbers again.

Letters: C channels, T samples.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..audio.encoding import encode
from ..audio.io import info, read
from ..audio.plot import plot_image
from ..errors import DataError, UsageError
from ..fileio import atomic_write
from .clips import find_clips, short_names
from .compare import check_alike
from .html_charts import (
    REFERENCE_COLOR,
    bar_chart,
    color_of,
    frequent_classes,
    map_chart,
    means_by_class,
)
from .report import ClipSet, Evaluation, Level, Value, format_number

MAX_CLIPS = 12  # with a player, for each model
_IMAGE_SIZE = (520, 228)
_IMAGE_COLORS = 64
_STYLE = """
:root { --line: #d8d8d8; --soft: #f5f5f7 }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1e; max-width: 76rem; margin: 2rem auto;
  padding: 0 1rem }
h2 { margin-top: 2.5rem; border-bottom: 2px solid var(--line) }
h3 { margin-bottom: .3rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .9rem .35rem 0; text-align: left;
  vertical-align: top }
th { font-size: .85rem }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td small { color: #666; display: block }
.key { display: inline-block; width: .8em; height: .8em; border-radius: .2em; margin-right: .4em }
.legend span { margin-right: 1.2rem; white-space: nowrap }
.charts { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem }
svg { max-width: 100%; height: auto }
.charts > div { max-width: 36rem }
svg text { font-size: 12px; fill: #1c1c1e }
svg text.small { font-size: 10px; fill: #555 }
svg.map { background: var(--soft); border: 1px solid var(--line) }
section.clip { border-top: 1px solid var(--line); padding: .6rem 0 }
section.clip > p { margin: 0 0 .3rem }
.players { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem }
figure { margin: 0 }
figcaption { font-size: .9rem }
figure img, figure audio { width: 100%; display: block }
figure audio { height: 2.4rem; margin-top: .2rem }
pre { background: var(--soft); padding: 1rem; overflow: auto; font-size: .85rem }
.warning { background: #fff3cd; padding: .4rem 1rem; margin: .3rem 0 }
"""


def save_page(results: Sequence[Evaluation], path: Path) -> None:
    """Write the page.

    Args:
        results: the evaluations, one for each model.
        path: the file, replaced completely or not at all.

    Raises:
        UsageError: The results are of unlike protocols or reference clips.
        DataError: The file cannot be written.
    """
    text = render_page(results)
    with atomic_write(path, create=False) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_page(results: Sequence[Evaluation]) -> str:
    """Return the page as HTML.

    Raises:
        UsageError: The results are of unlike protocols or reference clips.
    """
    for result in results[1:]:
        check_alike(results[0], result)
    models = _model_names(results)
    title = f"Evaluation of {', '.join(models)}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(_summary(results, models))}</p>",
        *_warnings(results, models),
        "<h2>Numbers</h2>",
        _values_table(results, models),
        *_missing(results),
        *_classes(results, models),
        *_maps(results, models),
        "<h2>Levels</h2>",
        _levels_table(results, models),
        "<h2>Clips</h2>",
        *_players(results, models),
        "<h2>The same numbers again</h2>",
        *map(_reproduction, results),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _model_names(results: Sequence[Evaluation]) -> tuple[str, ...]:
    """Short names of the folders of clips.

    Raises:
        UsageError: Two results are of the same folder.
    """
    paths = [Path(result.generated.path) for result in results]
    if len(set(paths)) < len(paths):
        raise UsageError(f"two results are of the same clips {paths[0]}; name unlike results")
    return short_names(paths)


def _summary(results: Sequence[Evaluation], models: Sequence[str]) -> str:
    result = results[0]
    counts = []
    for each, model in zip(results, models, strict=True):
        counts.append(f"{each.generated.n} clips of {model}")
    text = ", ".join(counts)
    if result.reference:
        text += f", compared with {result.reference.n} clips of {result.reference.path}"
    text += f". Protocol {result.protocol['name']}. {result.software}."
    differs = result.protocol.get("differs")
    return f"{text} Differs from the program of that name: {differs}." if differs else text


def _warnings(results: Sequence[Evaluation], models: Sequence[str]) -> list[str]:
    """Warnings; what all models share stands once."""
    by_text: dict[str, list[str]] = {}
    for result, model in zip(results, models, strict=True):
        for text in result.all_warnings:
            by_text.setdefault(text, []).append(model)
    lines = []
    for text, names in by_text.items():
        label = "" if len(names) == len(models) else f"{', '.join(names)}: "
        lines.append(f'<p class="warning">{html.escape(label + text)}</p>')
    return lines


def _key(color: str) -> str:
    return f'<i class="key" style="background:{color}"></i>'


def _legend(models: Sequence[str], has_reference: bool = False) -> str:
    """Names of the models with their colors."""
    keys = [(color_of(index), model) for index, model in enumerate(models)]
    if has_reference:
        keys.append((REFERENCE_COLOR, "reference"))
    spans = [f"<span>{_key(color)}{html.escape(name)}</span>" for color, name in keys]
    return f'<p class="legend">{"".join(spans)}</p>'


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], num_texts: int) -> str:
    """A table of escaped cells whose columns after the first ones are numbers."""

    def cells(tag: str, row: Sequence[str]) -> str:
        parts = []
        for column, cell in enumerate(row):
            kind = ' class="number"' if column >= num_texts else ""
            parts.append(f"<{tag}{kind}>{cell}</{tag}>")
        return f"<tr>{''.join(parts)}</tr>"

    lines = [cells("th", header), *(cells("td", row) for row in rows)]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _by_source(results: Sequence[Evaluation]) -> dict[tuple[str, str | None], list[Value | None]]:
    """Values of all models, None where one has none, by title and network."""
    rows: dict[tuple[str, str | None], list[Value | None]] = {}
    for index, result in enumerate(results):
        for value in result.values:
            key = (value.full_title, value.backbone)
            rows.setdefault(key, [None] * len(results))[index] = value
    return rows


def _values_table(results: Sequence[Evaluation], models: Sequence[str]) -> str:
    rows = []
    for (title, backbone), values in _by_source(results).items():
        first = next(value for value in values if value is not None)
        better = {True: "lower", False: "higher", None: ""}[first.is_lower_better]
        rows.append(
            (html.escape(title), html.escape(backbone or ""), better, *map(_number_cell, values))
        )
    names = [_key(color_of(index)) + html.escape(model) for index, model in enumerate(models)]
    return _table(("metric", "network", "better", *names), rows, 3)


def _number_cell(value: Value | None) -> str:
    """A number with its interval and N."""
    if value is None:
        return ""
    interval = ""
    if value.interval:
        interval = f"{' to '.join(map(format_number, value.interval))}, "
    return f"{format_number(value.value)}<small>{interval}N {value.n}</small>"


def _missing(results: Sequence[Evaluation]) -> list[str]:
    lines = []
    for result in results:
        for missing in result.not_computed:
            text = f"Not computed: {missing.metric} {missing.backbone or ''}: {missing.reason}"
            lines.append(f"<p>{html.escape(text)}</p>")
    return list(dict.fromkeys(lines))


_OF_SETS = ("frechet", "frechet-infinity", "kad", "kid", "inception-score")
"""Metrics of sets of clips, whose values by clip are contributions."""


def _classes(results: Sequence[Evaluation], models: Sequence[str]) -> list[str]:
    """Bars by class of all metrics of single clips; of sets, their contributions, without those."""
    classes = [result.classes for result in results]
    if not all(classes):
        return []
    shown = frequent_classes(classes)
    labels = [{name: shown[label] for name, label in each.items()} for each in classes]
    charts = []
    rows = {
        key: row for key, row in _by_source(results).items() if any(v and v.by_clip for v in row)
    }
    single = {
        key: row for key, row in rows.items() if all(v and v.metric not in _OF_SETS for v in row)
    }
    for (title, backbone), values in (single or rows).items():
        means = []
        for value, of_model in zip(values, labels, strict=True):
            means.append(means_by_class(value.by_clip if value else {}, of_model))
        if any(means):
            source = html.escape(f"{title} ({backbone})" if backbone else title)
            charts.append(f"<div><h3>{source}</h3>{bar_chart(means, models)}</div>")
    if not charts:
        return []
    source = results[0].classes_from
    origin = {"folders": "the subfolders", "captions": "the list of captions"}
    text = f"The classes come from {origin.get(source, f'the network {source}')}."
    if not single:
        text += " A bar is the mean of the set's number plus the contribution of each clip."
    return [
        "<h2>By class</h2>",
        f"<p>{html.escape(text)}</p>",
        _legend(models),
        f'<div class="charts">{"".join(charts)}</div>',
    ]


def _maps(results: Sequence[Evaluation], models: Sequence[str]) -> list[str]:
    """Maps of all networks that every model shares."""
    lines = []
    for plane in results[0].maps:
        same = []
        for result in results:
            same.append(
                next((each for each in result.maps if each.backbone == plane.backbone), None)
            )
        percent = [f"{part:.0%}" for part in plane.explained]
        lines += [
            f"<div><h3>{html.escape(plane.backbone)}</h3>",
            f"<p>Two principal axes, with {percent[0]} and {percent[1]} of the variance.</p>",
            _legend(models, has_reference=bool(plane.reference)),
            f"{map_chart(same, models)}</div>",
        ]
    return (
        ["<h2>Map of the clips</h2>", f'<div class="charts">{"".join(lines)}</div>']
        if lines
        else []
    )


_LEVELS = {
    "duration_s": "duration, s",
    "sample_rate_hz": "sample rate, Hz",
    "loudness_lufs": "loudness, LUFS",
    "silent_frames": "part of silent frames",
    "clipped_samples": "part of clipped samples",
    "silent_clips": "part of silent clips",
}
"""Names of levels on the page."""


def _levels_table(results: Sequence[Evaluation], models: Sequence[str]) -> str:
    sides: list[tuple[str, ClipSet]] = [
        (model, result.generated) for model, result in zip(models, results, strict=True)
    ]
    if results[0].reference:
        sides.append(("reference", results[0].reference))
    rows = []
    for name in sides[0][1].levels:
        cells = [html.escape(_LEVELS.get(name, name))]
        for _, side in sides:
            level = side.levels.get(name)
            cells.append("" if level is None else _level_cell(level))
        rows.append(cells)
    return _table(("mean, least to greatest", *(html.escape(label) for label, _ in sides)), rows, 1)


def _level_cell(level: Level) -> str:
    """A mean with its range, if there is one."""
    if level.least == level.greatest:
        return format_number(level.mean)
    span = f"{format_number(level.least)} to {format_number(level.greatest)}"
    return f"{format_number(level.mean)}<small>{span}</small>"


def _players(results: Sequence[Evaluation], models: Sequence[str]) -> list[str]:
    """Players with spectrograms of some clips: the models side by side, then the reference."""
    sides = [(model, _files(r.generated), r) for model, r in zip(models, results, strict=True)]
    references = _files(results[0].reference)
    names = list(dict.fromkeys(name for _, files, _ in sides for name in files))
    places = np.unique(np.linspace(0, len(names) - 1, min(MAX_CLIPS, len(names))).round())
    lines = []
    for place in places.astype(int).tolist():
        name = names[place]
        figures = []
        for index, (model, files, result) in enumerate(sides):
            if name in files:
                figures.append(_figure(model, color_of(index), files[name], _notes(result, name)))
        if name in references:
            figures.append(_figure("reference", REFERENCE_COLOR, references[name], ""))
        file = next(files[name] for _, files, _ in sides if name in files)
        lines.append(
            f'<section class="clip"><p><b>{html.escape(name)}</b> {html.escape(_prompt_of(file))}'
            f'</p><div class="players">{"".join(figures)}</div></section>'
        )
    return lines


def _notes(result: Evaluation, name: str) -> str:
    """Values of one clip, for metrics of single clips."""
    notes = []
    for value in result.values:
        if value.metric not in _OF_SETS and name in value.by_clip:
            title = value.title if not value.variant else f"{value.title} {value.variant}"
            notes.append(f"{title} {format_number(value.by_clip[name])}")
    return "; ".join(notes[:2])


def _prompt_of(file: Path) -> str:
    """The prompt in the tags of a file; "" if there is none."""
    try:
        return str(info(file)["tags"].get("prompt") or "")
    except DataError:
        return ""


def _files(side: ClipSet | None) -> dict[str, Path]:
    """Files of the clips by name, without those that were left out; {} if there are none."""
    # a Path raises for long names
    if side is None or not os.path.isdir(side.path):  # noqa: PTH112
        return {}
    folder = find_clips(Path(side.path))
    files = zip(folder.names, folder.files, strict=True)
    return {name: file for name, file in files if str(file) not in side.skipped}


def _figure(title: str, color: str, file: Path, notes: str) -> str:
    """A player and a spectrogram; the reason if the file cannot be read any more."""
    try:
        samples, rate = read(file, mono=False)
    except DataError as error:
        return f"<p>{html.escape(str(error))}</p>"
    sound = base64.b64encode(encode(samples, rate, ".flac")).decode()
    buffer = io.BytesIO()
    image = plot_image(samples, rate).resize(_IMAGE_SIZE)
    image.quantize(_IMAGE_COLORS).save(buffer, "PNG", optimize=True)
    label = html.escape(title, quote=True)
    return (
        f"<figure><figcaption>{_key(color)}{label} <small>{html.escape(notes)}</small></figcaption>"
        f'<img alt="waveform and spectrogram, {label}" '
        f'src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
        f'<audio controls preload="none" src="data:audio/flac;base64,{sound}"></audio></figure>'
    )


def _reproduction(result: Evaluation) -> str:
    """Command, protocol, hashes and settings behind the numbers."""
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
    words = ["latentaudio", "evaluate", "--generated", result.generated.path]
    if result.reference:
        words += ["--reference", result.reference.path]
    words += ["--protocol", str(result.protocol["name"])]
    metrics = list(dict.fromkeys(value.metric for value in result.values))
    if networks:
        words += ["--backbone", *networks]
    words += ["--metrics", *metrics]
    text = f"{shlex.join(words)}\n\n{json.dumps(facts, indent=1, ensure_ascii=False)}"
    return f"<pre>{html.escape(text)}</pre>"
