"""Held-out prompts with the truth beside them: the render that the prompt describes, and the facts it promises.

Knows the test split of the caption grammar. Refuses to know who is asked and how the answer is scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from procedural_audio.captions.grammar import Split, describe
from procedural_audio.registry import find, table
from procedural_audio.scene import Scene, play
from procedural_audio.sound_class import Facts, Kind

from .attributes import Question

RATE = 16000
_ALONE, _NAMING, _ORDER = 1, 2, 3
_TRIES, _WORDINGS = 400, 40


@dataclass(frozen=True)
class Asked:
    """A prompt, its kinds in the order they are heard, the facts of the first, and a render [T] at 16 kHz that is right."""

    prompt: str
    kinds: tuple[str, ...]
    facts: Facts
    truth: np.ndarray


def render(kind: Kind, seconds: float, *dice: int) -> tuple[np.ndarray, Scene, np.random.Generator]:
    """One kind alone: samples [T] at 16 kHz, the scene, and the dice that made them, for its captions."""
    rng = np.random.default_rng(dice)
    samples, scene = play((kind,), rng, RATE, seconds)
    return samples, scene, rng


def of_every_kind(
    count: int, seed: int, seconds: float, kinds: Sequence[str] | None = None, split: Split = "test"
) -> Iterator[Asked]:
    """`count` prompts, each for one sound alone, round by round through the kinds."""
    cast = find(kinds)
    for index in range(count):
        samples, scene, rng = render(cast[index % len(cast)], seconds, seed, _ALONE, index)
        yield Asked(
            describe(scene, rng, split),
            (scene.events[0].kind.name,),
            scene.events[0].facts,
            samples,
        )


def spelling_out(question: Question, count: int, seed: int, seconds: float) -> Iterator[Asked]:
    """`count` prompts whose words spell out the fact that the question is about, round by round through its kinds."""
    cast = [table()[name] for name in question.kinds if name in table()]
    for index in range(count):
        tries = (
            _spelled(question, cast[index % len(cast)], seconds, seed, _NAMING, index, turn)
            for turn in range(_TRIES)
        )
        found = next(filter(None, tries), None)
        assert found, f"{cast[index % len(cast)].name} never says its {question.name}"
        yield found


def in_order(count: int, seed: int, seconds: float) -> Iterator[Asked]:
    """`count` prompts for one sound and then another, of effects drawn evenly; instruments share their tints."""
    cast = [kind for kind in find() if kind.family == "effects"]
    for index in range(count):
        rng = np.random.default_rng([seed, _ORDER, index])
        pair = [cast[i] for i in rng.choice(len(cast), 2, replace=False)]
        while True:
            samples, scene = play(pair, rng, RATE, seconds, pair[0])
            if scene.relation == "then":
                break
        yield Asked(
            describe(scene, rng, "test"),
            tuple(e.kind.name for e in scene.events),
            scene.events[0].facts,
            samples,
        )


def _spelled(question: Question, kind: Kind, seconds: float, *dice: int) -> Asked | None:
    """A render that has the fact and a caption that spells it out; None where these dice give neither."""
    samples, scene, rng = render(kind, seconds, *dice)
    facts = scene.events[0].facts
    if question.facts and not any(fact in facts for fact in question.facts):
        return None
    for _ in range(_WORDINGS):
        prompt = describe(scene, rng, "test")
        if question.spelled.search(prompt):
            return Asked(prompt, (kind.name,), facts, samples)
    return None
