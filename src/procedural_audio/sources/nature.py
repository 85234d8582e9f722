"""Weather, water, fire and leaves: rain, wind, sea, thunder, fire, dripping, stream, bubbles, leaves, hail.

Knows how these textures are built from gusty noise and swarms of tiny events. Refuses to know animals, sentences and rooms.

Letters: T samples, M grains, L samples of a grain.
"""

from __future__ import annotations

import numpy as np

from ..events import air, aside, contour, first_onset, regular, steady, worded
from ..sound_class import Facts, Kind, Take
from ..synth import Array, Stage, add, coloured, decay, filtered, glide, swell, wander


def rain(stage: Stage) -> Take:
    """A steady hiss of far drops under the ticks of near ones; heavier rain is denser and reaches lower."""
    hiss, heavy, roof = aside(stage), stage.draw(0, 1), stage.draw(0, 1)
    far = _noise(hiss, 2200 - 1700 * heavy, 9000) * (1 + 0.08 * wander(stage, stage.seconds, 0.8))
    near = _moments(stage, 30 + 140 * heavy)
    ticks = _scatter(stage, near, _ticks(stage, len(near), 1800, 7000, 0.0012, 0.8))
    thumps = _scatter(stage, near, _ticks(stage, len(near), 250, 900, 0.004, 0.8))
    mix = (0.06 + 0.3 * heavy**1.5) * far + 0.8 * ticks + 0.25 * roof * thumps
    manner = ("on a roof",) if roof > 0.75 else ()
    return Take(mix, Facts(qualities=worded(heavy, ("light",), ("heavy",)), manner=manner))


def wind(stage: Stage) -> Take:
    """Gusts: low noise that brightens as it strengthens, and a whistle (noise riding on a gliding tone) where a gap sings."""
    hiss, strong, sings = aside(stage), stage.draw(0, 1), stage.draw(0, 1)
    gust = wander(stage, stage.seconds, stage.draw(0.5, 1.3))
    force = np.exp((0.35 + 0.4 * strong) * gust)
    rush = _noise(hiss, 250, 700 + 600 * strong)
    rumble = filtered(coloured(hiss, stage.seconds, 1.2), stage.rate, 60, 300, order=1)
    phase = glide(stage.log_draw(380, 1100) * np.exp(0.22 * gust), stage.rate)
    width = stage.draw(15, 50)
    still, turned = (filtered(air(hiss, stage.seconds), stage.rate, high=width) for _ in range(2))
    tone = (still * np.cos(phase) + turned * np.sin(phase)) / still.std()
    mix = rumble * force + 1.6 * rush * force**1.7 + 0.9 * max(0.0, sings - 0.35) * tone * force**2
    manner = ("with a whistle",) if sings > 0.7 else ()
    return Take(mix, Facts(qualities=worded(strong, ("gentle",), ("strong",)), manner=manner))


def sea(stage: Stage) -> Take:
    """Waves: each swells, breaks in a wash of noise that opens upward, and draws back as a thin hiss over a distant roar."""
    hiss, rough = aside(stage), stage.draw(0, 1)
    body, foam, spray = (np.full(stage.size, floor) for floor in (0.25, 0.06, 0.02))
    now = -stage.draw(0.2, 1.5)
    while now < stage.seconds:
        span, gain = stage.draw(2.4, 4.5) * (1.2 - 0.4 * rough), stage.draw(0.7, 1.0)
        start, n = round(now * stage.rate), stage.samples(span)
        add(body, contour(n, (0, 0), (0.3, 0.9), (0.4, 1), (0.7, 0.3), (1, 0)), start, gain)
        add(foam, contour(n, (0, 0), (0.25, 0.15), (0.4, 1), (0.6, 0.5), (1, 0)), start, gain)
        add(spray, contour(n, (0, 0), (0.33, 0.05), (0.45, 0.8), (0.7, 0.5), (1, 0)), start, gain)
        now += span * stage.draw(0.6, 0.95)
    low, middle, high = (_noise(hiss, *band) for band in ((90, 500), (400, 1800), (1800, 7500)))
    mix = (0.5 + rough) * low * body + middle * foam + 0.8 * high * spray
    return Take(mix, Facts(qualities=worded(rough, ("calm",), ("rough",))))


def thunder(stage: Stage) -> Take:
    """A clap torn by a few near strokes, then rumbles rolling off for the rest of the clip, darker as they go."""
    hiss, sharp = aside(stage), stage.draw(0, 1)
    start, tail = first_onset(stage), stage.log_draw(0.6, 1.8)
    canvas = stage.silence()
    for k in range(stage.integer(1, 4)):
        when, gain = start + 0.12 * k * stage.draw(0.4, 1), (0.3 + sharp) * stage.draw(0.4, 1)
        fall = decay(stage, 0.9, 0.05 + 0.06 * sharp, 0.004)
        crack = filtered(air(hiss, 0.9), stage.rate, 90, 500 + 4500 * sharp, order=1)
        add(canvas, crack * fall, round(when * stage.rate), gain)
    left = stage.seconds - start
    roll = filtered(coloured(hiss, left, 1.0), stage.rate, 30, stage.log_draw(110, 260))
    bumps = np.exp(0.8 * wander(stage, left, stage.draw(2.5, 5)))
    t = stage.clock(left)
    add(
        canvas,
        3 * roll * bumps * np.minimum(t / 0.08, 1) * 0.5 ** (t / tail),
        round(start * stage.rate),
    )
    manner = ("with a long rumble",) if tail > 1.3 and left > 3 else ()
    return Take(canvas, Facts(qualities=worded(sharp, ("deep",), ("sharp",)), manner=manner))


def fire(stage: Stage) -> Take:
    """Crackles: dry snaps in little bursts, a few far louder than the rest, over a soft flutter of flame."""
    hiss, large = aside(stage), stage.draw(0, 1)
    snaps = _moments(stage, 18 + 50 * large, np.exp(1.1 * wander(stage, stage.seconds, 5)))
    crackle = _scatter(stage, snaps, _ticks(stage, len(snaps), 900, 6500, 0.0016, 1.3))
    pops = _moments(stage, 1.5 + 2 * large)
    crackle += _scatter(stage, pops, _ticks(stage, len(pops), 350, 1500, 0.005, 0.7))
    flame = _noise(hiss, 60, 260 + 200 * large) * np.exp(0.5 * wander(stage, stage.seconds, 9))
    ash = _noise(hiss, 1500, 7000)
    mix = crackle + (0.03 + 0.3 * large**1.5) * flame + (0.004 + 0.015 * large) * ash
    return Take(mix, Facts(qualities=worded(large, ("small",), ("large",))))


def drip(stage: Stage) -> Take:
    """Drops falling into water at a steady rate: a tick, then a bubble that rings and climbs; bigger drops ring lower."""
    rate_hz, tune, rise = (
        stage.log_draw(0.8, 5.4),
        stage.log_draw(450, 2200),
        stage.draw(0.04, 0.18),
    )
    half = stage.log_draw(0.012, 0.035) * (900 / tune) ** 0.3
    length = min(8 * half, 0.9 / rate_hz)
    times = np.array(steady(stage, rate_hz, length))
    count = len(times)
    rings = _pings(
        stage, tune * _logs(stage, 0.95, 1.05, count), np.full(count, half), length, rise
    )
    ticks = _pings(stage, np.full(count, min(3.1 * tune, 6500)), np.full(count, 0.0015), 0.015)
    return Take(
        _scatter(stage, times + 0.006, rings) + 0.35 * _scatter(stage, times, ticks),
        regular(times.tolist(), rate_hz),
    )


def stream(stage: Stage) -> Take:
    """Running water: hundreds of small bubbles a second over a soft rush; a bigger stream is denser and lower."""
    hiss, large = aside(stage), stage.draw(0, 1)
    eddies = np.exp(0.35 * wander(stage, stage.seconds, 6))
    born = _moments(stage, 110 + 120 * large, eddies)
    depth = 1.5 * 0.55**large
    hertz = _logs(stage, 380 * depth, 2600 * depth, len(born))
    gains = np.exp(0.6 * stage.rng.standard_normal(len(born))) * (500 / hertz) ** 0.3
    chatter = _scatter(stage, born, gains[:, None] * _pings(stage, hertz, 9.0 / hertz, 0.045, 0.1))
    rush = _noise(hiss, 400 * depth, 2600) * eddies
    return Take(
        chatter + (0.12 + 0.5 * large) * rush,
        Facts(qualities=worded(large, ("small",), ("large",))),
    )


def bubbles(stage: Stage) -> Take:
    """Bubbling: single round blobs, each clearly climbing, in loose clusters; big bubbles ring low."""
    large, climb = stage.draw(0, 1), stage.draw(0.1, 0.22)
    born = _moments(stage, stage.log_draw(6, 18), np.exp(0.7 * wander(stage, stage.seconds, 2)))
    hertz = 900 * (200 / 900) ** large * _logs(stage, 0.6, 1.6, len(born))
    blobs = stage.rng.uniform(0.4, 1, len(born))[:, None] * _pings(
        stage, hertz, 14.0 / hertz, 0.25, climb
    )
    return Take(
        _scatter(stage, born, blobs), Facts(qualities=worded(large, ("small",), ("large",)))
    )


def leaves(stage: Stage) -> Take:
    """Rustling: strokes of dry high noise made of fine crumbs, coming and going with the breeze or a step."""
    hiss, dry = aside(stage), stage.draw(0, 1)
    strokes = np.exp(1.1 * wander(stage, stage.seconds, stage.draw(1.5, 4)))
    strokes /= strokes.max()
    crumbs = _moments(stage, 500, strokes)
    grain = _scatter(stage, crumbs, _ticks(stage, len(crumbs), 2200, 7000, 0.0008, 0.9))
    soft = _noise(hiss, 2600, 7600) * strokes**1.5
    mix = ((0.4 + dry) * grain + (0.5 - 0.35 * dry) * soft) * swell(
        stage, stage.seconds, 0.05, 0.05
    )
    return Take(mix, Facts(qualities=worded(dry, ("soft",), ("crisp",))))


def hail(stage: Stage) -> Take:
    """Hard knocks by the dozen: each stone a click and a short ring of what it hits, one pitch on metal, many on the ground."""
    hiss, metal, plate = aside(stage), stage.draw(0, 1), stage.log_draw(500, 2200)
    fall = _moments(stage, stage.log_draw(25, 80))
    gains = np.exp(0.6 * stage.rng.standard_normal(len(fall)))[:, None]
    canvas = 0.05 * _noise(hiss, 2500, 7500) + _scatter(
        stage, fall, _ticks(stage, len(fall), 3000, 7000, 0.0012, 0.5)
    )
    half, blur = 0.004 + 0.01 * metal**2, 1.08 + 0.6 * (1 - metal)
    for ratio, share in ((1.0, 1.0), (1.73, 0.7), (2.65, 0.45)):
        hertz = np.minimum(plate * ratio * _logs(stage, 1 / blur, blur, len(fall)), 6800)
        rings = _pings(stage, hertz, np.full(len(fall), half / ratio), 8 * half / ratio)
        canvas += _scatter(stage, fall, share * gains * rings)
    return Take(canvas, Facts(manner=worded(metal, ("on the ground",), ("on metal",))))


def _noise(hiss: Stage, low: float, high: float) -> Array:
    """White noise over the whole clip `[T]` between two gentle 6 dB/octave edges in Hz."""
    return filtered(air(hiss, hiss.seconds), hiss.rate, low, high, order=1)


def _moments(stage: Stage, density: float, tide: Array | None = None) -> Array:
    """Poisson moments `[M]` in seconds, `density` a second on average; `tide`, a positive curve over the clip, crowds them."""
    count = max(3, int(stage.rng.poisson(density * stage.seconds)))
    shares = stage.rng.uniform(0, 1, count)
    if tide is not None:
        mass = np.cumsum(np.interp(np.linspace(0, 1, 512), np.linspace(0, 1, len(tide)), tide))
        shares = np.interp(shares, mass / mass[-1], np.linspace(0, 1, 512))
    shares[0] = stage.draw(0.02, 0.12) / stage.seconds  # chance must not open a clip with silence
    return np.asarray(shares * stage.seconds)


def _scatter(stage: Stage, moments: Array, grains: Array) -> Array:
    """The clip `[T]` with grain m, a row of `[M, L]`, mixed in at `moments[m]` seconds; what passes the end is cut."""
    where = np.round(moments * stage.rate).astype(np.int64)[:, None] + np.arange(grains.shape[1])
    mixed = np.bincount(where.ravel(), grains.ravel(), minlength=stage.size + grains.shape[1])
    return np.asarray(mixed[: stage.size], dtype=np.float64)


def _logs(stage: Stage, low: float, high: float, count: int) -> Array:
    """`count` numbers `[M]` whose logarithms are drawn evenly."""
    return np.asarray(np.exp(stage.rng.uniform(np.log(low), np.log(high), count)))


def _pings(
    stage: Stage, hertz: Array, half_life: Array, seconds: float, rise: float = 0.0
) -> Array:
    """Ringing grains `[M, L]`: sines that lose half every `half_life[m]` s while their pitch climbs by the share `rise`.

    A bubble in water is such a ping: it rings at about 3.3 / radius(m) Hz (Minnaert 1933) and climbs as it nears the surface.
    """
    t = stage.clock(seconds)
    age = t / half_life[:, None]
    phase = 2 * np.pi * hertz[:, None] * t * (1 + 0.5 * rise * age)
    edges = np.minimum(t / 0.001, 1.0) * np.minimum((t[-1] - t) / 0.002, 1.0)
    return np.asarray(np.sin(phase) * np.exp(-np.log(2) * age) * edges)


def _ticks(
    stage: Stage, count: int, low: float, high: float, half_life: float, spread: float
) -> Array:
    """Clicks of ringing matter `[M, L]` between two pitches in Hz; log-normal gains with `spread` let a few stand out."""
    gains = np.exp(spread * (stage.rng.standard_normal(count) - 1))
    lives = _logs(stage, 0.5 * half_life, 2 * half_life, count)
    return gains[:, None] * _pings(stage, _logs(stage, low, high, count), lives, 10 * half_life)


KINDS: tuple[Kind, ...] = (
    Kind(
        "rain",
        "effects",
        ("~rain", "~rainfall", "~raindrops"),
        ("falling", "pattering", "coming down"),
        rain,
        sustained=True,
        indoors=False,
    ),
    Kind(
        "wind",
        "effects",
        ("~wind", "wind", "breeze"),
        ("blowing", "gusting", "sweeping by"),
        wind,
        sustained=True,
        indoors=False,
    ),
    Kind(
        "sea",
        "effects",
        ("~sea waves", "~ocean waves", "~surf"),
        ("washing ashore", "rolling ashore", "breaking on a beach"),
        sea,
        sustained=True,
        indoors=False,
    ),
    Kind(
        "thunder",
        "effects",
        ("~thunder", "thunderstorm", "thunderclap"),
        ("rumbling", "rolling", "booming"),
        thunder,
        indoors=False,
    ),
    Kind(
        "fire",
        "effects",
        ("fire", "campfire", "wood fire", "~flames"),
        ("crackling", "burning", "burning and popping"),
        fire,
        sustained=True,
    ),
    Kind(
        "drip",
        "effects",
        ("~water", "~water drops", "faucet"),
        ("dripping", "dripping into water", "dripping down"),
        drip,
        sustained=True,
    ),
    Kind(
        "stream",
        "effects",
        ("stream", "brook", "creek"),
        ("flowing", "babbling", "gurgling along"),
        stream,
        sustained=True,
        indoors=False,
    ),
    Kind(
        "bubbles",
        "effects",
        ("~bubbles", "~air bubbles"),
        ("bubbling up", "rising in water", "gurgling", "popping up"),
        bubbles,
        sustained=True,
    ),
    Kind(
        "leaves",
        "effects",
        ("~leaves", "~fallen leaves", "~foliage"),
        ("rustling", "stirring", "swishing"),
        leaves,
        sustained=True,
        indoors=False,
    ),
    Kind(
        "hail",
        "effects",
        ("~hail", "~hailstones", "~ice pellets"),
        ("falling", "rattling down", "pelting down"),
        hail,
        sustained=True,
        indoors=False,
    ),
)
