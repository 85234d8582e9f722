"""`latentaudio dataset render`: render a captioned corpus of synthesized sounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    from procedural_audio.corpus import RenderSummary

_Multiple = Parameter(consume_multiple=True)

dataset = App(name="dataset", help="Make captioned audio to train on.", help_format="markdown")


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
    num_workers: int | None = None,
    demo: str | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Render a corpus of captioned clips. The same arguments always give the same bytes.

    Args:
        folder: Folder to write. It must be new or empty.
        hours: Least amount of audio, in hours, above 0. Needed without --demo.
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
        num_workers: Number of processes. Default: one per core.
        demo: Render a small set for a tutorial instead, of which only --seed can be chosen. lora:
            24 clips of a bullroarer, which no class has, with the trigger word zorla.
        json: Print the result as one line of JSON.
        quiet: Print nothing.
    """
    from procedural_audio.corpus import render_corpus
    from procedural_audio.scene import MIX_PROBABILITIES
    from procedural_audio.spec import DURATION_WEIGHTS, DURATIONS

    if demo is not None:
        _render_demo(folder, demo, seed, as_json=json, quiet=quiet)
        return
    if hours is None:
        raise UsageError("name the amount of audio with --hours, such as --hours 0.1")
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
        )
    if json or not quiet:
        _print_summary(summary, json)


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
