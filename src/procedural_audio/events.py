"""Timing of events inside a clip, random curves, and the annotations that follow from them.

Parameters are drawn from the context and noise from `noise_context`. The number of noise samples
depends on the sample rate; with its own generator it never shifts a parameter. So one seed is the
same performance at every sample rate.

Letters: T samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from .sound_class import Annotations, Take
from .synth import Array, RenderContext, mix_into, normalize_peak

MIN_COUNTABLE_GAP_S = 0.2
"""Seconds between onsets below which listeners no longer count with ease."""
RAPID_HZ = 3.0
"""Events per second above which a series is called rapid."""
SLOW_HZ = 1.1
"""Events per second below which a series is called slow."""
MAX_COUNTED = 8
"""Events of a steady series above which a listener states a rate and no number."""
_LONG_PAUSE_S = 0.8
_END_MARGIN_S = 0.02


def noise_context(ctx: RenderContext) -> RenderContext:
    """Return the same context with its own random generator, for noise.

    Draws from it leave `ctx.rng` unchanged, whatever the sample rate.
    """
    rng = np.random.default_rng(int(ctx.rng.integers(2**63)))
    return RenderContext(rng, ctx.sample_rate, ctx.duration)


def white_noise_per_hz(noise: RenderContext, seconds: float) -> Array:
    """Draw white noise `[T]` of equal power per hertz at every sample rate.

    The deviation is 1 at 16 kHz. So noise and tone stay balanced when the rate changes.
    """
    return noise.white_noise(seconds) * float(np.sqrt(noise.sample_rate / 16000))


def breakpoint_curve(n: int, *points: tuple[float, float]) -> Array:
    """Interpolate a smooth curve through breakpoints.

    The interpolation is monotone cubic (PCHIP): the curve never overshoots its breakpoints.

    Args:
        n: Number of samples.
        *points: Breakpoints as (position, value); the first position is 0, the last is 1.

    Returns:
        The curve `[n]`.
    """
    positions, values = zip(*points, strict=True)
    return np.asarray(PchipInterpolator(positions, values)(np.linspace(0.0, 1.0, n)))


def log_interpolate(low: float, high: float, amount: float) -> float:
    """Interpolate geometrically: `low` at amount 0, `high` at amount 1."""
    return float(low * (high / low) ** amount)


def descriptor(amount: float, low: tuple[str, ...], high: tuple[str, ...]) -> tuple[str, ...]:
    """Return the adjectives for a parameter between 0 and 1.

    Only the outer thirds have a word. In the middle third two listeners would disagree.

    Args:
        amount: The parameter.
        low: Adjectives of the lowest third.
        high: Adjectives of the highest third.

    Returns:
        The adjectives, or none.
    """
    if amount < 0.33:
        return low
    return high if amount > 0.67 else ()


def first_onset(ctx: RenderContext) -> float:
    """Draw the start of a clip's first event, about 0.1 s after the start of the clip."""
    return ctx.triangular(0.07, min(0.13, 0.18 * ctx.duration))


def limit_length(ctx: RenderContext, seconds: float) -> float:
    """Shorten an event that would not end within the clip."""
    return min(seconds, 0.75 * ctx.duration)


def counted_onsets(
    ctx: RenderContext, length: float, gaps: tuple[float, float], max_count: int
) -> list[float]:
    """Draw the onsets of a series of one to `max_count` events at an even pace.

    Args:
        ctx: Context of the clip.
        length: Length of one event in seconds.
        gaps: Range of the silence between two events in seconds.
        max_count: Largest number of events.

    Returns:
        Onsets in seconds. All events end within the clip.
    """
    first = first_onset(ctx)
    period = max(MIN_COUNTABLE_GAP_S, length + ctx.log_triangular(*gaps))
    available = ctx.duration - first - length - _END_MARGIN_S
    count = ctx.integer(1, max(1, min(max_count, 1 + int(available / period))))
    return [first + k * period for k in range(count)]


def periodic_onsets(ctx: RenderContext, rate_hz: float, length: float) -> list[float]:
    """Return the onsets of an exactly periodic series that fills the clip.

    Args:
        ctx: Context of the clip.
        rate_hz: Events per second.
        length: Length of one event in seconds. The end of the clip cuts none.

    Returns:
        Onsets in seconds.
    """
    first = first_onset(ctx)
    count = 1 + max(0, int((ctx.duration - first - length) * rate_hz))
    return [first + k / rate_hz for k in range(count)]


def periodic_annotations(onsets: Sequence[float], rate_hz: float) -> Annotations:
    """Annotate a periodic series.

    Args:
        onsets: Onsets in seconds.
        rate_hz: Events per second.

    Returns:
        The onsets; the rate from three events on; the number while a listener would count.
    """
    annotations = Annotations(onsets=tuple(onsets))
    if len(onsets) >= 3:
        annotations["rate_hz"] = rate_hz
        if rate_hz > RAPID_HZ:
            annotations["manner"] = ("rapidly",)
        else:
            annotations["manner"] = ("slowly",) if rate_hz < SLOW_HZ else ()
    if len(onsets) <= MAX_COUNTED:
        annotations["count"] = len(onsets)
    return annotations


def _call_gains(ctx: RenderContext, count: int) -> tuple[list[float], tuple[str, ...]]:
    """Draw the gains of a series of calls: mostly even, sometimes rising or falling."""
    choice = float(ctx.rng.random())
    even = [ctx.triangular(0.8, 1.0) for _ in range(count)]
    if count < 3 or choice > 0.24:
        return even, ()
    rising = np.geomspace(0.25, 1.0, count).tolist()
    if choice < 0.12:
        return rising, ("getting louder",)
    return rising[::-1], ("getting quieter",)


def _pace_words(onsets: Sequence[float], length: float) -> tuple[str, ...]:
    """Name the pace of three or more calls, if it is clearly fast or slow."""
    if len(onsets) < 3:
        return ()
    period = (onsets[-1] - onsets[0]) / (len(onsets) - 1)
    if period < 1 / RAPID_HZ:
        return ("rapidly",)
    return ("with long pauses",) if period - length > _LONG_PAUSE_S else ()


def repeat_calls(
    ctx: RenderContext,
    length: float,
    gaps: tuple[float, float],
    max_count: int,
    call: Callable[[float], Array],
    qualities: tuple[str, ...] = (),
) -> Take:
    """Render a counted series of calls.

    Args:
        ctx: Context of the clip.
        length: Length of one call in seconds.
        gaps: Range of the silence between two calls in seconds.
        max_count: Largest number of calls.
        call: Renders one call. Its argument, a factor near 1, scales the pitch of the call.
        qualities: Adjectives for the source.

    Returns:
        The take, with the number of calls, their onsets and their rate.
    """
    onsets = counted_onsets(ctx, length, gaps, max_count)
    gains, trend = _call_gains(ctx, len(onsets))
    canvas = ctx.silence()
    for onset, gain in zip(onsets, gains, strict=True):
        sound = normalize_peak(call(ctx.log_triangular(0.96, 1.04)))
        mix_into(canvas, sound, round(onset * ctx.sample_rate), gain)
    annotations = Annotations(
        count=len(onsets),
        onsets=tuple(onsets),
        qualities=qualities,
        manner=_pace_words(onsets, length) + trend,
    )
    if len(onsets) >= 3:
        annotations["rate_hz"] = (len(onsets) - 1) / (onsets[-1] - onsets[0])
    return Take(canvas, annotations)
