"""The voice of an instrument: synthesized, or the notes of a soundfont.

This is the only place that chooses between them. A context with a soundfont gives its notes.

Letters: T samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from ..events import noise_context
from ..soundfont import DRUM_BANK, Soundfont
from ..sources.surroundings import add_echo
from ..synth import Array, RenderContext
from . import instruments, strings, winds
from .composition import hz_to_midi
from .instruments import Instrument

SYNTHESIZED: Mapping[str, Callable[[RenderContext], Instrument]] = {
    "piano": strings.piano,
    "guitar": strings.guitar,
    "electric guitar": strings.electric_guitar,
    "bass guitar": strings.bass_guitar,
    "violin": strings.violin,
    "cello": strings.cello,
    "flute": winds.flute,
    "trumpet": winds.trumpet,
    "organ": winds.organ,
    "accordion": winds.accordion,
    "xylophone": instruments.xylophone,
    "marimba": instruments.marimba,
    "music box": instruments.music_box,
    "synth lead": instruments.synth_lead,
    "synth pad": instruments.synth_pad,
    "choir": winds.choir,
}
"""The synthesizer of each instrument."""


@dataclass(frozen=True)
class Patch:
    """A program of General MIDI (from 0), and the adjectives that are true of it."""

    program: int
    qualities: tuple[str, ...] = ()


PATCHES: Mapping[str, tuple[Patch, ...]] = {
    "piano": (Patch(0), Patch(0), Patch(1, ("bright",))),
    "guitar": (Patch(24, ("nylon-string",)), Patch(25, ("steel-string", "acoustic"))),
    "electric guitar": (
        Patch(27, ("clean",)),
        Patch(29, ("overdriven",)),
        Patch(30, ("distorted",)),
        Patch(26),
    ),
    "bass guitar": (Patch(33), Patch(34), Patch(33), Patch(35, ("fretless",))),
    "violin": (Patch(40),),
    "cello": (Patch(42),),
    "flute": (Patch(73),),
    "trumpet": (Patch(56), Patch(56), Patch(56), Patch(59, ("muted",))),
    "organ": (Patch(19),),
    "accordion": (Patch(21), Patch(23)),
    "xylophone": (Patch(13, ("wooden",)),),
    "marimba": (Patch(12, ("wooden",)),),
    "music box": (Patch(10),),
    "synth lead": (Patch(80, ("electronic", "hollow")), Patch(81, ("electronic",))),
    "synth pad": (Patch(88), Patch(89, ("warm",)), Patch(90), Patch(94), Patch(95)),
    "choir": (Patch(52), Patch(53)),
}
"""The programs of each instrument. They are equally frequent."""
DRUM_KEYS: Mapping[str, int] = {
    "kick": 36,
    "snare": 38,
    "hat": 42,
    "open": 46,
    "foot": 44,
    "ride": 51,
    "rim": 37,
    "clap": 39,
}
"""The key of each drum in every kit of General MIDI."""
BONGO_KEYS = (60, 61)
"""The keys of the high and the low bongo."""
_DRUM_KITS = (0, 8, 16, 24, 25, 32, 40)
_DRUM_S = 0.8  # time that the key of a drum is held
# The notes of a soundfont are dry. A studio adds some reverberation.
_STUDIO_DECAY_S = (0.5, 1.4)
_STUDIO_GAIN = (0.15, 0.45)
_SHELF_HZ = 1500.0
_SHELF_DB = 4.0  # largest change of the highs of one instrument


def build_instrument(name: str, ctx: RenderContext) -> Instrument:
    """Build an instrument.

    Args:
        name: Name in `SYNTHESIZED`.
        ctx: Context of the clip. Its soundfont plays the notes, if there is one.

    Returns:
        The instrument.
    """
    soundfont = ctx.soundfont
    if soundfont is None:
        return SYNTHESIZED[name](ctx)
    patches = PATCHES[name]
    patch = patches[ctx.integer(0, len(patches) - 1)]
    strength = ctx.triangular(0.55, 1.0)
    shelf_gain = 10 ** (ctx.triangular(-_SHELF_DB, _SHELF_DB) / 20)
    decay_s = ctx.triangular(*_STUDIO_DECAY_S)
    echo_gain = ctx.triangular(*_STUDIO_GAIN)
    noise = noise_context(ctx)

    def render_tone(frequency: float, seconds: float, velocity: float) -> Array:
        key = hz_to_midi(frequency)
        force = strength * velocity
        return soundfont.render_note(0, patch.program, key, force, seconds, ctx.sample_rate)

    def shape(x: Array) -> Array:
        shaped = _high_shelf(x, ctx.sample_rate, shelf_gain)
        return add_echo(noise, shaped, decay_s, echo_gain)

    return Instrument(render_tone, patch.qualities, shape)


def build_drum_kit(ctx: RenderContext, soundfont: Soundfont) -> Callable[[str], Array]:
    """Build a drum kit of a soundfont.

    Args:
        ctx: Context of the clip.
        soundfont: The soundfont.

    Returns:
        A function (drum) -> one stroke `[T]`.
    """
    kit = _DRUM_KITS[ctx.integer(0, len(_DRUM_KITS) - 1)]
    velocity = ctx.triangular(0.7, 1.0)

    def stroke(drum: str) -> Array:
        key = DRUM_KEYS[drum]
        return soundfont.render_note(DRUM_BANK, kit, key, velocity, _DRUM_S, ctx.sample_rate)

    return stroke


def build_bongos(ctx: RenderContext, soundfont: Soundfont) -> Callable[[int, float], Array]:
    """Build the bongos of a soundfont.

    Args:
        ctx: Context of the clip.
        soundfont: The soundfont.

    Returns:
        A function (0 for the high drum or 1 for the low one, velocity) -> one stroke `[T]`.
    """
    strength = ctx.triangular(0.6, 1.0)

    def stroke(drum: int, velocity: float) -> Array:
        force = strength * velocity
        key = BONGO_KEYS[drum]
        return soundfont.render_note(DRUM_BANK, 0, key, force, _DRUM_S, ctx.sample_rate)

    return stroke


def _high_shelf(x: Array, sample_rate: int, gain: float) -> Array:
    """Scale the highs above some 1500 Hz by `gain`: another microphone or another player."""
    pole = float(np.exp(-2 * np.pi * _SHELF_HZ / sample_rate))
    low = np.asarray(lfilter([1 - pole], [1.0, -pole], x))
    return np.asarray(low + gain * (x - low))
