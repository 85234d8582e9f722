"""`latentaudio dataset render`: render a captioned corpus of synthesized sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from . import console

_Multiple = Parameter(consume_multiple=True)

dataset = App(name="dataset", help="Make captioned audio to train on.")


@dataset.command
def render(
    folder: Path,
    *,
    hours: float,
    seed: int = 0,
    classes: Annotated[list[str] | None, _Multiple] = None,
    sample_rate: int = 16000,
    durations: Annotated[list[float] | None, _Multiple] = None,
    split: Literal["train", "test"] = "train",
    mix_probabilities: Annotated[list[float] | None, _Multiple] = None,
    num_captions: int = 3,
    file_type: Literal["flac", "wav"] = "flac",
    num_workers: int | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Render a corpus of captioned clips into a new folder.

    The same arguments always give the same bytes.

    Parameters
    ----------
    folder
        Folder to write. It must be new or empty.
    hours
        Least amount of audio, in hours, above 0.
    seed
        Whole number from 0 up. Each seed gives another corpus.
    classes
        Names of sound classes, equally frequent. Default: all.
    sample_rate
        Sample rate in Hz, 16000 to 48000.
    durations
        Clip durations in seconds, at least 0.6, equally frequent. Default: 1.28, 2.56, 5.12 and
        10.24, mostly 5.12.
    split
        Captions for training, or the held-out captions of the test split.
    mix_probabilities
        Probabilities of one sound alone, of one sound and then another, and of one sound while
        another goes on. They add to 1. Default: 0.72 0.18 0.1.
    num_captions
        Captions per clip, at least 1.
    file_type
        File format, 16 bits.
    num_workers
        Number of processes. Default: one per core.
    json
        Print the result as one line of JSON.
    quiet
        Print nothing.
    """
    from procedural_audio.corpus import render_corpus

    settings: dict[str, Any] = {}
    if durations is not None:
        settings["durations"] = durations
        settings["duration_weights"] = [1.0] * len(durations)
    if mix_probabilities is not None:
        settings["mix_probabilities"] = mix_probabilities
    with console.progress_bar("rendering", quiet or json) as progress:
        summary = render_corpus(
            folder,
            hours,
            seed=seed,
            classes=classes,
            sample_rate=sample_rate,
            file_type=file_type,
            num_captions=num_captions,
            split=split,
            num_workers=num_workers,
            progress=progress,
            **settings,
        )
    record = {
        "folder": summary.folder,
        "clips": summary.num_clips,
        "hours": summary.hours,
        "workers": summary.num_workers,
        "speed": summary.speed,
    }
    if json:
        console.print_record(record, as_json=True)
    elif not quiet:
        console.print_result(
            f"{summary.folder}  {summary.num_clips} clips, {summary.hours:.2f} h, "
            f"{summary.speed:.0f} times real time per core"
        )
