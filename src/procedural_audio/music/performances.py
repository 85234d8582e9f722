"""Instruments that play: kinds of the family "music".

Knows which instrument plays what, and the words for it. Refuses to know how a voice sounds (`strings`, `winds`, `instruments`,
`drums`) and how a phrase is composed (`score`). What a soloist plays ("a rising scale") is named as a thing, and every verb of
a soloist takes one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..events import first_onset
from ..sound_class import Facts, Kind, Take
from ..synth import Array, Stage, add, normalised
from . import composition, drums, instruments, strings, winds
from .composition import Compass, Note, Shape
from .instruments import Voice

_CHORDAL: dict[Shape, float] = {
    "note": 56,
    "repeats": 14,
    "scale": 8,
    "arpeggio": 6,
    "chord": 8,
    "chords": 3,
    "melody": 5,
}
_MELODIC: dict[Shape, float] = {"note": 58, "repeats": 16, "scale": 12, "arpeggio": 6, "melody": 8}
_SUNG: dict[Shape, float] = {"note": 60, "chord": 25, "scale": 8, "chords": 7}
_VERBS = ("playing", "performing", "sounding")


def _perform(make: Callable[[Stage], Voice], compass: Compass, stage: Stage) -> Take:
    """One phrase on one instrument."""
    voice, phrase = make(stage), composition.compose(stage, compass)
    canvas = _voiced(stage, voice, phrase.notes)
    facts = phrase.facts
    facts["qualities"] = voice.qualities
    return Take(normalised(voice.finish(canvas)), facts)


def _voiced(stage: Stage, voice: Voice, notes: tuple[Note, ...] | list[Note]) -> Array:
    canvas = stage.silence()
    for note in notes:
        held = min(note.seconds, stage.seconds - note.start)
        if held > 0:
            add(canvas, voice.tone(note.hertz, held, note.strength), round(note.start * stage.rate))
    return canvas


def _drum_kit(stage: Stage) -> Take:
    """A named style at an exact tempo, from the first beat to the end of the clip."""
    name = list(drums.STYLES)[stage.integer(0, len(drums.STYLES) - 1)]
    style = drums.STYLES[name]
    bpm, start = stage.log_draw(*style.bpm), first_onset(stage)
    facts = Facts(
        manner=(
            composition.pick(
                stage, f"in a {name} style", f"with a {name} beat", f"with a {name} groove"
            ),
        )
    )
    if (stage.seconds - start) * bpm / 60 >= 4:
        facts["bpm"] = bpm
    return Take(normalised(drums.groove(stage, style, bpm, start)), facts)


def _bongos(stage: Stage) -> Take:
    """A few counted strokes, or a steady pattern on both drums."""
    stroke, _ = drums.bongos(stage)
    canvas, start = stage.silence(), first_onset(stage)
    rate_hz = stage.log_draw(1.5, 5.0)
    fit = 1 + int(max(0.0, stage.seconds - start - 0.15) * rate_hz)
    few = stage.rng.random() < 0.5
    count = min(fit, stage.integer(2, 7)) if few else fit
    both = _HANDS[stage.integer(0, len(_HANDS) - 1)] if not few else (stage.integer(0, 1),)
    times = [start + k / rate_hz for k in range(count)]
    for k, time in enumerate(times):
        strength = 1.0 if k % len(both) == 0 else stage.draw(0.7, 0.95)
        add(canvas, stroke(both[k % len(both)], strength), round(time * stage.rate))
    facts = Facts(manner=("rapidly",) if rate_hz > 3.6 else (("slowly",) if rate_hz < 1.9 else ()))
    if count <= 8:
        facts["count"], facts["onsets"] = count, tuple(times)
    if count >= 3:
        facts["rate_hz"] = rate_hz
    return Take(normalised(canvas), facts)


_HANDS = ((0, 0, 1, 0), (0, 1), (1, 0, 0), (0, 0, 1, 1), (0, 0, 0, 1))


def _band(stage: Stage) -> Take:
    """Drums, a bass on the roots and an instrument on the chords, in a named style at an exact tempo."""
    name = list(_COMPING)[stage.integer(0, len(_COMPING) - 1)]
    make, comping, walk = _COMPING[name]
    style = drums.STYLES[name]
    bpm, start = stage.log_draw(*style.bpm), first_onset(stage)
    mode: composition.Mode = "major" if stage.rng.random() < 0.5 else "minor"
    changes = composition.CHANGES[mode][stage.integer(0, 2)]
    tonic, step = stage.integer(40, 51), 60 / bpm / style.steps
    bar = len(style.bar["kick"])
    low, middle = [], []
    for k in range(int((stage.seconds - start - 0.05) / step) + 1):
        root, third, fifth = composition.triad(mode, changes[k // bar % 4])
        time, mark = start + k * step, comping[k % bar]
        if mark != ".":
            length = {"x": 0.9 * style.steps, "o": 0.5 * style.steps, "-": 0.9 * bar}[mark] * step
            middle += [
                Note(
                    time,
                    length,
                    composition.hertz(tonic + 12 + tone % 12 + 12 * (tone % 12 < 3)),
                    0.8,
                )
                for tone in (root, third, fifth)
            ]
        if walk[k % bar] != ".":
            tone = (root, third, fifth)[int(walk[k % bar])]
            low.append(
                Note(time, 0.9 * style.steps * step, composition.hertz(tonic - 12 + tone % 12), 0.9)
            )
    sound = drums.groove(stage, style, bpm, start, 0.6)
    sound += 0.55 * normalised(_voiced(stage, strings.bass(stage), low), 1.0)
    chords = make(stage)
    sound += 0.5 * normalised(chords.finish(_voiced(stage, chords, middle)), 1.0)
    facts = Facts(qualities=(name,), manner=(f"in a {mode} key",))
    if (stage.seconds - start) * bpm / 60 >= 4:
        facts["bpm"] = bpm
    return Take(normalised(sound), facts)


# Chords ("x" a beat, "o" short, "-" the whole bar) and bass (0 root, 1 third, 2 fifth) of a band, step by step.
_COMPING: dict[str, tuple[Callable[[Stage], Voice], str, str]] = {
    "rock": (strings.electric_guitar, "x...x...x...x...", "0.0.0.0.0.0.0.0."),
    "disco": (instruments.lead, "..o...o...o...o.", "0.0.0.0.0.0.2.2."),
    "swing": (strings.piano, "...o.....o..", "0..1..2..1.."),
    "reggae": (winds.organ, "....o.......o...", "0.....2.0..0...."),
    "bossa nova": (strings.guitar, "x..o..o...o..o..", "0.....2.0.....2."),
    "waltz": (winds.accordion, "..o.o.", "0....."),
}


def _kind(
    name: str,
    make: Callable[[Stage], Voice],
    compass: Compass,
    nouns: tuple[str, ...],
    verbs: tuple[str, ...] = _VERBS,
) -> Kind:
    return Kind(name, "music", nouns, verbs, partial(_perform, make, compass))


_SOLOISTS: tuple[Kind, ...] = (
    _kind(
        "piano",
        strings.piano,
        Compass(36, 88, False, _CHORDAL),
        ("piano", "grand piano", "upright piano", "concert piano"),
    ),
    _kind(
        "guitar",
        strings.guitar,
        Compass(40, 76, False, _CHORDAL),
        ("guitar", "plucked guitar", "solo guitar"),
    ),
    _kind(
        "electric guitar",
        strings.electric_guitar,
        Compass(40, 79, False, {**_CHORDAL, "scale": 12, "chords": 3}),
        ("electric guitar", "rock guitar", "electric lead guitar"),
    ),
    _kind(
        "bass guitar",
        strings.bass,
        Compass(28, 55, False, _MELODIC),
        ("bass guitar", "electric bass", "electric bass guitar"),
    ),
    _kind(
        "violin",
        strings.violin,
        Compass(55, 91, True, _MELODIC),
        ("violin", "fiddle", "bowed violin", "solo violin"),
    ),
    _kind(
        "cello",
        strings.cello,
        Compass(36, 67, True, _MELODIC),
        ("cello", "bowed cello", "solo cello"),
    ),
    _kind(
        "flute",
        winds.flute,
        Compass(60, 93, True, _MELODIC),
        ("flute", "concert flute", "solo flute"),
        (*_VERBS, "blowing"),
    ),
    _kind(
        "trumpet",
        winds.trumpet,
        Compass(54, 82, True, _MELODIC),
        ("trumpet", "brass trumpet", "solo trumpet"),
        (*_VERBS, "blowing"),
    ),
    _kind(
        "organ",
        winds.organ,
        Compass(36, 84, True, _CHORDAL),
        ("pipe organ", "church organ", "organ"),
    ),
    _kind(
        "accordion",
        winds.accordion,
        Compass(48, 84, True, _CHORDAL),
        ("accordion", "squeezebox", "reed accordion"),
    ),
    _kind(
        "xylophone",
        instruments.xylophone,
        Compass(67, 98, False, _MELODIC),
        ("xylophone", "xylophone struck with mallets", "toy xylophone"),
    ),
    _kind(
        "marimba",
        instruments.marimba,
        Compass(45, 77, False, _MELODIC),
        ("marimba", "marimba struck with soft mallets", "solo marimba"),
    ),
    _kind(
        "music box",
        instruments.music_box,
        Compass(72, 99, False, {**_MELODIC, "melody": 16}),
        ("music box", "toy music box", "musical box", "wind-up music box"),
    ),
    _kind(
        "synth lead",
        instruments.lead,
        Compass(40, 84, True, _MELODIC),
        ("synthesizer", "synth", "synth lead", "analogue synthesizer"),
    ),
    _kind(
        "synth pad",
        instruments.pad,
        Compass(40, 76, True, _SUNG),
        ("synthesizer pad", "synth pad", "ambient synthesizer pad"),
    ),
    _kind(
        "choir",
        winds.choir,
        Compass(48, 79, True, _SUNG),
        ("choir", "chorus of voices", "group of singers", "vocal choir"),
        ("singing", "vocalising", "chanting"),
    ),
)

KINDS: tuple[Kind, ...] = (
    *_SOLOISTS,
    Kind(
        "drum kit",
        "music",
        ("drum kit", "drum set", "drummer", "~drums"),
        ("playing", "keeping the beat", "keeping time"),
        _drum_kit,
        sustained=True,
    ),
    Kind(
        "bongos",
        "music",
        ("~bongos", "pair of bongos", "~bongo drums"),
        ("playing", "being played by hand", "being tapped"),
        _bongos,
    ),
    Kind(
        "band",
        "music",
        ("band", "small band", "group of musicians", "band with drums and bass"),
        ("playing", "performing", "jamming"),
        _band,
        sustained=True,
    ),
)
