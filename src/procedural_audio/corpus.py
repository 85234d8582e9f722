"""Render a folder of captioned sounds: every clip a pure function of (split, seed, index), whatever the number of workers.

Knows files, processes and disk space. Refuses to know how sounds are made (`scene`) and how captions are worded (`grammar`).

The folder follows the AudioFolder convention of the `datasets` library: `metadata.jsonl` (one line per clip, with file_name and
text), `clips/000/000000.flac` and, for people, `corpus.json` with the arguments. It appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import soundfile

from latentaudio.data.parallel import in_order
from latentaudio.errors import DataError, UsageError
from latentaudio.fileio import filling

from .captions.grammar import Split, describe
from .registry import find
from .scene import SHARES, Event, play
from .sound_class import Kind
from .spec import VERSION, FileType, Order

_BYTES_PER_SAMPLE = 2  # 16 bits; FLAC needs less, noise hardly
_BYTES_PER_LINE = 4096


@dataclass(frozen=True)
class Summary:
    """What was rendered. `speed`: seconds of sound per second of one core's work, writing included."""

    folder: Path
    clips: int
    hours: float
    workers: int
    wall_s: float
    speed: float


def render_corpus(
    folder: str | Path,
    hours: float,
    seed: int = 0,
    kinds: Sequence[str] | None = None,
    rate: int = 16000,
    seconds: Sequence[float] = (1.28, 2.56, 5.12, 10.24),
    weights: Sequence[float] = (0.08, 0.12, 0.65, 0.15),
    file_type: FileType = "flac",
    captions: int = 3,
    split: Split = "train",
    shares: Sequence[float] = SHARES,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Render at least `hours` of captioned sound into `folder`, which must be new or empty.

    Clips take their length from `seconds` with probability `weights`, their kind from shuffled rounds of `kinds` (default: all)
    and `captions` sentences of `split`; `shares` of them are one sound alone, one and then another, one while another goes on
    (alone where the length or the kinds allow nothing else). `workers` processes (default: one per core) share the work and
    never change the result.
    `progress(done, total)` is called as clips are finished.

    Raises UsageError for an argument nobody can act on, DataError for a folder that cannot be written. Neither leaves clips.
    """
    names = None if kinds is None else tuple(dict.fromkeys(kinds))
    order = Order(
        hours,
        seed,
        names,
        rate,
        tuple(seconds),
        tuple(weights),
        file_type,
        captions,
        split,
        tuple(shares),
    )
    cast = find(names)
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}: use 1 or more, or leave it out for one per core")
    lengths = order.lengths()
    busy = min(workers or os.cpu_count() or 1, len(lengths))
    with _fresh_folder(Path(folder), _bytes_needed(lengths, rate)) as (target, partial_folder):
        for drawer in {Path(order.file_name(index)).parent for index in range(len(lengths))}:
            (partial_folder / drawer).mkdir(parents=True)
        began, worked = time.perf_counter(), 0.0
        rendered = _rendered(order, partial_folder, len(lengths), busy)
        with (
            (partial_folder / "metadata.jsonl").open("w", encoding="utf-8") as lines,
            closing(rendered) as clips,
        ):
            for done, (line, cost) in enumerate(clips, 1):
                lines.write(line + "\n")
                worked += cost
                if progress:
                    progress(done, len(lengths))
        about = {
            "version": VERSION,
            **asdict(order),
            "kinds": [kind.name for kind in cast],
            "clips": len(lengths),
        }
        (partial_folder / "corpus.json").write_text(
            json.dumps(about, indent=2) + "\n", encoding="utf-8"
        )
    total = sum(lengths)
    return Summary(
        target,
        len(lengths),
        total / 3600,
        busy,
        time.perf_counter() - began,
        total / max(worked, 1e-9),
    )


def render_clip(order: Order, cast: Sequence[Kind], folder: Path, index: int) -> dict[str, Any]:
    """Render clip `index` of an order into `folder` and return its line of metadata."""
    rng = order.dice(index)
    seconds = order.length(rng)
    samples, scene = play(cast, rng, order.rate, seconds, order.lead(cast, index), order.shares)
    name = order.file_name(index)
    soundfile.write(
        folder / name, samples, order.rate, format=order.file_type.upper(), subtype="PCM_16"
    )
    texts = [describe(scene, rng, order.split) for _ in range(order.captions)]
    return {
        "file_name": name,
        "text": texts[0],
        "captions": texts,
        "seconds": len(samples) / order.rate,
        "rate": order.rate,
        "kinds": [event.kind.name for event in scene.events],
        "relation": scene.relation,
        "events": [_record(event) for event in scene.events],
        "seed": order.seed,
        "index": index,
    }


def _record(event: Event) -> dict[str, Any]:
    seen = {
        "kind": event.kind.name,
        "start": round(event.start_s, 3),
        "stop": round(event.stop_s, 3),
    }
    return {
        **seen,
        "distance": event.distance,
        "room": event.room,
        "loudness": event.loudness,
        **event.facts,
    }


def _rendered(
    order: Order, folder: Path, count: int, workers: int
) -> Generator[tuple[str, float], None, None]:
    """Metadata line and seconds of processor time of every clip, in order of index."""
    job = partial(_line, order, folder)
    yield from in_order(job, range(count), workers, chunk=max(1, min(8, count // (4 * workers))))


def _line(order: Order, folder: Path, index: int) -> tuple[str, float]:
    began = time.process_time()
    line = json.dumps(render_clip(order, find(order.kinds), folder, index), default=float)
    return line, time.process_time() - began


def _bytes_needed(lengths: list[float], rate: int) -> int:
    return round(sum(lengths) * rate * _BYTES_PER_SAMPLE) + _BYTES_PER_LINE * len(lengths)


@contextmanager
def _fresh_folder(folder: Path, size: int) -> Iterator[tuple[Path, Path]]:
    """The target and a temporary sibling to fill; on success the sibling becomes the target, on any failure it is removed."""
    target = folder.expanduser().resolve()
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise DataError(f"{target} exists and is not an empty folder: choose another")
        with filling(target) as sibling:
            free = shutil.disk_usage(sibling).free
            if size > free:
                sizes = f"needs up to {size / 1e9:.2f} GB, {free / 1e9:.2f} GB are free"
                raise DataError(f"{target} {sizes}: ask for fewer hours or use another disk")
            yield target, sibling
    except (OSError, soundfile.LibsndfileError) as problem:
        raise DataError(
            f"cannot write {target} ({problem}): free some space or choose a folder you may write to"
        ) from problem
