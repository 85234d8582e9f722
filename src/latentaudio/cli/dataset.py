"""`latentaudio corpus render`: a captioned corpus made by synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from . import console

Several = Parameter(consume_multiple=True)

corpus = App(name="corpus", help="Make captioned sound to train on.")


@corpus.command
def render(
    folder: Path,
    *,
    hours: float,
    seed: int = 0,
    kinds: Annotated[list[str] | None, Several] = None,
    rate: int = 16000,
    seconds: Annotated[list[float] | None, Several] = None,
    split: Literal["train", "test"] = "train",
    shares: Annotated[list[float] | None, Several] = None,
    captions: int = 3,
    file_type: Literal["flac", "wav"] = "flac",
    workers: int | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Render hours of captioned sound into a new folder; the same arguments always give the same bytes.

    Parameters
    ----------
    folder
        Where to put it; must be new or empty.
    hours
        How much sound.
    seed
        Same seed, same corpus.
    kinds
        Kinds of sound; default: all.
    rate
        Samples a second.
    seconds
        Lengths of clips, equally often; default: 1.28, 2.56, 5.12 and 10.24, mostly 5.12.
    split
        Whose sentences: those for training or the held-out ones.
    shares
        Of clips with one sound alone, one and then another, one while another goes on; default: 0.72 0.18 0.1.
    captions
        Sentences per clip.
    file_type
        flac or wav.
    workers
        Processes; default: one per core.
    json
        Print one line of JSON.
    quiet
        Print nothing.
    """
    from procedural_audio.corpus import render_corpus

    asked: dict[str, Any] = {
        "file_type": file_type,
        "captions": captions,
        "split": split,
        "workers": workers,
    }
    asked |= {} if seconds is None else {"seconds": seconds, "weights": [1.0] * len(seconds)}
    asked |= {} if shares is None else {"shares": shares}
    with console.bar("rendering", quiet or json) as tick:
        made = render_corpus(folder, hours, seed, kinds, rate, **asked, progress=tick)
    facts = {
        "folder": made.folder,
        "clips": made.clips,
        "hours": made.hours,
        "workers": made.workers,
        "speed": made.speed,
    }
    if json:
        console.tell(facts, as_json=True)
    elif not quiet:
        console.say(
            f"{made.folder}  {made.clips} clips, {made.hours:.2f} h, {made.speed:.0f} times real time per core"
        )
