"""Composition: phrases of notes that fit a clip, with the annotations that are true of them.

Equal temperament with A4 = 440 Hz. Times are in seconds. Pitches are MIDI numbers (69 = A4) until
`midi_to_hz` converts them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from ..events import first_onset
from ..sound_class import Annotations
from ..synth import RenderContext

Mode: TypeAlias = Literal["major", "minor"]
PhraseType: TypeAlias = Literal["note", "repeats", "scale", "arpeggio", "chord", "chords", "melody"]

SCALES: Mapping[Mode, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
}
"""Semitones above the tonic of the degrees of a scale."""
TRIADS: Mapping[Mode, tuple[int, int, int]] = {"major": (0, 4, 7), "minor": (0, 3, 7)}
"""Semitones above the root of the tones of a chord."""
CHORD_PROGRESSIONS: Mapping[Mode, tuple[tuple[int, ...], ...]] = {
    "major": ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 6, 0), (0, 6, 5, 6)),
}
"""Roots of four chords as degrees of the scale, from 0."""
MIN_NOTE_GAP_S = 0.18
"""Seconds between onsets below which notes are hard to tell apart."""
_MIN_PHRASE_S = 1.5  # shorter clips hold a single note or chord
_MIN_TEMPO_BEATS = 4.5  # beats that a clip must hold for its tempo to be annotated
_END_MARGIN_S = 0.05
_MELODY_RHYTHMS: tuple[tuple[float, ...], ...] = (
    (1, 1, 1, 1),
    (1, 0.5, 0.5, 1, 1),
    (0.5, 0.5, 1, 0.5, 0.5, 1),
    (1.5, 0.5, 1, 1),
    (1, 1, 0.5, 0.5, 1),
    (0.5, 0.5, 0.5, 0.5, 1, 1),
)
_MELODY_OPENINGS = ((0, 2, 4), (4, 2, 0), (0, 0, 2), (2, 2, 4), (4, 4, 2))
_MAX_MELODY_NOTES = 24


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes:
        start: Onset in seconds.
        duration: Time in seconds that the note is held.
        frequency_hz: Fundamental frequency.
        velocity: Strength, 0 to 1.
    """

    start: float
    duration: float
    frequency_hz: float
    velocity: float = 1.0


@dataclass(frozen=True)
class Phrase:
    """Notes in order of time, and the annotations of the phrase."""

    notes: tuple[Note, ...]
    annotations: Annotations


@dataclass(frozen=True)
class InstrumentRange:
    """Range and repertoire of an instrument.

    Attributes:
        low: Lowest MIDI pitch.
        high: Highest MIDI pitch.
        can_sustain: The instrument can hold a tone.
        phrase_weights: Relative frequency of each type of phrase.
    """

    low: int
    high: int
    can_sustain: bool
    phrase_weights: Mapping[PhraseType, float]


def midi_to_hz(midi: float) -> float:
    """Convert a MIDI pitch to its frequency in equal temperament, A4 = 440 Hz."""
    return float(440.0 * 2 ** ((midi - 69) / 12))


def hz_to_midi(frequency_hz: float) -> int:
    """Return the MIDI pitch that is nearest to a frequency in Hz."""
    return round(69 + 12 * float(np.log2(frequency_hz / 440.0)))


def scale_degree(mode: Mode, degree: int) -> int:
    """Return the semitones above the tonic of a degree (0 tonic, 7 octave, -1 leading tone)."""
    return SCALES[mode][degree % 7] + 12 * (degree // 7)


def diatonic_triad(mode: Mode, degree: int) -> tuple[int, int, int]:
    """Return the semitones above the tonic of the chord on a degree."""
    root = scale_degree(mode, degree)
    third = scale_degree(mode, degree + 2)
    fifth = scale_degree(mode, degree + 4)
    return root, third, fifth


def pick(ctx: RenderContext, *options: str) -> str:
    """Return one of the options, with equal probabilities."""
    return options[ctx.integer(0, len(options) - 1)]


def compose(ctx: RenderContext, instrument_range: InstrumentRange) -> Phrase:
    """Compose a phrase for an instrument.

    Args:
        ctx: Context of the clip.
        instrument_range: Range and repertoire of the instrument.

    Returns:
        A phrase that fits the clip. Clips too short for several notes get one note or chord.
    """
    types = list(instrument_range.phrase_weights)
    weights = np.array([instrument_range.phrase_weights[each] for each in types])
    phrase_type = types[int(ctx.rng.choice(len(types), p=weights / weights.sum()))]
    if ctx.duration < _MIN_PHRASE_S and phrase_type not in ("note", "chord"):
        phrase_type = "note"
    return _COMPOSERS[phrase_type](ctx, instrument_range)


def _compose_note(ctx: RenderContext, instrument_range: InstrumentRange) -> Phrase:
    """One note of exact pitch, held for a while or left to ring."""
    start = first_onset(ctx)
    available = ctx.duration - start - _END_MARGIN_S
    if instrument_range.can_sustain:
        length = min(available, max(0.4, ctx.log_triangular(0.4, 1.2 * available)))
    else:
        length = ctx.triangular(0.6, 1.0) * available
    pitch = midi_to_hz(ctx.integer(instrument_range.low, instrument_range.high))
    phrases = ["a single note", "one note"]
    if instrument_range.can_sustain and length > 1.8:
        phrases += ["a long note", "a sustained note"]
    if instrument_range.can_sustain and length < 0.65:
        phrases += ["a short note"]
    manner = (pick(ctx, *phrases),)
    annotations = Annotations(pitch_hz=pitch, manner=manner, onsets=(start,))
    return Phrase((Note(start, length, pitch),), annotations)


def _compose_repeats(ctx: RenderContext, instrument_range: InstrumentRange) -> Phrase:
    """The same note two to seven times at an exactly even pace."""
    period = 1 / ctx.log_triangular(1.0, 4.5)
    onsets = _even_onsets(ctx, period, 7)
    if len(onsets) < 2:
        return _compose_note(ctx, instrument_range)
    pitch = midi_to_hz(ctx.integer(instrument_range.low, instrument_range.high))
    length = period * ctx.triangular(0.45, 0.8)
    annotations = Annotations(
        pitch_hz=pitch,
        count=len(onsets),
        manner=(pick(ctx, "the same note", "one note"),),
        onsets=onsets,
    )
    if len(onsets) >= 3:
        annotations["rate_hz"] = 1 / period
    return Phrase(tuple(Note(onset, length, pitch) for onset in onsets), annotations)


def _compose_scale(ctx: RenderContext, instrument_range: InstrumentRange) -> Phrase:
    """Degrees of a scale, one after the other, up or down."""
    period = 1 / ctx.log_triangular(1.6, 5.0)
    onsets = _even_onsets(ctx, period, 8)
    if len(onsets) < 4:
        return _compose_note(ctx, instrument_range)
    mode = _draw_mode(ctx)
    is_rising = ctx.rng.random() < 0.5
    tonic = _draw_tonic(ctx, instrument_range, 12)
    pitches = [tonic + scale_degree(mode, degree) for degree in range(len(onsets))]
    if is_rising:
        direction = pick(ctx, "a rising", "an ascending")
    else:
        direction = pick(ctx, "a falling", "a descending")
        pitches = pitches[::-1]
    name = "scale"
    if len(onsets) == 8 and ctx.rng.random() < 0.5:
        name = f"{mode} scale"
    return _even_notes(ctx, instrument_range, pitches, onsets, period, f"{direction} {name}")


def _compose_arpeggio(ctx: RenderContext, instrument_range: InstrumentRange) -> Phrase:
    """The tones of one chord, one after the other: up, down, or up and down."""
    period = 1 / ctx.log_triangular(2.0, 5.0)
    onsets = _even_onsets(ctx, period, 12)
    if len(onsets) < 4:
        return _compose_note(ctx, instrument_range)
    mode = _draw_mode(ctx)
    tonic = _draw_tonic(ctx, instrument_range, 12)
    tones = [tonic + semitones for semitones in (*TRIADS[mode], 12)]
    order = ((0, 1, 2, 3), (3, 2, 1, 0), (0, 1, 2, 3, 2, 1))[ctx.integer(0, 2)]
    pitches = [tones[order[k % len(order)]] for k in range(len(onsets))]
    name = pick(ctx, f"a {mode} arpeggio", f"a broken {mode} chord")
    return _even_notes(ctx, instrument_range, pitches, onsets, period, name)


def _compose_chord(ctx: RenderContext, instrument_range: InstrumentRange) -> Phrase:
    """One major or minor triad, once or a counted number of times."""
    mode = _draw_mode(ctx)
    root = _draw_tonic(ctx, instrument_range, 12)
    tones = (*TRIADS[mode], 12)[: ctx.integer(3, 4)]
    strum = ctx.triangular(0.0, 0.03)  # delay between two tones
    period = 1 / ctx.log_triangular(0.7, 2.5)
    onsets = _even_onsets(ctx, period, 5)
    is_repeated = len(onsets) >= 2 and ctx.rng.random() < 0.4
    if is_repeated:
        length = period * ctx.triangular(0.6, 0.9)
    else:
        onsets = onsets[:1]
        available = ctx.duration - onsets[0] - _END_MARGIN_S
        length = min(available, ctx.log_triangular(0.8, 9.0))
    notes: list[Note] = []
    for onset in onsets:
        for k, tone in enumerate(tones):
            notes.append(Note(onset + k * strum, length, midi_to_hz(root + tone), 0.8))
    annotations = Annotations(manner=(f"a {mode} chord",), onsets=onsets)
    if is_repeated:
        annotations["count"] = len(onsets)
    return Phrase(tuple(notes), annotations)


def _compose_chords(ctx: RenderContext, instrument_range: InstrumentRange) -> Phrase:
    """Four chords of a key in turn, each struck on every beat or held for two."""
    mode = _draw_mode(ctx)
    bpm = ctx.log_triangular(66, 150)
    beats_per_stroke = 1 if ctx.rng.random() < 0.6 else 2
    period = beats_per_stroke * 60 / bpm
    onsets = _even_onsets(ctx, period, 16)
    if len(onsets) < 3:
        return _compose_chord(ctx, instrument_range)
    tonic = _draw_tonic(ctx, instrument_range, 19)
    progression = CHORD_PROGRESSIONS[mode][ctx.integer(0, 2)]
    strokes_per_chord = 2 // beats_per_stroke
    notes: list[Note] = []
    for k, onset in enumerate(onsets):
        for tone in diatonic_triad(mode, progression[k // strokes_per_chord % 4]):
            # High chords are inverted, so that they stay in the range.
            pitch = tonic + (tone if tone <= 14 else tone - 12)
            notes.append(Note(onset, 0.9 * period, midi_to_hz(pitch), 0.8))
    name = pick(ctx, "a chord progression", "a series of chords", f"chords in a {mode} key")
    annotations = _add_tempo(Annotations(manner=(name,)), bpm, ctx.duration)
    return Phrase(tuple(notes), annotations)


def _compose_melody(ctx: RenderContext, instrument_range: InstrumentRange) -> Phrase:
    """A short tune in a key: it opens on the triad, moves by steps, and ends on the tonic."""
    mode = _draw_mode(ctx)
    bpm = ctx.log_triangular(62, 168)
    beat = 60 / bpm
    start = first_onset(ctx)
    rhythm = _MELODY_RHYTHMS[ctx.integer(0, len(_MELODY_RHYTHMS) - 1)]
    lengths: list[float] = []
    while len(lengths) < _MAX_MELODY_NOTES:
        length = rhythm[len(lengths) % len(rhythm)]
        if start + (sum(lengths) + length) * beat >= ctx.duration - 0.1:
            break
        lengths.append(length)
    if len(lengths) < 4 or min(lengths) * beat < MIN_NOTE_GAP_S:
        return _compose_scale(ctx, instrument_range)
    tonic = _draw_tonic(ctx, instrument_range, 14)
    degrees = list(_MELODY_OPENINGS[ctx.integer(0, 4)])
    while len(degrees) < len(lengths):
        move = int(ctx.rng.choice((-2, -1, -1, 1, 1, 2)))
        degrees.append(int(np.clip(degrees[-1] + move, 0, 8)))
    degrees = [*degrees[: len(lengths) - 1], 0]
    notes: list[Note] = []
    for degree, length in zip(degrees, lengths, strict=True):
        pitch = midi_to_hz(tonic + scale_degree(mode, degree))
        notes.append(Note(start, 0.9 * length * beat, pitch, ctx.triangular(0.8, 1.0)))
        start += length * beat
    annotations = Annotations(manner=_melody_manner(ctx, mode, bpm))
    return Phrase(tuple(notes), _add_tempo(annotations, bpm, ctx.duration))


def _melody_manner(ctx: RenderContext, mode: Mode, bpm: float) -> tuple[str, ...]:
    """Name a melody. It has a mood only if key and tempo agree on one."""
    if mode == "major" and bpm > 112:
        options = ("a cheerful melody", "a happy tune", "a lively melody", "a fast happy melody")
        return (pick(ctx, *options),)
    if mode == "minor" and bpm < 92:
        options = ("a sad melody", "a slow sad tune", "a melancholy melody", "a mournful tune")
        return (pick(ctx, *options),)
    pace: tuple[str, ...] = ()
    if bpm < 78:
        pace = ("slowly",)
    elif bpm > 140:
        pace = ("quickly",)
    return (pick(ctx, "a melody", "a tune", f"a melody in a {mode} key"), *pace)


def _even_notes(
    ctx: RenderContext,
    instrument_range: InstrumentRange,
    pitches: Sequence[int],
    onsets: tuple[float, ...],
    period: float,
    name: str,
) -> Phrase:
    """Evenly spaced notes. A note is a beat, or half a beat where that would be a fast tempo."""
    if instrument_range.can_sustain:
        relative_length = ctx.triangular(0.8, 0.98)
    else:
        relative_length = ctx.triangular(0.9, 1.6)
    length = relative_length * period
    notes: list[Note] = []
    for pitch, onset in zip(pitches, onsets, strict=True):
        notes.append(Note(onset, length, midi_to_hz(pitch), 0.9))
    available = ctx.duration - onsets[-1] - _END_MARGIN_S
    notes[-1] = replace(notes[-1], duration=max(length, min(0.8, available)))
    pace: tuple[str, ...] = ()
    if period > 0.5:
        pace = ("slowly",)
    elif period < 0.24:
        pace = ("quickly",)
    bpm = 60 / period if period > 0.36 else 30 / period
    return Phrase(tuple(notes), Annotations(bpm=bpm, manner=(name, *pace)))


def _even_onsets(ctx: RenderContext, period: float, max_count: int) -> tuple[float, ...]:
    """Draw the onsets of at most `max_count` notes that fit the clip, the last one audible."""
    start = first_onset(ctx)
    last_note_s = min(0.3, 0.4 * ctx.duration)
    count = 1 + int((ctx.duration - start - last_note_s) / period)
    count = min(count, ctx.integer(max(2, max_count // 2), max_count))
    return tuple(start + k * period for k in range(count))


def _add_tempo(annotations: Annotations, bpm: float, duration: float) -> Annotations:
    """Annotate the tempo if at least four beats are audible."""
    if duration * bpm / 60 >= _MIN_TEMPO_BEATS:
        annotations["bpm"] = bpm
    return annotations


def _draw_mode(ctx: RenderContext) -> Mode:
    return "major" if ctx.rng.random() < 0.5 else "minor"


def _draw_tonic(ctx: RenderContext, instrument_range: InstrumentRange, semitones: int) -> int:
    """Draw a tonic that leaves `semitones` above it in the range of the instrument.

    Music lies in the middle of the range more often than at its ends.
    """
    highest = max(instrument_range.low, instrument_range.high - semitones)
    return round(ctx.triangular(instrument_range.low, highest))


_COMPOSERS: Mapping[PhraseType, Callable[[RenderContext, InstrumentRange], Phrase]] = {
    "note": _compose_note,
    "repeats": _compose_repeats,
    "scale": _compose_scale,
    "arpeggio": _compose_arpeggio,
    "chord": _compose_chord,
    "chords": _compose_chords,
    "melody": _compose_melody,
}
