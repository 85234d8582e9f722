"""People who talk: kinds of the family "speech", spoken by espeak-ng where it is installed.

Knows the public C interface of espeak-ng (speak_lib.h) as far as it takes to speak a sentence into memory, its voices, and which
sex each has. Refuses to know phonemes and how the library makes sound. Importing this file loads nothing.

espeak-ng keeps counters of its own from sentence to sentence (the flutter of the pitch, among others) that none of its
functions resets. So every sentence is spoken by a library freshly opened and closed again: 1 ms, and no take depends on an earlier one.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
import soxr

from .kinds import Facts, Kind, Take
from .sentences import SENTENCES
from .series import first_onset
from .synth import Array, Stage, add, normalised

_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1  # AUDIO_OUTPUT_SYNCHRONOUS, espeakINITIALIZE_DONT_EXIT, espeakCHARS_UTF8
_RATE, _PITCH, _RANGE = 1, 3, 4  # of espeak_PARAMETER
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_one_at_a_time = Lock()


@dataclass(frozen=True)
class Speaker:
    """How a sentence is spoken: espeak-ng voice with variant ("en-us+f2"), words per minute, pitch and range (0..99, 50 usual)."""

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
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), _DONT_EXIT)
        assert rate > 0, "espeak-ng found no voice data beside its library"
        yield library, rate
    finally:
        library.espeak_Terminate()
        system, close = (ctypes.CDLL("kernel32"), "FreeLibrary") if sys.platform == "win32" else (ctypes.CDLL(None), "dlclose")
        getattr(system, close)(ctypes.c_void_p(library._handle))  # `_handle` is documented: the underscore keeps C names free


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
        library.espeak_SetVoiceByName(speaker.voice.encode())
        for parameter, value in ((_RATE, speaker.words_per_minute), (_PITCH, speaker.pitch), (_RANGE, speaker.range)):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        data = text.encode()
        library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
    sound = np.concatenate(heard) / 32768
    loud = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    trimmed = sound[max(0, int(loud[0]) - 100) : int(loud[-1]) + 400]
    return np.asarray(soxr.resample(trimmed, own_rate, rate))


# espeak-ng accents and the variants of each sex that sound clean; the variants bring pitch and formants of their own.
_ACCENTS = ("en-us", "en-gb", "en-gb-x-rp")
_MEN = ("m1", "m2", "m3", "m4", "m7", "Michael", "Lee", "Diogo")
_WOMEN = ("f1", "f2", "f3", "f4", "f5", "Annie", "linda", "steph")


def _talk(variants: tuple[str, ...], stage: Stage) -> Take:
    """Sentences by one speaker, one after the other, as many as the clip holds; one too long for it is cut by the clip's end."""
    dice = stage.integer
    speed = stage.uniform(0, 1)
    words_per_minute = round(115 * 2.3**speed)
    voice = f"{_ACCENTS[dice(0, len(_ACCENTS) - 1)]}+{variants[dice(0, len(variants) - 1)]}"
    speaker = Speaker(voice, words_per_minute, dice(32, 68), dice(30, 75))
    order = stage.rng.permutation(len(SENTENCES))
    canvas, start = stage.silence(), first_onset(stage)
    gap, most = stage.uniform(0.25, 0.7), dice(1, 3)
    for spoken, index in enumerate(order):
        if spoken and (spoken >= most or start > stage.seconds - 0.8):
            break
        sound = say(SENTENCES[index], speaker, stage.rate)
        if spoken and start + len(sound) / stage.rate > stage.seconds - 0.05:
            break
        add(canvas, sound, round(start * stage.rate))
        start += len(sound) / stage.rate + gap
    pace = ("slowly",) if speed < 0.2 else (("quickly",) if speed > 0.8 else ())
    return Take(normalised(canvas), Facts(manner=pace))


_ACTIONS = ("speaking", "talking", "saying something", "reading aloud")

KINDS: tuple[Kind, ...] = (
    Kind("male speech", "speech", ("man", "male voice", "adult man", "male speaker"), _ACTIONS, partial(_talk, _MEN)),
    Kind(
        "female speech", "speech", ("woman", "female voice", "adult woman", "female speaker"), _ACTIONS, partial(_talk, _WOMEN)
    ),
)
