"""Scenes: one sound alone, one sound and then another, or two sounds at the same time.

A scene renders its sound classes into one clip and keeps the annotations that captions need.

Letters: T samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .room import (
    DISTANCES,
    LOUDNESSES,
    ROOMS,
    Distance,
    Loudness,
    Room,
    fade_ends,
    place_in_room,
    set_peak_level,
)
from .sound_class import Annotations, SoundClass, Source
from .soundfont import Soundfont
from .synth import Array, RenderContext, mix_into, normalize_peak

Relation: TypeAlias = Literal["alone", "then", "while"]

_RELATIONS: tuple[Relation, ...] = ("alone", "then", "while")
MIX_PROBABILITIES = (0.72, 0.18, 0.1)
"""Probabilities that a sound is alone, precedes or follows another, or overlaps another."""

_MIN_SEQUENCE_S = 2.5  # in shorter clips, two successive sounds are too short to be recognized
_CUT_FADE_S = 0.03  # fade at the end of the first of two successive sounds
_FRAME_S = 0.01  # frame of the level measurement
_AUDIBLE = 0.02  # a frame is audible above this fraction (-34 dB) of the loudest frame
_ACTIVE = 0.1  # a frame is active above this fraction (-20 dB) of the loudest frame
_MAX_PEAK = 0.98
_ROOM_PROBABILITIES = (0.82, 0.06, 0.06, 0.06)
_DISTANCE_PROBABILITIES = (0.12, 0.76, 0.12)
_DISTANCE_PROBABILITIES_WITHOUT_FAR = (0.15, 0.85, 0.0)
_LOUDNESS_PROBABILITIES = (0.15, 0.7, 0.15)
_LOUDNESS_PROBABILITIES_FAR = (0.25, 0.75, 0.0)  # a far sound is never loud


@dataclass(frozen=True)
class Event:
    """One sound of a scene.

    Attributes:
        sound_class: Class of the sound.
        annotations: Properties of this take; onsets are in clip time.
        start_s: Time in seconds at which the sound becomes audible.
        stop_s: Time in seconds at which it is no longer audible.
        distance: Distance of the source.
        room: Room, or "none".
        loudness: Loudness of the source.
        source: Where the samples come from.
    """

    sound_class: SoundClass
    annotations: Annotations
    start_s: float
    stop_s: float
    distance: Distance = "mid"
    room: Room = "none"
    loudness: Loudness = "normal"
    source: Source = "synthesis"


@dataclass(frozen=True)
class Scene:
    """The content of a clip.

    Attributes:
        events: One or two sounds. "then": in order of time. "while": first the event, then the
            sustained sound behind it.
        relation: Relation of the sounds.
        duration: Duration of the clip in seconds.
    """

    events: tuple[Event, ...]
    relation: Relation
    duration: float


@dataclass(frozen=True)
class _Clip:
    """Format and generator of the clip that a scene fills."""

    rng: np.random.Generator
    sample_rate: int
    duration: float
    room: Room
    soundfont: Soundfont | None


def render_scene(
    classes: Sequence[SoundClass],
    rng: np.random.Generator,
    sample_rate: int,
    duration: float,
    main_class: SoundClass | None = None,
    mix_probabilities: Sequence[float] = MIX_PROBABILITIES,
    soundfont: Soundfont | None = None,
) -> tuple[NDArray[np.float32], Scene]:
    """Compose and render one clip.

    Args:
        classes: Sound classes that the scene may hold.
        rng: Source of every random number of the clip.
        sample_rate: Sample rate in Hz.
        duration: Duration in seconds.
        main_class: Class that the scene must hold. None: drawn uniformly from `classes`. A second
            class is drawn uniformly from those that can be combined with it.
        mix_probabilities: See `MIX_PROBABILITIES`. The sound is alone if no second class is
            possible.
        soundfont: Plays the notes of instruments. None: they are synthesized.

    Returns:
        Samples `[T]` float32 with |x| <= 1 and T = round(duration * sample_rate), and the scene.
    """
    main_class = main_class or classes[int(rng.integers(len(classes)))]
    relation = _RELATIONS[int(rng.choice(3, p=mix_probabilities))]
    partners = [other for other in classes if _can_combine(main_class, other, relation, duration)]
    members: tuple[SoundClass, ...] = (main_class,)
    if partners:
        partner = partners[int(rng.integers(len(partners)))]
        members = _order_members(rng, relation, main_class, partner)
    else:
        relation = "alone"
    room = _draw_room(rng, all(member.can_be_indoors for member in members))
    clip = _Clip(rng, sample_rate, duration, room, soundfont)
    render = {"alone": _render_alone, "then": _render_then, "while": _render_while}[relation]
    canvas, events = render(members, clip)
    peak = float(np.max(np.abs(canvas)))
    canvas = fade_ends(canvas * min(1.0, _MAX_PEAK / peak), sample_rate)
    return canvas.astype(np.float32), Scene(events, relation, duration)


def _can_combine(
    main_class: SoundClass, other: SoundClass, relation: Relation, duration: float
) -> bool:
    """Whether two classes can share a clip: two sustained or two short sounds cannot overlap."""
    if relation == "alone" or other.name == main_class.name:
        return False
    if relation == "then":
        return duration >= _MIN_SEQUENCE_S
    return main_class.is_sustained != other.is_sustained


def _order_members(
    rng: np.random.Generator, relation: Relation, main_class: SoundClass, partner: SoundClass
) -> tuple[SoundClass, ...]:
    """Order two classes: in time, or the event before the sustained sound."""
    if relation == "while":
        if main_class.is_sustained:
            return (partner, main_class)
        return (main_class, partner)
    return (main_class, partner) if rng.random() < 0.5 else (partner, main_class)


def _render_alone(members: tuple[SoundClass, ...], clip: _Clip) -> tuple[Array, tuple[Event, ...]]:
    sound, event = _render_event(members[0], clip, 0.0, clip.duration)
    return sound, (event,)


def _render_then(members: tuple[SoundClass, ...], clip: _Clip) -> tuple[Array, tuple[Event, ...]]:
    """Render two sounds of about half the clip each. The first's reverberation overlaps."""
    cut = round(clip.duration * float(clip.rng.uniform(0.48, 0.52)) * clip.sample_rate)
    cut_s = cut / clip.sample_rate
    first, first_event = _render_event(members[0], clip, 0.0, cut_s)
    second, second_event = _render_event(members[1], clip, cut_s, clip.duration)
    return first + second, (first_event, second_event)


def _render_while(members: tuple[SoundClass, ...], clip: _Clip) -> tuple[Array, tuple[Event, ...]]:
    """Render an event 4 to 10 dB above a sustained sound, measured where each is active."""
    front, event = _render_event(members[0], clip, 0.0, clip.duration, has_loudness=False)
    back, steady = _render_event(members[1], clip, 0.0, clip.duration, has_loudness=False)
    ratio = 10 ** (-float(clip.rng.uniform(4, 10)) / 20)
    front_level = _active_rms(front, clip.sample_rate)
    back = back * (ratio * front_level / _active_rms(back, clip.sample_rate))
    return normalize_peak(front + back, float(clip.rng.uniform(0.4, 0.7))), (event, steady)


def _render_event(
    sound_class: SoundClass, clip: _Clip, start: float, stop: float, has_loudness: bool = True
) -> tuple[Array, Event]:
    """Render one class from `start` to `stop` seconds on a canvas of the whole clip.

    Without a loudness of its own the sound is "normal", and the caller sets its level.
    """
    rng = clip.rng
    sample_rate = clip.sample_rate
    offset = round(start * sample_rate)
    num_samples = round(clip.duration * sample_rate)
    event_duration = round((stop - start) * sample_rate) / sample_rate
    context = RenderContext(rng, sample_rate, event_duration, clip.soundfont)
    take = sound_class.render(context)
    distance, loudness = _draw_place(sound_class, clip, has_loudness)
    peak = float(np.max(np.abs(take.samples)))
    assert np.isfinite(peak) and peak > 1e-6, (
        f"{sound_class.name} rendered silence or numbers that are not finite"
    )
    dry = fade_ends(take.samples, sample_rate, _CUT_FADE_S if stop < clip.duration else 0.0)
    wet = place_in_room(dry, sample_rate, rng, distance, clip.room, num_samples - offset)
    sound = set_peak_level(wet, distance, loudness)
    canvas = np.zeros(num_samples)
    mix_into(canvas, sound, offset)
    annotations = take.annotations.copy()
    if "onsets" in annotations:
        onsets = [round(onset + start, 4) for onset in annotations["onsets"]]
        annotations["onsets"] = tuple(onsets)
    audible_from, audible_to = _audible_range(sound, sample_rate)
    times = (start + audible_from, start + audible_to)
    event = Event(sound_class, annotations, *times, distance, clip.room, loudness, take.source)
    return canvas, event


def _draw_place(
    sound_class: SoundClass, clip: _Clip, has_loudness: bool
) -> tuple[Distance, Loudness]:
    """Draw distance and loudness. Nothing is far away in a small room."""
    can_be_far = sound_class.can_be_far and clip.room != "small room"
    distances = _DISTANCE_PROBABILITIES if can_be_far else _DISTANCE_PROBABILITIES_WITHOUT_FAR
    distance = DISTANCES[int(clip.rng.choice(3, p=distances))]
    if not has_loudness:
        return distance, "normal"
    is_far = distance == "far"
    loudnesses = _LOUDNESS_PROBABILITIES_FAR if is_far else _LOUDNESS_PROBABILITIES
    return distance, LOUDNESSES[int(clip.rng.choice(3, p=loudnesses))]


def _draw_room(rng: np.random.Generator, is_allowed: bool) -> Room:
    """Draw a room. The draw happens even where no room is allowed, so later draws do not shift."""
    room = ROOMS[int(rng.choice(4, p=_ROOM_PROBABILITIES))]
    return room if is_allowed else "none"


def _frame_levels(x: Array, sample_rate: int) -> Array:
    """Root mean square of every frame of 10 ms."""
    frame = max(1, round(_FRAME_S * sample_rate))
    frames = x[: len(x) // frame * frame].reshape(-1, frame)
    return np.asarray(np.sqrt(np.mean(frames**2, axis=1)))


def _active_rms(x: Array, sample_rate: int) -> float:
    """Root mean square over the active frames, those within 20 dB of the loudest."""
    levels = _frame_levels(x, sample_rate)
    return float(np.sqrt(np.mean(levels[levels > _ACTIVE * levels.max()] ** 2)))


def _audible_range(x: Array, sample_rate: int) -> tuple[float, float]:
    """First and last time in seconds at which the sound is audible."""
    levels = _frame_levels(x, sample_rate)
    audible = np.flatnonzero(levels > _AUDIBLE * levels.max())
    first = round(float(audible[0]) * _FRAME_S, 2)
    last = round(min(float(audible[-1] + 1) * _FRAME_S, len(x) / sample_rate), 2)
    return first, last
