"""Give the clips of a rendered corpus short captions: "slow footsteps", "a low bell", "rain".

    python recipes/mini/shorten_captions.py data/train data/short --keep 1
    python recipes/mini/shorten_captions.py data/train data/thirds --outer-thirds

Clips of one sound get short captions behind the first of their own that are kept. Clips of two
sounds stay as they are. With --outer-thirds only clips of one sound are taken that are low, high,
slow or fast for their class, and each short caption says so. The sound files are hard links.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from procedural_audio.captions import ranges
from procedural_audio.captions.grammar import draw_short_sentence, split_of
from procedural_audio.registry import get_registry
from procedural_audio.scene import Event
from procedural_audio.sound_class import Annotations

NUM_CAPTIONS = 3
_TRIES = 300
_PACE_WORDS = {"lowest": {"slow"}, "highest": {"fast"}}
_PITCH_WORDS = {"lowest": {"low", "low-pitched", "deep"}, "highest": {"high", "high-pitched"}}


def event_of(row: Mapping[str, Any]) -> Event:
    """Return the sound of a line of metadata.jsonl that has one sound."""
    fields = row["events"][0]
    names = Annotations.__annotations__
    annotations = cast(Annotations, {name: fields[name] for name in names if name in fields})
    return Event(
        get_registry()[fields["kind"]],
        annotations,
        *(fields[name] for name in ("start", "stop", "distance", "room", "loudness")),
    )


def wanted_words(event: Event) -> list[set[str]]:
    """Return, for each outer third of a sound, the words that say it."""
    name = event.sound_class.name
    pace = ranges.pace_third(name, event.annotations)
    pitch = ranges.pitch_third(name, event.annotations)
    return [
        words[third]
        for words, third in ((_PACE_WORDS, pace), (_PITCH_WORDS, pitch))
        if third is not None
    ]


def short_captions(
    event: Event, rng: np.random.Generator, words: list[set[str]], count: int
) -> list[str] | None:
    """Draw short captions; each says one of the words, if there are any. None if none does."""
    captions: list[str] = []
    for _ in range(_TRIES):
        caption = draw_short_sentence(event, rng)
        spoken = set(caption.lower().split())
        if split_of(caption) == "train" and (not words or any(spoken & third for third in words)):
            captions.append(caption)
            if len(captions) == count:
                return captions
    return None


def new_row(
    row: dict[str, Any], rng: np.random.Generator, num_kept: int, outer_thirds: bool
) -> dict[str, Any] | None:
    """Return a line with short captions, or None if the clip is left out."""
    if row["relation"] != "alone" or row["events"][0]["kind"] not in get_registry():
        return None if outer_thirds else row
    event = event_of(row)
    words = wanted_words(event) if outer_thirds else []
    if outer_thirds and not words:
        return None
    kept = row["captions"][:num_kept]
    captions = short_captions(event, rng, words, NUM_CAPTIONS - len(kept))
    return None if captions is None else {**row, "captions": kept + captions}


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=int, default=0, choices=range(NUM_CAPTIONS))
    parser.add_argument("--outer-thirds", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    if flags.folder.exists():
        sys.exit(f"{flags.folder} exists; name a new folder")
    rng = np.random.default_rng(flags.seed)
    lines = []
    flags.folder.mkdir(parents=True)
    for line in (flags.source / "metadata.jsonl").read_text().splitlines():
        row = new_row(json.loads(line), rng, flags.keep, flags.outer_thirds)
        if row is None:
            continue
        path = flags.folder / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(flags.source / row["file_name"], path)
        lines.append(json.dumps(row, ensure_ascii=False))
    (flags.folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    sys.stdout.write(f"{len(lines)} clips\n")


if __name__ == "__main__":
    main()
