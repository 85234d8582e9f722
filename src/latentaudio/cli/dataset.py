"""`latentaudio dataset`: render captioned sounds, and check, encode or shard those of a user."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from ..errors import DataError, UsageError
from . import console

if TYPE_CHECKING:
    from procedural_audio.corpus import RenderSummary

    from ..data.clip import DataSource
    from ..data.report import DatasetReport

_Multiple = Parameter(consume_multiple=True)

_BYTES_PER_MB = 2**20
_NOT_USABLE = "no sound can be trained on; add sounds with captions"

dataset = App(
    name="dataset",
    help="Make captioned audio to train on: render it, or check, encode and shard your own.",
    help_format="markdown",
)


@dataset.command
def render(
    folder: Path,
    *,
    hours: float | None = None,
    seed: int = 0,
    classes: Annotated[list[str] | None, _Multiple] = None,
    sample_rate: int = 16000,
    durations: Annotated[list[float] | None, _Multiple] = None,
    split: Literal["train", "test"] = "train",
    mix_probabilities: Annotated[list[float] | None, _Multiple] = None,
    num_captions: int = 3,
    file_type: Literal["flac", "wav"] = "flac",
    soundfont: Path | None = None,
    num_workers: int | None = None,
    demo: str | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Render a corpus of captioned clips. The same arguments always give the same bytes.

    Args:
        folder: Folder to write. It must be new or empty.
        hours: Least amount of audio, in hours, above 0. Not needed with --demo.
        seed: Whole number from 0 up. Each seed gives another corpus.
        classes: Names of sound classes, equally frequent. Default: all.
        sample_rate: Sample rate in Hz, 16000 to 48000.
        durations: Clip durations in seconds, at least 0.6, equally frequent. Default: 1.28, 2.56,
            5.12 and 10.24, mostly 5.12.
        split: Captions for training, or the held-out captions of the test split.
        mix_probabilities: Probabilities of one sound alone, of one sound and then another, and of
            two sounds at the same time. They add to 1. Default: 0.72 0.18 0.1.
        num_captions: Captions per clip, at least 1.
        file_type: File format, 16 bits.
        soundfont: General MIDI soundfont (.sf2 or .sf3) that plays the instruments.
        num_workers: Number of processes. Default: one per core.
        demo: Render a small set for a tutorial instead, of which only --seed can be chosen. lora:
            24 clips of a bullroarer, which no class has, with the trigger word zorla.
        json: Print the result as one line of JSON.
        quiet: Print nothing.
    """
    if demo is not None:
        _render_demo(folder, demo, seed, as_json=json, quiet=quiet)
        return
    if hours is None:
        raise UsageError("name the amount of audio with --hours, such as --hours 0.1")
    settings: dict[str, Any] = {
        "seed": seed,
        "classes": classes,
        "sample_rate": sample_rate,
        "durations": durations,
        "split": split,
        "mix_probabilities": mix_probabilities,
        "num_captions": num_captions,
        "file_type": file_type,
        "soundfont": soundfont,
        "num_workers": num_workers,
    }
    summary = _render_corpus(folder, hours, settings, quiet or json)
    if json or not quiet:
        _print_summary(summary, json)


def _render_corpus(
    folder: Path, hours: float, settings: dict[str, Any], hide_progress: bool
) -> RenderSummary:
    """Render a corpus. Settings of None take the defaults."""
    from procedural_audio.corpus import render_corpus

    settings = {name: value for name, value in settings.items() if value is not None}
    if "durations" in settings:
        settings["duration_weights"] = [1.0] * len(settings["durations"])
    with console.progress_bar("rendering", hide_progress) as progress:
        return render_corpus(folder, hours, **settings, progress=progress)


def _render_demo(folder: Path, name: str, seed: int, as_json: bool, quiet: bool) -> None:
    from procedural_audio.demo import DEMOS, NUM_CLIPS, render_demo

    target = render_demo(folder, name, seed)
    if as_json:
        console.print_record({"folder": target, "clips": NUM_CLIPS}, as_json=True)
    elif not quiet:
        console.print_result(f"{target}  {NUM_CLIPS} clips, trigger word {DEMOS[name].trigger}")


def _print_summary(summary: RenderSummary, as_json: bool) -> None:
    if as_json:
        record = {
            "folder": summary.folder,
            "clips": summary.num_clips,
            "hours": summary.hours,
            "workers": summary.num_workers,
            "speed": summary.speed,
        }
        console.print_record(record, as_json=True)
        return
    console.print_result(
        f"{summary.folder}  {summary.num_clips} clips, {summary.hours:.2f} h, "
        f"{summary.speed:.0f} times real time per core"
    )


@dataset.command
def check(
    data: Annotated[list[Path], _Multiple],
    *,
    trigger: str = "",
    strict: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Listen to every sound and report what training would leave out.

    Args:
        data: Folders, tables, tars or hub ids of captioned sounds, with :SPLIT behind the name for
            one split. docs/guides/datasets.md lists all forms.
        trigger: Word before every caption. A sound without a caption then has this one.
        strict: Exit with code 2 if there is any problem.
        json: Print the report as one line of JSON, with every name.
        quiet: Print nothing but errors.
    """
    from ..data.report import check_dataset

    with console.progress_bar("checking", quiet or json) as progress:
        report = check_dataset(*_sources(data, trigger), progress=progress)
    if json:
        console.print_record(report.to_json(), as_json=True)
    elif not quiet:
        _print_report(report)
    if strict:
        report.raise_for_problems()
    if not report.clips:
        raise DataError(_NOT_USABLE)


def _sources(data: list[Path], trigger: str) -> tuple[DataSource, ...]:
    """Return the data sets that a user named."""
    from ..data.clip import DataSource

    return tuple(DataSource(str(name), trigger) for name in data)


def _print_report(report: DatasetReport) -> None:
    """Print the size of a data set, and a line for each kind of problem."""
    repeats = len(report.clips) - report.num_sounds
    repeated = f" ({len(report.clips)} with repeats)" if repeats else ""
    console.print_result(
        f"{report.num_sounds} sounds{repeated}, {report.minutes:.1f} min, "
        f"read as {', '.join(report.formats)}"
    )
    for line in report.lines():
        console.print_result(line)


@dataset.command
def encode(
    data: Annotated[list[Path], _Multiple],
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("runs"),
    model: str = "mini",
    init_from: Annotated[list[str] | None, _Multiple] = None,
    trigger: str = "",
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Encode sounds and captions for a model, so that its training starts at once.

    Args:
        data: Folders, tables, tars or hub ids of captioned sounds, as for `dataset check`.
        output: Folder that will hold the runs. The result lies in pre_encoded/ there.
        model: Model whose architecture is trained, as in a recipe.
        init_from: Models whose components the training will build on, as for `train`. Default: the
            model itself.
        trigger: Word before every caption.
        json: Print the result as one line of JSON.
        quiet: Print nothing.
    """
    from ..data.pre_encoded import PreEncodedDataset
    from ..train.encode_for_model import encode_for_model

    sources = _sources(data, trigger)
    with console.progress_bar("encoding", quiet or json) as progress:
        folder = encode_for_model(
            sources, model, tuple(init_from or (model,)), output.expanduser(), progress
        )
    encoded = PreEncodedDataset(folder)
    num_rows = sum(bucket.num_clips for bucket in encoded.buckets)
    if json:
        record = {"folder": str(folder), "rows": num_rows, "captions": encoded.captions_per_clip}
        console.print_record(record, as_json=True)
    elif not quiet:
        console.print_result(f"{folder}  {num_rows} rows")


@dataset.command
def shard(
    data: Annotated[list[Path], _Multiple],
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    max_megabytes: float = 1024,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Write sounds and captions as WebDataset tars. The same data always gives the same bytes.

    Args:
        data: Folders, tables, tars or hub ids of captioned sounds, as for `dataset check`.
        output: Folder of the tars. It must be new or empty.
        max_megabytes: Largest tar in MB, above 0.
        json: Print the result as one line of JSON.
        quiet: Print nothing.
    """
    from ..data.manifest import read_manifest
    from ..data.shards import write_shards

    if not max_megabytes > 0 or math.isinf(max_megabytes):
        raise UsageError(f"--max-megabytes {max_megabytes:g} is not a size; give a number above 0")
    clips = read_manifest(*_sources(data, ""))
    num_clips = clips.num_distinct
    with console.progress_bar("writing", quiet or json) as progress:
        names = write_shards(
            clips,
            output.expanduser(),
            round(max_megabytes * _BYTES_PER_MB),
            lambda num_done: progress(num_done, num_clips),
        )
    if json:
        record = {"folder": str(output), "clips": num_clips, "shards": len(names)}
        console.print_record(record, as_json=True)
    elif not quiet:
        console.print_result(f"{output}  {num_clips} clips in {len(names)} tars")
