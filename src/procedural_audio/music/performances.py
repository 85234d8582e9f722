"""Performances: the classes of the family "music", instruments that play phrases.

A soloist plays a thing ("a rising scale"), which is the `manner` of its annotations. So every verb
of a soloist takes an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ..events import first_onset
from ..sound_class import Annotations, SoundClass, Source, Take
from ..synth import Array, RenderContext, mix_into, normalize_peak
from . import composition, drums, voices
from .composition import InstrumentRange, Note, PhraseType
from .instruments import Instrument

# Relative frequency of each type of phrase, for instruments that play chords, single melodies, or
# sustained harmonies.
_CHORDAL: dict[PhraseType, float] = {
    "note": 20,
    "repeats": 7,
    "scale": 10,
    "arpeggio": 12,
    "chord": 8,
    "chords": 12,
    "melody": 24,
}
_MELODIC: dict[PhraseType, float] = {
    "note": 20,
    "repeats": 7,
    "scale": 16,
    "arpeggio": 14,
    "melody": 36,
}
_SUSTAINED: dict[PhraseType, float] = {"note": 36, "chord": 30, "scale": 12, "chords": 22}
_ACTIONS = ("playing", "performing", "sounding")
_MIN_TEMPO_BEATS = 4  # beats that a clip must hold for its tempo to be annotated
_MAX_COUNTED_STROKES = 8

# Patterns of the bongos: 0 is the high drum, 1 the low one.
_BONGO_PATTERNS = ((0, 0, 1, 0), (0, 1), (1, 0, 0), (0, 0, 1, 1), (0, 0, 0, 1))


def _solo(name: str, instrument_range: InstrumentRange, ctx: RenderContext) -> Take:
    """Render one phrase on the instrument of that name."""
    instrument = voices.build_instrument(name, ctx)
    phrase = composition.compose(ctx, instrument_range)
    canvas = _render_notes(ctx, instrument, phrase.notes)
    annotations = phrase.annotations
    annotations["qualities"] = instrument.qualities
    return Take(normalize_peak(instrument.process_clip(canvas)), annotations, _source(ctx))


def _source(ctx: RenderContext) -> Source:
    return "synthesis" if ctx.soundfont is None else "soundfont"


def _render_notes(ctx: RenderContext, instrument: Instrument, notes: Sequence[Note]) -> Array:
    canvas = ctx.silence()
    for note in notes:
        duration = min(note.duration, ctx.duration - note.start)
        if duration > 0:
            tone = instrument.render_tone(note.frequency_hz, duration, note.velocity)
            mix_into(canvas, tone, round(note.start * ctx.sample_rate))
    return canvas


def _drum_kit(ctx: RenderContext) -> Take:
    """Render drums in a named style at an exact tempo, to the end of the clip."""
    name = list(drums.STYLES)[ctx.integer(0, len(drums.STYLES) - 1)]
    style = drums.STYLES[name]
    bpm = ctx.log_triangular(*style.bpm)
    start = first_onset(ctx)
    options = (f"in a {name} style", f"with a {name} beat", f"with a {name} groove")
    annotations = Annotations(manner=(composition.pick(ctx, *options),))
    if (ctx.duration - start) * bpm / 60 >= _MIN_TEMPO_BEATS:
        annotations["bpm"] = bpm
    beat = drums.render_pattern(ctx, style, bpm, start)
    return Take(normalize_peak(beat), annotations, _source(ctx))


def _bongos(ctx: RenderContext) -> Take:
    """Render a few counted strokes on one drum, or a steady pattern on both."""
    render_stroke = drums.bongos(ctx)
    canvas = ctx.silence()
    start = first_onset(ctx)
    rate_hz = ctx.log_triangular(1.5, 5.0)
    num_possible = 1 + int(max(0.0, ctx.duration - start - 0.15) * rate_hz)
    is_counted = ctx.rng.random() < 0.5
    pattern: tuple[int, ...]
    if is_counted:
        count = min(num_possible, ctx.integer(2, 7))
        pattern = (ctx.integer(0, 1),)
    else:
        count = num_possible
        pattern = _BONGO_PATTERNS[ctx.integer(0, len(_BONGO_PATTERNS) - 1)]
    onsets = [start + k / rate_hz for k in range(count)]
    for k, onset in enumerate(onsets):
        position = k % len(pattern)
        velocity = 1.0 if position == 0 else ctx.triangular(0.7, 0.95)
        stroke = render_stroke(pattern[position], velocity)
        mix_into(canvas, stroke, round(onset * ctx.sample_rate))
    return Take(normalize_peak(canvas), _bongo_annotations(onsets, rate_hz), _source(ctx))


def _bongo_annotations(onsets: list[float], rate_hz: float) -> Annotations:
    manner: tuple[str, ...] = ()
    if rate_hz > 3.6:
        manner = ("rapidly",)
    elif rate_hz < 1.9:
        manner = ("slowly",)
    annotations = Annotations(manner=manner)
    if len(onsets) <= _MAX_COUNTED_STROKES:
        annotations["count"] = len(onsets)
        annotations["onsets"] = tuple(onsets)
    if len(onsets) >= 3:
        annotations["rate_hz"] = rate_hz
    return annotations


@dataclass(frozen=True)
class _Accompaniment:
    """The chords and the bass of a band, step by step through one bar.

    chords: "x" lasts a beat, "o" half a beat, "-" the bar, "." is silent. bass: 0 root, 1 third,
    2 fifth, "." silent.
    """

    chord_instrument: str
    chords: str
    bass: str


_ACCOMPANIMENTS: dict[str, _Accompaniment] = {
    "rock": _Accompaniment("electric guitar", "x...x...x...x...", "0.0.0.0.0.0.0.0."),
    "disco": _Accompaniment("synth lead", "..o...o...o...o.", "0.0.0.0.0.0.2.2."),
    "swing": _Accompaniment("piano", "...o.....o..", "0..1..2..1.."),
    "reggae": _Accompaniment("organ", "....o.......o...", "0.....2.0..0...."),
    "bossa nova": _Accompaniment("guitar", "x..o..o...o..o..", "0.....2.0.....2."),
    "waltz": _Accompaniment("accordion", "..o.o.", "0....."),
}


def _band(ctx: RenderContext) -> Take:
    """Render drums, a bass and an instrument on the chords, in a named style and tempo."""
    name = list(_ACCOMPANIMENTS)[ctx.integer(0, len(_ACCOMPANIMENTS) - 1)]
    accompaniment = _ACCOMPANIMENTS[name]
    style = drums.STYLES[name]
    bpm = ctx.log_triangular(*style.bpm)
    start = first_onset(ctx)
    mode: composition.Mode = "major" if ctx.rng.random() < 0.5 else "minor"
    progression = composition.CHORD_PROGRESSIONS[mode][ctx.integer(0, 2)]
    tonic = ctx.integer(40, 51)
    step_s = 60 / bpm / style.steps_per_beat
    steps_per_bar = len(style.bar["kick"])
    bass_notes: list[Note] = []
    chord_notes: list[Note] = []
    for k in range(int((ctx.duration - start - 0.05) / step_s) + 1):
        chord = composition.diatonic_triad(mode, progression[k // steps_per_bar % 4])
        onset = start + k * step_s
        stroke = accompaniment.chords[k % steps_per_bar]
        if stroke != ".":
            num_steps = {
                "x": 0.9 * style.steps_per_beat,
                "o": 0.5 * style.steps_per_beat,
                "-": 0.9 * steps_per_bar,
            }
            chord_notes += _chord_notes(onset, num_steps[stroke] * step_s, tonic, chord)
        degree = accompaniment.bass[k % steps_per_bar]
        if degree != ".":
            pitch = composition.midi_to_hz(tonic - 12 + chord[int(degree)] % 12)
            bass_notes.append(Note(onset, 0.9 * style.steps_per_beat * step_s, pitch, 0.9))
    mix = drums.render_pattern(ctx, style, bpm, start, 0.6)
    bass = _render_notes(ctx, voices.build_instrument("bass guitar", ctx), bass_notes)
    mix += 0.55 * normalize_peak(bass, 1.0)
    instrument = voices.build_instrument(accompaniment.chord_instrument, ctx)
    chords = instrument.process_clip(_render_notes(ctx, instrument, chord_notes))
    mix += 0.5 * normalize_peak(chords, 1.0)
    annotations = Annotations(qualities=(name,), manner=(f"in a {mode} key",))
    if (ctx.duration - start) * bpm / 60 >= _MIN_TEMPO_BEATS:
        annotations["bpm"] = bpm
    return Take(normalize_peak(mix), annotations, _source(ctx))


def _chord_notes(
    onset: float, duration: float, tonic: int, chord: tuple[int, int, int]
) -> list[Note]:
    """The notes of a chord in the octave above the tonic; low tones move up an octave."""
    notes: list[Note] = []
    for tone in chord:
        pitch = tonic + 12 + tone % 12 + 12 * (tone % 12 < 3)
        notes.append(Note(onset, duration, composition.midi_to_hz(pitch), 0.8))
    return notes


def _solo_class(
    name: str,
    instrument_range: InstrumentRange,
    nouns: tuple[str, ...],
    actions: tuple[str, ...] = _ACTIONS,
) -> SoundClass:
    render = partial(_solo, name, instrument_range)
    return SoundClass(name, "music", nouns, actions, render)


_SOLOISTS: tuple[SoundClass, ...] = (
    _solo_class(
        "piano",
        InstrumentRange(36, 88, False, _CHORDAL),
        ("piano", "grand piano", "upright piano", "concert piano"),
    ),
    _solo_class(
        "guitar",
        InstrumentRange(40, 76, False, _CHORDAL),
        ("guitar", "plucked guitar", "solo guitar"),
    ),
    _solo_class(
        "electric guitar",
        InstrumentRange(40, 79, False, {**_CHORDAL, "scale": 12, "chords": 3}),
        ("electric guitar", "rock guitar", "electric lead guitar"),
    ),
    _solo_class(
        "bass guitar",
        InstrumentRange(28, 55, False, _MELODIC),
        ("bass guitar", "electric bass", "electric bass guitar"),
    ),
    _solo_class(
        "violin",
        InstrumentRange(55, 91, True, _MELODIC),
        ("violin", "fiddle", "bowed violin", "solo violin"),
    ),
    _solo_class(
        "cello",
        InstrumentRange(36, 67, True, _MELODIC),
        ("cello", "bowed cello", "solo cello"),
    ),
    _solo_class(
        "flute",
        InstrumentRange(60, 93, True, _MELODIC),
        ("flute", "concert flute", "solo flute"),
        (*_ACTIONS, "blowing"),
    ),
    _solo_class(
        "trumpet",
        InstrumentRange(54, 82, True, _MELODIC),
        ("trumpet", "brass trumpet", "solo trumpet"),
        (*_ACTIONS, "blowing"),
    ),
    _solo_class(
        "organ",
        InstrumentRange(36, 84, True, _CHORDAL),
        ("pipe organ", "church organ", "organ"),
    ),
    _solo_class(
        "accordion",
        InstrumentRange(48, 84, True, _CHORDAL),
        ("accordion", "squeezebox", "reed accordion"),
    ),
    _solo_class(
        "xylophone",
        InstrumentRange(67, 98, False, _MELODIC),
        ("xylophone", "xylophone struck with mallets", "toy xylophone"),
    ),
    _solo_class(
        "marimba",
        InstrumentRange(45, 77, False, _MELODIC),
        ("marimba", "marimba struck with soft mallets", "solo marimba"),
    ),
    _solo_class(
        "music box",
        InstrumentRange(72, 99, False, {**_MELODIC, "melody": 40}),
        ("music box", "toy music box", "musical box", "wind-up music box"),
    ),
    _solo_class(
        "synth lead",
        InstrumentRange(40, 84, True, _MELODIC),
        ("synthesizer", "synth", "synth lead", "analogue synthesizer"),
    ),
    _solo_class(
        "synth pad",
        InstrumentRange(40, 76, True, _SUSTAINED),
        ("synthesizer pad", "synth pad", "ambient synthesizer pad"),
    ),
    _solo_class(
        "choir",
        InstrumentRange(48, 79, True, _SUSTAINED),
        ("choir", "chorus of voices", "group of singers", "vocal choir"),
        ("singing", "vocalising", "chanting"),
    ),
)

CLASSES: tuple[SoundClass, ...] = (
    *_SOLOISTS,
    SoundClass(
        "drum kit",
        "music",
        ("drum kit", "drum set", "drummer", "~drums"),
        ("playing", "keeping the beat", "keeping time"),
        _drum_kit,
        is_sustained=True,
    ),
    SoundClass(
        "bongos",
        "music",
        ("~bongos", "pair of bongos", "~bongo drums"),
        ("playing", "being played by hand", "being tapped"),
        _bongos,
    ),
    SoundClass(
        "band",
        "music",
        ("band", "small band", "group of musicians", "band with drums and bass"),
        ("playing", "performing", "jamming"),
        _band,
        is_sustained=True,
    ),
)
