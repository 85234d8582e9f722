"""Write the captions of a rendered corpus again, in the words of today's renderer.

    python recipes/mini/rewrite_captions.py data/train data/train_words --short 2
    python recipes/mini/rewrite_captions.py data/train data/thirds --short 3 --outer-thirds
    python recipes/mini/rewrite_captions.py data/train data/numbers --numbers

Of the captions of one sound, as many as --short says are short: "slow footsteps", "a low bell",
"rain". With --outer-thirds only clips of one sound are taken that are low, high, slow or fast for
their class, and each short caption says so. The sound files are hard links.
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

from latentaudio.evaluate.mini.attributes import ATTRIBUTE_CHECKS
from procedural_audio.captions import ranges
from procedural_audio.captions.grammar import describe, draw_short_sentence, split_of
from procedural_audio.registry import get_registry
from procedural_audio.scene import Event, Scene
from procedural_audio.sound_class import Annotations

NUM_CAPTIONS = 3
_TRIES = 300
_PACE_WORDS = {"lowest": {"slow"}, "highest": {"fast"}}
_PITCH_WORDS = {"lowest": {"low", "low-pitched", "deep"}, "highest": {"high", "high-pitched"}}


def scene_of(row: Mapping[str, Any]) -> Scene:
    """Return the scene of a line of metadata.jsonl."""
    events = tuple(event_of(fields) for fields in row["events"])
    return Scene(events, row["relation"], row["seconds"])


def event_of(fields: Mapping[str, Any]) -> Event:
    """Return a sound of a line of metadata.jsonl."""
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


def captions_with_numbers(scene: Scene, rng: np.random.Generator) -> list[str] | None:
    """Draw captions that state the count or the rate of a sound. None if it has neither."""
    annotations = scene.events[0].annotations
    checks = [
        ATTRIBUTE_CHECKS[name]
        for name in ("count", "rate")
        if any(key in annotations for key in ATTRIBUTE_CHECKS[name].annotations)
    ]
    captions: list[str] = []
    for _ in range(_TRIES if checks else 0):
        caption = describe(scene, rng, "train")
        if any(check.pattern.search(caption) for check in checks):
            captions.append(caption)
            if len(captions) == NUM_CAPTIONS:
                return captions
    return None


def new_row(
    row: dict[str, Any], rng: np.random.Generator, flags: argparse.Namespace
) -> dict[str, Any] | None:
    """Return a line with new captions, or None if the clip is left out."""
    if not set(row["kinds"]) <= set(get_registry()):
        return None
    scene = scene_of(row)
    if (flags.outer_thirds or flags.numbers) and scene.relation != "alone":
        return None
    if flags.numbers:
        captions = captions_with_numbers(scene, rng)
        return None if captions is None else {**row, "text": captions[0], "captions": captions}
    short: list[str] | None = []
    if scene.relation == "alone":
        words = wanted_words(scene.events[0]) if flags.outer_thirds else []
        if flags.outer_thirds and not words:
            return None
        short = short_captions(scene.events[0], rng, words, flags.short)
    if short is None:
        return None
    captions = [describe(scene, rng, "train") for _ in range(NUM_CAPTIONS - len(short))]
    return {**row, "text": (captions + short)[0], "captions": captions + short}


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--short", type=int, default=1, choices=range(1, NUM_CAPTIONS + 1))
    parser.add_argument("--outer-thirds", action="store_true")
    parser.add_argument("--numbers", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    if flags.folder.exists():
        sys.exit(f"{flags.folder} exists; name a new folder")
    rng = np.random.default_rng(flags.seed)
    lines = []
    flags.folder.mkdir(parents=True)
    for line in (flags.source / "metadata.jsonl").read_text().splitlines():
        row = new_row(json.loads(line), rng, flags)
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
