"""Rendering of a corpus: a folder of captioned clips.

The folder follows the AudioFolder convention of the `datasets` library. `metadata.jsonl` has one
line per clip with `file_name` and `text`. The clips lie at `clips/000/000000.flac`.
`corpus.json` holds the arguments, for people. The folder appears complete or not at all.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import soundfile

from .captions.grammar import Split, describe
from .errors import OutputError, RenderError
from .output_folder import new_folder
from .parallel import parallel_map
from .registry import get_classes
from .scene import MIX_PROBABILITIES, Event, render_scene
from .sound_class import SoundClass
from .soundfont import open_soundfont
from .spec import DURATION_WEIGHTS, DURATIONS, CorpusSpec, FileType

_BYTES_PER_SAMPLE = 2  # 16 bits; FLAC needs less, but hardly less for noise
_BYTES_PER_LINE = 4096  # one clip in metadata.jsonl
_MAX_CHUNK = 8  # clips that a process takes at a time


@dataclass(frozen=True)
class RenderSummary:
    """The result of rendering a corpus.

    Attributes:
        folder: Absolute path of the corpus.
        num_clips: Number of clips.
        hours: Amount of sound in hours.
        num_workers: Number of processes used.
        wall_s: Elapsed time in seconds.
        speed: Seconds of sound per second of processor time of one core, writing included.
    """

    folder: Path
    num_clips: int
    hours: float
    num_workers: int
    wall_s: float
    speed: float


def render_corpus(
    folder: str | Path,
    hours: float,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    sample_rate: int = 16000,
    durations: Sequence[float] = DURATIONS,
    duration_weights: Sequence[float] = DURATION_WEIGHTS,
    file_type: FileType = "flac",
    num_captions: int = 3,
    split: Split = "train",
    mix_probabilities: Sequence[float] = MIX_PROBABILITIES,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    soundfont: str | Path | None = None,
) -> RenderSummary:
    """Render a corpus of captioned clips into a folder.

    The same arguments give the same bytes, whatever the number of processes.

    Args:
        folder: Folder to write. It must be new or empty.
        hours: Least amount of sound in hours.
        seed: Whole number from 0 up.
        classes: Names of the sound classes. None: all of them. All are equally frequent.
        sample_rate: Sample rate in Hz, 16000 to 48000.
        durations: Possible durations of a clip in seconds, each at least 0.6.
        duration_weights: Relative frequency of each duration.
        file_type: "flac" or "wav", 16 bits.
        num_captions: Captions per clip.
        split: "train" or "test": which of the two disjoint sets of sentences is used.
        mix_probabilities: See `scene.MIX_PROBABILITIES`.
        num_workers: Number of processes. None: one per core.
        progress: Called as `progress(num_done, num_clips)` after each clip.
        soundfont: Soundfont (.sf2 or .sf3) that plays the notes. None: they are synthesized.

    Returns:
        The size of the corpus and the speed of rendering.

    Raises:
        RenderError: An argument cannot be rendered.
        OutputError: The folder cannot be written. No clip is left behind.
    """
    names = None if classes is None else tuple(dict.fromkeys(classes))
    spec = CorpusSpec(
        hours=hours,
        seed=seed,
        classes=names,
        sample_rate=sample_rate,
        durations=tuple(durations),
        duration_weights=tuple(duration_weights),
        file_type=file_type,
        num_captions=num_captions,
        split=split,
        mix_probabilities=tuple(mix_probabilities),
        soundfont=None if soundfont is None else open_soundfont(soundfont),
    )
    get_classes(names)
    _check_num_workers(num_workers)
    return _render(Path(folder), spec, num_workers, progress)


def _check_num_workers(num_workers: int | None) -> None:
    if num_workers is not None and num_workers < 1:
        raise RenderError(
            f"num_workers is {num_workers}: use 1 or more, or leave it out for one per core"
        )


def _render(
    folder: Path,
    spec: CorpusSpec,
    num_workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> RenderSummary:
    clip_durations = spec.clip_durations()
    num_clips = len(clip_durations)
    num_processes = min(num_workers or os.cpu_count() or 1, num_clips)
    with new_folder(folder, _estimate_bytes(clip_durations, spec.sample_rate)) as output:
        start = time.perf_counter()
        _make_subfolders(output.temporary, spec, num_clips)
        lines = _render_lines(spec, output.temporary, num_clips, num_processes)
        with closing(lines):
            cpu_s = _write_metadata(output.temporary, lines, num_clips, progress)
        record = spec.to_record(get_classes(spec.classes), num_clips)
        text = json.dumps(record, indent=2) + "\n"
        (output.temporary / "corpus.json").write_text(text, encoding="utf-8")
    total_s = sum(clip_durations)
    return RenderSummary(
        folder=output.target,
        num_clips=num_clips,
        hours=total_s / 3600,
        num_workers=num_processes,
        wall_s=time.perf_counter() - start,
        speed=total_s / max(cpu_s, 1e-9),
    )


def _write_metadata(
    folder: Path,
    lines: Generator[tuple[str, float], None, None],
    num_clips: int,
    progress: Callable[[int, int], None] | None,
) -> float:
    """Write `metadata.jsonl` as clips are finished; return their processor time in seconds."""
    cpu_s = 0.0
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for num_done, (line, clip_cpu_s) in enumerate(lines, 1):
            file.write(line + "\n")
            cpu_s += clip_cpu_s
            if progress:
                progress(num_done, num_clips)
    return cpu_s


def render_clip(
    spec: CorpusSpec, classes: Sequence[SoundClass], folder: Path, index: int
) -> dict[str, Any]:
    """Render one clip of a corpus and write its file.

    Args:
        spec: Specification of the corpus.
        classes: Sound classes of the corpus.
        folder: Folder of the corpus; the subfolder of the clip exists.
        index: Index of the clip.

    Returns:
        The line of `metadata.jsonl`. Its keys are those of the first corpora, so that old and new
        folders have one format. "kinds" are sound classes, "sources" say where the samples
        of each come from, "rate" is the sample rate in Hz and "seconds" the duration.

    Raises:
        OutputError: The file cannot be written.
    """
    rng = spec.clip_generator(index)
    duration = spec.draw_duration(rng)
    main_class = spec.main_class(classes, index)
    samples, scene = render_scene(
        classes,
        rng,
        spec.sample_rate,
        duration,
        main_class,
        spec.mix_probabilities,
        spec.soundfont,
    )
    file_name = spec.file_name(index)
    _write_audio(folder / file_name, samples, spec)
    captions = [describe(scene, rng, spec.split) for _ in range(spec.num_captions)]
    return {
        "file_name": file_name,
        "text": captions[0],
        "captions": captions,
        "seconds": len(samples) / spec.sample_rate,
        "rate": spec.sample_rate,
        "kinds": [event.sound_class.name for event in scene.events],
        "sources": [event.source for event in scene.events],
        "relation": scene.relation,
        "events": [_event_record(event) for event in scene.events],
        "seed": spec.seed,
        "index": index,
    }


def _write_audio(path: Path, samples: Any, spec: CorpusSpec) -> None:
    file_format = spec.file_type.upper()
    try:
        soundfile.write(path, samples, spec.sample_rate, format=file_format, subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise OutputError(
            f"cannot write {path} ({error}): free disk space, or choose a folder that you may "
            "write to"
        ) from error


def _event_record(event: Event) -> dict[str, Any]:
    return {
        "kind": event.sound_class.name,
        "start": round(event.start_s, 3),
        "stop": round(event.stop_s, 3),
        "distance": event.distance,
        "room": event.room,
        "loudness": event.loudness,
        **event.annotations,
    }


def _render_lines(
    spec: CorpusSpec, folder: Path, num_clips: int, num_workers: int
) -> Generator[tuple[str, float], None, None]:
    """Yield the metadata line and the processor time in seconds of every clip, in order."""
    chunk_size = max(1, min(_MAX_CHUNK, num_clips // (4 * num_workers)))
    function = partial(_render_line, spec, folder)
    yield from parallel_map(function, range(num_clips), num_workers, chunk_size)


def _render_line(spec: CorpusSpec, folder: Path, index: int) -> tuple[str, float]:
    start = time.process_time()
    record = render_clip(spec, get_classes(spec.classes), folder, index)
    return json.dumps(record, default=float), time.process_time() - start


def _make_subfolders(folder: Path, spec: CorpusSpec, num_clips: int) -> None:
    subfolders = {Path(spec.file_name(index)).parent for index in range(num_clips)}
    for subfolder in subfolders:
        (folder / subfolder).mkdir(parents=True)


def _estimate_bytes(clip_durations: list[float], sample_rate: int) -> int:
    audio_bytes = round(sum(clip_durations) * sample_rate * _BYTES_PER_SAMPLE)
    return audio_bytes + _BYTES_PER_LINE * len(clip_durations)
