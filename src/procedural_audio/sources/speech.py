"""People who talk: kinds of the family "speech", spoken by espeak-ng where it is installed.

Knows the public C interface of espeak-ng (speak_lib.h) as far as it takes to speak a sentence into memory, its voices, and
which sex each has. Refuses to know phonemes and how the library makes sound. Importing this file loads nothing.

espeak-ng keeps counters of its own from sentence to sentence (the flutter of the pitch, among others) that none of its
functions resets. So every sentence is spoken by a library freshly opened and then closed, and no take depends on another.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
import soxr

from ..captions.sentences import SENTENCES
from ..events import first_onset
from ..music.composition import pick
from ..sound_class import Facts, Kind, Take
from ..synth import Array, Stage, add, normalised

_SYNCHRONOUS, _DONT_EXIT, _UTF8 = (
    2,
    0x8000,
    1,
)  # AUDIO_OUTPUT_SYNCHRONOUS, espeakINITIALIZE_DONT_EXIT, espeakCHARS_UTF8
_RATE, _PITCH, _RANGE = 1, 3, 4  # of espeak_PARAMETER
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
_one_at_a_time = Lock()


@dataclass(frozen=True)
class Speaker:
    """How a sentence is spoken: voice with variant ("en-us+f2"), words per minute, pitch and range (0..99, 50 usual)."""

    voice: str
    words_per_minute: int
    pitch: int
    range: int


def available() -> bool:
    """Whether espeak-ng is installed (the `speech` extra)."""
    return find_spec("espeakng_loader") is not None


@contextmanager
def _opened() -> Iterator[tuple[Any, int]]:
    """espeak-ng in its first state, and its sample rate in Hz. Closed afterwards, which makes the system forget that state."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        rate = library.espeak_Initialize(
            _SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), _DONT_EXIT
        )
        assert rate > 0, "espeak-ng found no voice data beside its library"
        yield library, rate
    finally:
        library.espeak_Terminate()
        system, close = (
            (ctypes.CDLL("kernel32"), "FreeLibrary")
            if sys.platform == "win32"
            else (ctypes.CDLL(None), "dlclose")
        )
        getattr(system, close)(
            ctypes.c_void_p(library._handle)
        )  # `_handle` is documented: the underscore keeps C names free


def say(text: str, speaker: Speaker, rate: int) -> Array:
    """The sentence as samples `[T]` at `rate` Hz, without the silence around it. Same words, same speaker: same samples."""
    heard: list[Array] = []

    def listen(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            heard.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float64))
        return 0

    callback = _Callback(listen)  # named, for C holds no reference that would keep it alive
    with _one_at_a_time, _opened() as (library, own_rate):
        library.espeak_SetSynthCallback(callback)
        known = library.espeak_SetVoiceByName(speaker.voice.encode()) == 0
        assert known, f"espeak-ng has no voice {speaker.voice}"  # it would go on with another one
        for parameter, value in (
            (_RATE, speaker.words_per_minute),
            (_PITCH, speaker.pitch),
            (_RANGE, speaker.range),
        ):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        data = text.encode()
        library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
    sound = np.concatenate(heard) / 32768
    loud = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    trimmed = sound[max(0, int(loud[0]) - 100) : int(loud[-1]) + 400]
    return np.asarray(soxr.resample(trimmed, own_rate, rate))


# Accents of English, and the variants of each sex that sound clean with their measured pitch in Hz at the usual setting. Women
# are set higher and men lower than that, so that nobody takes one for the other.
_ACCENTS = ("en-us", "en-gb-x-rp", "en-gb-scotland")
_MEN = {
    "m1": 95,
    "m2": 102,
    "m3": 106,
    "m4": 94,
    "m7": 107,
    "Michael": 107,
    "Lee": 96,
    "Diogo": 105,
}
_WOMEN = {
    "f1": 181,
    "f2": 197,
    "f3": 212,
    "f4": 180,
    "f5": 206,
    "Annie": 244,
    "linda": 229,
    "steph": 185,
}
_SECONDS_A_LETTER = 9.4  # times words per minute: measured over all sentences


def _talk(
    variants: Mapping[str, int],
    settings: tuple[int, int],
    register: tuple[float, float],
    stage: Stage,
) -> Take:
    """One speaker: sentences one after the other, mostly as many as the clip holds. A voice beyond its sex's `register` (below,
    above, in Hz) is called deep or high.
    """
    variant, pitch, speed, flat = (
        pick(stage, *variants),
        stage.integer(*settings),
        stage.draw(0, 1),
        stage.rng.random() < 0.12,
    )
    hertz = variants[variant] * 2 ** ((pitch - 50) / 70)
    voice = f"{pick(stage, *_ACCENTS)}+{variant}"
    speaker = Speaker(
        voice,
        round(115 * 2.3**speed),
        pitch,
        stage.integer(0, 6) if flat else stage.integer(35, 80),
    )
    canvas, start, gap = stage.silence(), first_onset(stage), stage.draw(0.2, 0.6)
    for text in _chosen(stage, stage.seconds - start, gap, speaker):
        sound = say(text, speaker, stage.rate)
        add(canvas, sound, round(start * stage.rate))
        start += len(sound) / stage.rate + gap
    pace = ("slowly",) if speed < 0.2 else (("quickly",) if speed > 0.8 else ())
    tone = (
        ("in a deep voice",)
        if hertz < register[0]
        else (("in a high voice",) if hertz > register[1] else ())
    )
    return Take(normalised(canvas), Facts(manner=pace + (("in a monotone",) if flat else tone)))


def _chosen(stage: Stage, room: float, gap: float, speaker: Speaker) -> list[str]:
    """Sentences in an order of chance that will fit in `room` seconds; the shortest, cut by the clip's end, where none fits."""
    chosen: list[str] = []
    end = stage.rng.random() < 0.25  # some people say one thing and are silent
    for index in stage.rng.permutation(len(SENTENCES)):
        length = _SECONDS_A_LETTER / speaker.words_per_minute * len(SENTENCES[index]) + 0.15
        if length < room and not (end and chosen):
            chosen.append(SENTENCES[index])
            room -= length + gap
    return chosen or [min(SENTENCES, key=len)]


_ACTIONS = ("speaking", "talking", "saying something", "reading aloud")


def _kind(name: str, nouns: tuple[str, ...], play: Callable[[Stage], Take]) -> Kind:
    return Kind(name, "speech", nouns, _ACTIONS, play)


KINDS: tuple[Kind, ...] = (
    _kind(
        "male speech",
        ("man", "male voice", "adult man", "male speaker"),
        partial(_talk, _MEN, (26, 60), (82, 114)),
    ),
    _kind(
        "female speech",
        ("woman", "female voice", "adult woman", "female speaker"),
        partial(_talk, _WOMEN, (42, 76), (180, 265)),
    ),
)
