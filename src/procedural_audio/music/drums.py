"""Drums: the drums of a kit, a pair of bongos, and the patterns of a style.

A pattern has a string per drum for one bar, with a character per step: "x" is a full stroke, "o" a
light one, "." none.

Letters: T samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..events import noise_context, white_noise_per_hz
from ..synth import (
    Array,
    RenderContext,
    butterworth,
    decay_envelope,
    mix_into,
    phase_from_frequency,
)
from . import voices
from .instruments import decaying_partials


@dataclass(frozen=True)
class DrumStyle:
    """A style of drumming.

    Attributes:
        bpm: Usual range of tempi in beats per minute.
        steps_per_beat: Steps of the pattern per beat.
        bar: Pattern of one bar for each drum of the kit.
    """

    bpm: tuple[float, float]
    steps_per_beat: int
    bar: Mapping[str, str]


STYLES: Mapping[str, DrumStyle] = {
    "rock": DrumStyle(
        (95, 150),
        4,
        {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."},
    ),
    "disco": DrumStyle(
        (110, 132),
        4,
        {
            "kick": "x...x...x...x...",
            "snare": "....x.......x...",
            "open": "..x...x...x...x.",
            "hat": "o...o...o...o...",
        },
    ),
    "swing": DrumStyle(
        (110, 190),
        3,
        {
            "ride": "x..x.ox..x.o",
            "foot": "...x.....x..",
            "kick": "o.....o.....",
            "snare": ".....o......",
        },
    ),
    "reggae": DrumStyle(
        (66, 90),
        4,
        {"kick": "........x.......", "rim": "........x.......", "hat": "..x.o.x...x.o.x."},
    ),
    "hip hop": DrumStyle(
        (78, 98),
        4,
        {"kick": "x..x......x..x..", "snare": "....x.......x..o", "hat": "x.x.x.x.x.x.x.xx"},
    ),
    "techno": DrumStyle(
        (122, 140),
        4,
        {
            "kick": "x...x...x...x...",
            "clap": "....x.......x...",
            "open": "..x...x...x...x.",
            "hat": "oooooooooooooooo",
        },
    ),
    "bossa nova": DrumStyle(
        (110, 145),
        4,
        {"kick": "x.....x.x.....x.", "rim": "x..x..x...x..x..", "hat": "o.o.o.o.o.o.o.o."},
    ),
    "waltz": DrumStyle((90, 160), 2, {"kick": "x.....", "snare": "..o.o.", "hat": "..x.x."}),
    "march": DrumStyle(
        (100, 126),
        4,
        {"kick": "x.......x.......", "snare": "x...xoo.x...xoox", "foot": "....x.......x..."},
    ),
    "funk": DrumStyle(
        (92, 116),
        4,
        {"kick": "x..x..x...x..x..", "snare": "....x..o.o..x..o", "hat": "xoxoxoxoxoxoxoxo"},
    ),
}

STROKES: Mapping[str, float] = {"x": 1.0, "o": 0.45}
"""Level of each kind of stroke."""


class DrumKit:
    """A drum kit whose size, tuning and damping are drawn once."""

    def __init__(self, ctx: RenderContext) -> None:
        """Draw a kit.

        Args:
            ctx: Context of the clip.
        """
        self._ctx = ctx
        self._noise = noise_context(ctx)
        self._size = ctx.log_triangular(0.8, 1.25)
        self._decay = ctx.log_triangular(0.7, 1.4)
        self._snare_wires = ctx.triangular(0.5, 1.0)
        self._cymbal_tuning = ctx.triangular(0.8, 1.2)
        self._drums: Mapping[str, Callable[[], Array]] = {
            "kick": self._kick,
            "snare": self._snare,
            "hat": self._closed_hat,
            "open": self._open_hat,
            "foot": self._pedal_hat,
            "ride": self._ride,
            "rim": self._rim_shot,
            "clap": self._hand_claps,
        }
        self._recorded: Callable[[str], Array] | None = None
        if ctx.soundfont is not None:
            self._recorded = voices.build_drum_kit(ctx, ctx.soundfont)
        self._rendered: dict[str, Array] = {}

    def stroke(self, drum: str) -> Array:
        """Return one stroke on a drum `[T]`. Each drum is rendered once per clip."""
        if drum not in self._rendered:
            play = self._drums[drum] if self._recorded is None else partial(self._recorded, drum)
            self._rendered[drum] = play()
        return self._rendered[drum]

    def _band_noise(self, seconds: float, low_hz: float, high_hz: float, half_life: float) -> Array:
        white = white_noise_per_hz(self._noise, seconds)
        band = butterworth(white, self._ctx.sample_rate, low_hz, high_hz)
        return band * decay_envelope(self._ctx, seconds, half_life, 0.001)

    def _membrane(
        self, seconds: float, end_hz: float, start_hz: float, fall_time: float, half_life: float
    ) -> Array:
        """A sine whose frequency falls from `start_hz` to `end_hz`."""
        t = self._ctx.time_axis(seconds)
        frequency = end_hz + (start_hz - end_hz) * 0.5 ** (t / fall_time)
        tone = np.sin(phase_from_frequency(frequency, self._ctx.sample_rate))
        return tone * decay_envelope(self._ctx, seconds, half_life, 0.001)

    def _cymbal(self, seconds: float, half_life: float) -> Array:
        modes = np.array([2510.0, 3140, 3870, 4430, 5260, 5910, 6540, 7180])
        frequencies = self._cymbal_tuning * modes
        gains = np.full(8, 0.12)
        half_lives = np.full(8, half_life)
        phases = np.arange(8.0)
        return decaying_partials(self._ctx, seconds, frequencies, gains, half_lives, phases)

    def _kick(self) -> Array:
        tone = self._membrane(0.5, 48 / self._size, 190 / self._size, 0.018, 0.07 * self._decay)
        return 1.2 * tone + 0.08 * self._band_noise(0.5, 800, 4000, 0.004)

    def _snare(self) -> Array:
        tone = self._membrane(0.35, 185 / self._size, 260 / self._size, 0.02, 0.035)
        wires = self._band_noise(0.35, 900, 7300, 0.045 * self._decay)
        return 0.55 * tone + self._snare_wires * 0.5 * wires

    def _closed_hat(self) -> Array:
        noise = self._band_noise(0.12, 5200 * self._cymbal_tuning, 7800, 0.014)
        return 0.3 * noise + 0.1 * self._cymbal(0.12, 0.01)

    def _open_hat(self) -> Array:
        noise = self._band_noise(0.4, 4600 * self._cymbal_tuning, 7800, 0.09)
        return 0.32 * noise + 0.12 * self._cymbal(0.4, 0.07)

    def _pedal_hat(self) -> Array:
        return 0.25 * self._band_noise(0.1, 3800, 7600, 0.012)

    def _ride(self) -> Array:
        wash = 0.1 * self._band_noise(0.7, 4500, 7800, 0.12)
        wash = wash + 0.35 * self._cymbal(0.7, 0.16)
        return wash + 0.2 * self._band_noise(0.7, 3000, 7800, 0.006)

    def _rim_shot(self) -> Array:
        frequencies = np.array([820.0, 1700, 2600])
        gains = np.array([1, 0.8, 0.5])
        return 0.5 * decaying_partials(self._ctx, 0.1, frequencies, gains, np.full(3, 0.008))

    def _hand_claps(self) -> Array:
        """Three claps 11 ms apart; the last one has the decay of a room."""
        out = np.zeros(self._ctx.to_samples(0.4))
        for k, half_life in enumerate((0.006, 0.006, 0.05)):
            clap = 0.6 * self._band_noise(0.3, 900, 4200, half_life)
            mix_into(out, clap, round(0.011 * k * self._ctx.sample_rate))
        return out


def render_pattern(
    ctx: RenderContext, style: DrumStyle, bpm: float, start: float, gain: float = 1.0
) -> Array:
    """Render the bar of a style, repeated to the end of the clip.

    Args:
        ctx: Context of the clip.
        style: The style.
        bpm: Tempo in beats per minute.
        start: Onset of the first step in seconds.
        gain: Gain of the drums.

    Returns:
        Samples of the clip `[T]`.
    """
    kit = DrumKit(ctx)
    canvas = ctx.silence()
    step_s = 60 / bpm / style.steps_per_beat
    velocity_rng = noise_context(ctx).rng
    for drum, bar in style.bar.items():
        for k in range(int((ctx.duration - start) / step_s) + 1):
            stroke = bar[k % len(bar)]
            if stroke in STROKES:
                level = STROKES[stroke] * velocity_rng.uniform(0.85, 1.0)
                onset = round((start + k * step_s) * ctx.sample_rate)
                mix_into(canvas, kit.stroke(drum), onset, gain * level)
    return canvas


def bongos(ctx: RenderContext) -> Callable[[int, float], Array]:
    """Build a pair of hand drums.

    Args:
        ctx: Context of the clip.

    Returns:
        A function (0 for the high drum or 1 for the low one, velocity) -> one stroke `[T]`.
    """
    if ctx.soundfont is not None:
        return voices.build_bongos(ctx, ctx.soundfont)
    noise = noise_context(ctx)
    high_hz = ctx.log_triangular(300, 460)
    pitches = (high_hz, high_hz / ctx.triangular(1.3, 1.55))
    half_life = ctx.log_triangular(0.03, 0.06)
    slap_gain = ctx.triangular(0.15, 0.5)

    def render_stroke(drum: int, velocity: float) -> Array:
        # Modes of a round membrane (Rayleigh 1877).
        frequencies = pitches[drum] * np.array([1.0, 1.59, 2.14, 2.65])
        gains = np.array([1, 0.45, 0.25, 0.15])
        half_lives = half_life * np.array([1.4, 0.8, 0.6, 0.5])
        x = decaying_partials(ctx, 0.5, frequencies, gains, half_lives)
        slap = butterworth(white_noise_per_hz(noise, 0.5), ctx.sample_rate, 700, 4500)
        x += slap_gain * slap * decay_envelope(ctx, 0.5, 0.006, 0.0005)
        return velocity * x

    return render_stroke
