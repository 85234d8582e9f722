"""What is played, before anybody plays it: notes, scales, chords, rhythms and the facts that are true of them.

Knows equal temperament (A4 = 440 Hz), keys, tempi, and how a phrase fits a clip. Refuses to know timbre and samples.

Times are seconds, pitches are MIDI numbers (69 = A4) until they leave as hertz.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from ..events import first_onset
from ..sound_class import Facts
from ..synth import Stage

Mode: TypeAlias = Literal["major", "minor"]
Shape: TypeAlias = Literal["note", "repeats", "scale", "arpeggio", "chord", "chords", "melody"]

SCALES: Mapping[Mode, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
}
TRIADS: Mapping[Mode, tuple[int, int, int]] = {"major": (0, 4, 7), "minor": (0, 3, 7)}
CHANGES: Mapping[
    Mode, tuple[tuple[int, ...], ...]
] = {  # chord roots as degrees of the scale, counted from 0
    "major": ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 6, 0), (0, 6, 5, 6)),
}
SHORTEST = 0.18
"""Seconds between onsets below which an ear no longer separates notes with ease."""


@dataclass(frozen=True)
class Note:
    """One tone: when it begins, how long it is held, its fundamental in Hz, how hard it is played (0..1)."""

    start: float
    seconds: float
    hertz: float
    strength: float = 1.0


@dataclass(frozen=True)
class Phrase:
    """Notes in order of time, and the facts that are true of them."""

    notes: tuple[Note, ...]
    facts: Facts


@dataclass(frozen=True)
class Compass:
    """What an instrument can do: lowest and highest MIDI pitch, whether it holds a tone, and how often it plays which shape."""

    low: int
    high: int
    held: bool
    shapes: Mapping[Shape, float]


def hertz(midi: float) -> float:
    """Fundamental of a MIDI pitch in equal temperament, A4 = 440 Hz."""
    return float(440.0 * 2 ** ((midi - 69) / 12))


def degree(mode: Mode, step: int) -> int:
    """Semitones above the tonic of the scale's degree `step` (0 = tonic, 7 = the octave, -1 = the degree below)."""
    return SCALES[mode][step % 7] + 12 * (step // 7)


def triad(mode: Mode, step: int) -> tuple[int, int, int]:
    """Semitones above the tonic of the three tones of the chord on degree `step`."""
    root, third, fifth = (degree(mode, step + k) for k in (0, 2, 4))
    return root, third, fifth


def pick(stage: Stage, *options: str) -> str:
    """One of the words, evenly."""
    return options[stage.integer(0, len(options) - 1)]


def compose(stage: Stage, compass: Compass) -> Phrase:
    """A phrase for the instrument that fits the clip. Clips too short for several notes get a single one, or a chord."""
    names = list(compass.shapes)
    odds = np.array([compass.shapes[name] for name in names])
    shape = names[int(stage.rng.choice(len(names), p=odds / odds.sum()))]
    if stage.seconds < 1.5 and shape not in ("note", "chord"):
        shape = "note"
    return _SHAPES[shape](stage, compass)


def _note(stage: Stage, compass: Compass) -> Phrase:
    """One tone of exact pitch: held for a while, or left to ring."""
    start = first_onset(stage)
    room = stage.seconds - start - 0.05
    length = (
        min(room, max(0.4, stage.log_draw(0.4, 1.2 * room)))
        if compass.held
        else stage.draw(0.6, 1.0) * room
    )
    pitch = hertz(stage.integer(compass.low, compass.high))
    words = ["a single note", "one note"]
    if compass.held:
        words += ["a long note", "a sustained note"] * (length > 1.8) + ["a short note"] * (
            length < 0.65
        )
    return Phrase(
        (Note(start, length, pitch),),
        Facts(pitch_hz=pitch, manner=(pick(stage, *words),), onsets=(start,)),
    )


def _repeats(stage: Stage, compass: Compass) -> Phrase:
    """The same tone two to seven times at an exactly even pace."""
    period, starts = _even(stage, 1 / stage.log_draw(1.0, 4.5), 7)
    if len(starts) < 2:
        return _note(stage, compass)
    pitch = hertz(stage.integer(compass.low, compass.high))
    length = period * stage.draw(0.45, 0.8)
    facts = Facts(
        pitch_hz=pitch,
        count=len(starts),
        manner=(pick(stage, "the same note", "one note"),),
        onsets=starts,
    )
    if len(starts) >= 3:
        facts["rate_hz"] = 1 / period
    return Phrase(tuple(Note(start, length, pitch) for start in starts), facts)


def _scale(stage: Stage, compass: Compass) -> Phrase:
    """Degrees of a scale, one after the other, up or down."""
    period, starts = _even(stage, 1 / stage.log_draw(1.6, 5.0), 8)
    if len(starts) < 4:
        return _note(stage, compass)
    mode, up = _mode(stage), stage.rng.random() < 0.5
    tonic = stage.integer(compass.low, max(compass.low, compass.high - 12))
    pitches = [tonic + degree(mode, step) for step in range(len(starts))]
    way = (
        pick(stage, "a rising", "an ascending") if up else pick(stage, "a falling", "a descending")
    )
    kind = f"{mode} scale" if len(starts) == 8 and stage.rng.random() < 0.5 else "scale"
    return _line(stage, compass, pitches if up else pitches[::-1], starts, period, f"{way} {kind}")


def _arpeggio(stage: Stage, compass: Compass) -> Phrase:
    """The tones of one chord, one after the other: up, down, or up and down."""
    period, starts = _even(stage, 1 / stage.log_draw(2.0, 5.0), 12)
    if len(starts) < 4:
        return _note(stage, compass)
    mode = _mode(stage)
    tonic = stage.integer(compass.low, max(compass.low, compass.high - 12))
    ladder = [tonic + semitones for semitones in (*TRIADS[mode], 12)]
    order = ((0, 1, 2, 3), (3, 2, 1, 0), (0, 1, 2, 3, 2, 1))[stage.integer(0, 2)]
    pitches = [ladder[order[k % len(order)]] for k in range(len(starts))]
    return _line(
        stage,
        compass,
        pitches,
        starts,
        period,
        pick(stage, f"a {mode} arpeggio", f"a broken {mode} chord"),
    )


def _chord(stage: Stage, compass: Compass) -> Phrase:
    """One major or minor triad, once or a counted number of times."""
    mode = _mode(stage)
    root = stage.integer(compass.low, max(compass.low, compass.high - 12))
    tones = (*TRIADS[mode], 12)[: stage.integer(3, 4)]
    strum = stage.draw(0.0, 0.03)
    period, starts = _even(stage, 1 / stage.log_draw(0.7, 2.5), 5)
    again = len(starts) >= 2 and stage.rng.random() < 0.4
    if not again:
        starts = starts[:1]
    length = (
        period * stage.draw(0.6, 0.9)
        if again
        else min(stage.seconds - starts[0] - 0.05, stage.log_draw(0.8, 9.0))
    )
    notes = [
        Note(s + k * strum, length, hertz(root + t), 0.8)
        for s in starts
        for k, t in enumerate(tones)
    ]
    facts = Facts(manner=(f"a {mode} chord",), onsets=starts)
    if again:
        facts["count"] = len(starts)
    return Phrase(tuple(notes), facts)


def _chords(stage: Stage, compass: Compass) -> Phrase:
    """Four chords of a key in turn, each struck on every beat or held for two."""
    mode = _mode(stage)
    bpm = stage.log_draw(66, 150)
    every = 1 if stage.rng.random() < 0.6 else 2
    period, starts = _even(stage, every * 60 / bpm, 16)
    if len(starts) < 3:
        return _chord(stage, compass)
    tonic = stage.integer(compass.low, max(compass.low, compass.high - 19))
    changes = CHANGES[mode][stage.integer(0, 2)]
    stay = 2 // every  # a new chord every two beats
    notes = []
    for k, start in enumerate(starts):
        for tone in triad(mode, changes[k // stay % 4]):
            pitch = tonic + (
                tone if tone <= 14 else tone - 12
            )  # high chords turn over rather than climb
            notes.append(Note(start, 0.9 * period, hertz(pitch), 0.8))
    facts = Facts(
        manner=(
            pick(stage, "a chord progression", "a series of chords", f"chords in a {mode} key"),
        )
    )
    return Phrase(tuple(notes), _paced(facts, bpm, stage.seconds))


def _melody(stage: Stage, compass: Compass) -> Phrase:
    """A short tune in a key: it opens on the triad, so that the key is heard, walks by steps, and comes home."""
    mode, bpm = _mode(stage), stage.log_draw(62, 168)
    beat, start = 60 / bpm, first_onset(stage)
    rhythm = _RHYTHMS[stage.integer(0, len(_RHYTHMS) - 1)]
    lengths: list[float] = []
    while (
        start + (sum(lengths) + rhythm[len(lengths) % len(rhythm)]) * beat < stage.seconds - 0.1
        and len(lengths) < 24
    ):
        lengths.append(rhythm[len(lengths) % len(rhythm)])
    if len(lengths) < 4 or min(lengths) * beat < SHORTEST:
        return _scale(stage, compass)
    tonic = stage.integer(compass.low, max(compass.low, compass.high - 14))
    opening = ((0, 2, 4), (4, 2, 0), (0, 0, 2), (2, 2, 4), (4, 4, 2))[stage.integer(0, 4)]
    steps = list(opening)
    while len(steps) < len(lengths):
        move = int(stage.rng.choice((-2, -1, -1, 1, 1, 2)))
        steps.append(int(np.clip(steps[-1] + move, 0, 8)))
    steps = [*steps[: len(lengths) - 1], 0]
    notes = []
    for step, length in zip(steps, lengths, strict=True):
        notes.append(
            Note(
                start, 0.9 * length * beat, hertz(tonic + degree(mode, step)), stage.draw(0.8, 1.0)
            )
        )
        start += length * beat
    return Phrase(tuple(notes), _paced(Facts(manner=_mood(stage, mode, bpm)), bpm, stage.seconds))


_RHYTHMS: tuple[tuple[float, ...], ...] = (
    (1, 1, 1, 1),
    (1, 0.5, 0.5, 1, 1),
    (0.5, 0.5, 1, 0.5, 0.5, 1),
    (1.5, 0.5, 1, 1),
    (1, 1, 0.5, 0.5, 1),
    (0.5, 0.5, 0.5, 0.5, 1, 1),
)


def _mood(stage: Stage, mode: Mode, bpm: float) -> tuple[str, ...]:
    """What the tune is called: a mood only where key and tempo agree on it."""
    if mode == "major" and bpm > 112:
        return (
            pick(
                stage, "a cheerful melody", "a happy tune", "a lively melody", "a fast happy melody"
            ),
        )
    if mode == "minor" and bpm < 92:
        return (
            pick(
                stage, "a sad melody", "a slow sad tune", "a melancholy melody", "a mournful tune"
            ),
        )
    pace = ("slowly",) if bpm < 78 else (("quickly",) if bpm > 140 else ())
    return (pick(stage, "a melody", "a tune", f"a melody in a {mode} key"), *pace)


def _line(
    stage: Stage,
    compass: Compass,
    pitches: Sequence[int],
    starts: tuple[float, ...],
    period: float,
    manner: str,
) -> Phrase:
    """Even notes with a name. One note is a beat, or half of one where that would be a hectic tempo."""
    reach = stage.draw(0.8, 0.98) if compass.held else stage.draw(0.9, 1.6)
    notes = [
        Note(start, reach * period, hertz(pitch), 0.9)
        for pitch, start in zip(pitches, starts, strict=True)
    ]
    notes[-1] = replace(
        notes[-1], seconds=max(reach * period, min(0.8, stage.seconds - starts[-1] - 0.05))
    )
    pace = ("slowly",) if period > 0.5 else (("quickly",) if period < 0.24 else ())
    return Phrase(
        tuple(notes),
        Facts(bpm=60 / period if period > 0.36 else 30 / period, manner=(manner, *pace)),
    )


def _even(stage: Stage, period: float, most: int) -> tuple[float, tuple[float, ...]]:
    """A period and the onsets of at most `most` notes that all fit the clip with the last still heard."""
    start = first_onset(stage)
    count = 1 + int((stage.seconds - start - min(0.3, 0.4 * stage.seconds)) / period)
    count = min(count, stage.integer(max(2, most // 2), most))
    return period, tuple(start + k * period for k in range(count))


def _paced(facts: Facts, bpm: float, seconds: float) -> Facts:
    """The facts with the tempo, where at least four beats of it are heard."""
    if seconds * bpm / 60 >= 4.5:
        facts["bpm"] = bpm
    return facts


def _mode(stage: Stage) -> Mode:
    return "major" if stage.rng.random() < 0.5 else "minor"


_SHAPES: Mapping[Shape, Callable[[Stage, Compass], Phrase]] = {
    "note": _note,
    "repeats": _repeats,
    "scale": _scale,
    "arpeggio": _arpeggio,
    "chord": _chord,
    "chords": _chords,
    "melody": _melody,
}
