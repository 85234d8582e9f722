"""`latentaudio dataset render`: render a captioned corpus of synthesized sounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from . import console

if TYPE_CHECKING:
    from procedural_audio.corpus import RenderSummary

_Multiple = Parameter(consume_multiple=True)

dataset = App(name="dataset", help="Make captioned audio to train on.", help_format="markdown")


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
    soundfont: Path | None = None,
    num_workers: int | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Render a corpus of captioned clips. The same arguments always give the same bytes.

    Args:
        folder: Folder to write. It must be new or empty.
        hours: Least amount of audio, in hours, above 0.
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
        json: Print the result as one line of JSON.
        quiet: Print nothing.
    """
    from procedural_audio.corpus import render_corpus
    from procedural_audio.scene import MIX_PROBABILITIES
    from procedural_audio.spec import DURATION_WEIGHTS, DURATIONS

    with console.progress_bar("rendering", quiet or json) as progress:
        summary = render_corpus(
            folder,
            hours,
            seed,
            classes,
            sample_rate,
            DURATIONS if durations is None else durations,
            DURATION_WEIGHTS if durations is None else [1.0] * len(durations),
            file_type,
            num_captions,
            split,
            MIX_PROBABILITIES if mix_probabilities is None else mix_probabilities,
            num_workers,
            progress,
            soundfont,
        )
    if json or not quiet:
        _print_summary(summary, json)


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
