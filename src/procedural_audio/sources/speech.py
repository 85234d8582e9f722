"""Speech: sentences spoken by the speech synthesizer espeak-ng, where it is installed.

The module calls the public C interface of espeak-ng (speak_lib.h). Importing it loads nothing.

espeak-ng keeps internal counters from sentence to sentence (for the flutter of the pitch, among
others), and no function resets them. So the library is opened and closed for every sentence, and
no take depends on another.
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
from ..sound_class import Annotations, SoundClass, Take
from ..synth import Array, RenderContext, mix_into, normalize_peak

# Constants of speak_lib.h.
_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_PARAMETER_RANGE = 4
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
_LOCK = Lock()
"""espeak-ng has one global state, so only one thread may use it at a time."""
_AUDIBLE = 0.01  # samples above this fraction of the peak are not trimmed
_SAMPLES_BEFORE = 100  # samples kept before the first audible one
_SAMPLES_AFTER = 400  # samples kept after the last audible one


@dataclass(frozen=True)
class Speaker:
    """Settings of the synthesizer for one speaker.

    Attributes:
        voice_name: Voice with variant, for example "en-us+f2".
        words_per_minute: Speed.
        pitch: 0 to 99; 50 is the default of the variant.
        pitch_range: Variation of the pitch, 0 (monotone) to 99; 50 is the default.
    """

    voice_name: str
    words_per_minute: int
    pitch: int
    pitch_range: int


def is_available() -> bool:
    """Whether espeak-ng is installed (the `speech` extra)."""
    return find_spec("espeakng_loader") is not None


@contextmanager
def _open_library() -> Iterator[tuple[Any, int]]:
    """Open espeak-ng in its initial state; yield the library and its sample rate in Hz.

    Closing the shared library discards its state.
    """
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        data_path = espeakng_loader.get_data_path().encode()
        sample_rate = library.espeak_Initialize(
            _OUTPUT_SYNCHRONOUS, 0, data_path, _INITIALIZE_DONT_EXIT
        )
        assert sample_rate > 0, "espeak-ng found no voice data beside its library"
        yield library, sample_rate
    finally:
        library.espeak_Terminate()
        if sys.platform == "win32":
            close = ctypes.CDLL("kernel32").FreeLibrary
        else:
            close = ctypes.CDLL(None).dlclose
        # `_handle` is documented: the underscore keeps names of C functions free.
        close(ctypes.c_void_p(library._handle))


def synthesize(text: str, speaker: Speaker, sample_rate: int) -> Array:
    """Speak a sentence.

    Args:
        text: The sentence.
        speaker: Settings of the speaker.
        sample_rate: Sample rate of the result in Hz.

    Returns:
        Samples `[T]` without the silence around the sentence. The same text and speaker always
        give the same samples.
    """
    chunks: list[Array] = []

    def collect(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float64))
        return 0

    callback = _Callback(collect)  # a local name, because C holds no reference to it
    with _LOCK, _open_library() as (library, library_rate):
        library.espeak_SetSynthCallback(callback)
        has_voice = library.espeak_SetVoiceByName(speaker.voice_name.encode()) == 0
        # Without this check espeak-ng would use another voice.
        assert has_voice, f"espeak-ng has no voice {speaker.voice_name}"
        library.espeak_SetParameter(_PARAMETER_RATE, speaker.words_per_minute, 0)
        library.espeak_SetParameter(_PARAMETER_PITCH, speaker.pitch, 0)
        library.espeak_SetParameter(_PARAMETER_RANGE, speaker.pitch_range, 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        data = text.encode()
        size = ctypes.c_size_t(len(data) + 1)
        library.espeak_Synth(data, size, 0, 1, 0, _CHARS_UTF8, None, None)
    samples = np.concatenate(chunks) / 32768
    audible = np.flatnonzero(np.abs(samples) > _AUDIBLE * np.abs(samples).max())
    start = max(0, int(audible[0]) - _SAMPLES_BEFORE)
    trimmed = samples[start : int(audible[-1]) + _SAMPLES_AFTER]
    return np.asarray(soxr.resample(trimmed, library_rate, sample_rate))


_ACCENTS = ("en-us", "en-gb-x-rp", "en-gb-scotland")
# Variants of each sex that sound clean, with their measured pitch in Hz at the default setting.
# Women are set higher and men lower than that, so that the sexes cannot be confused.
_MALE_VARIANTS = {
    "m1": 95,
    "m2": 102,
    "m3": 106,
    "m4": 94,
    "m7": 107,
    "Michael": 107,
    "Lee": 96,
    "Diogo": 105,
}
_FEMALE_VARIANTS = {
    "f1": 181,
    "f2": 197,
    "f3": 212,
    "f4": 180,
    "f5": 206,
    "Annie": 244,
    "linda": 229,
    "steph": 185,
}
_SECONDS_PER_LETTER = 9.4  # divided by words per minute; measured over all sentences
_PITCH_STEPS_PER_OCTAVE = 70  # of the pitch setting


def _speech(
    variants: Mapping[str, int],
    pitch_settings: tuple[int, int],
    register_hz: tuple[float, float],
    ctx: RenderContext,
) -> Take:
    """Render one speaker who says sentences, usually as many as the clip holds.

    A voice below or above `register_hz` is called deep or high.
    """
    variant = pick(ctx, *variants)
    pitch = ctx.integer(*pitch_settings)
    speed = ctx.triangular(0, 1)
    is_monotone = ctx.rng.random() < 0.12
    pitch_hz = variants[variant] * 2 ** ((pitch - 50) / _PITCH_STEPS_PER_OCTAVE)
    voice_name = f"{pick(ctx, *_ACCENTS)}+{variant}"
    words_per_minute = round(115 * 2.3**speed)
    pitch_range = ctx.integer(0, 6) if is_monotone else ctx.integer(35, 80)
    speaker = Speaker(voice_name, words_per_minute, pitch, pitch_range)
    canvas = ctx.silence()
    start = first_onset(ctx)
    pause = ctx.triangular(0.2, 0.6)
    for text in _choose_sentences(ctx, ctx.duration - start, pause, speaker):
        sentence = synthesize(text, speaker, ctx.sample_rate)
        mix_into(canvas, sentence, round(start * ctx.sample_rate))
        start += len(sentence) / ctx.sample_rate + pause
    manner: tuple[str, ...] = ()
    if speed < 0.2:
        manner = ("slowly",)
    elif speed > 0.8:
        manner = ("quickly",)
    if is_monotone:
        manner += ("in a monotone",)
    elif pitch_hz < register_hz[0]:
        manner += ("in a deep voice",)
    elif pitch_hz > register_hz[1]:
        manner += ("in a high voice",)
    return Take(normalize_peak(canvas), Annotations(manner=manner), "espeak-ng")


def _choose_sentences(
    ctx: RenderContext, available_s: float, pause: float, speaker: Speaker
) -> list[str]:
    """Draw sentences that will end within `available_s` seconds.

    If none does, it is the shortest sentence, which the end of the clip cuts.
    """
    chosen: list[str] = []
    says_only_one = ctx.rng.random() < 0.25
    for index in ctx.rng.permutation(len(SENTENCES)):
        text = SENTENCES[index]
        length = _SECONDS_PER_LETTER / speaker.words_per_minute * len(text) + 0.15
        if length < available_s and not (says_only_one and chosen):
            chosen.append(text)
            available_s -= length + pause
    return chosen or [min(SENTENCES, key=len)]


_ACTIONS = ("speaking", "talking", "saying something", "reading aloud")


def _speech_class(
    name: str, render: Callable[[RenderContext], Take], nouns: tuple[str, ...]
) -> SoundClass:
    return SoundClass(name, "speech", nouns, _ACTIONS, render)


CLASSES: tuple[SoundClass, ...] = (
    _speech_class(
        "male speech",
        partial(_speech, _MALE_VARIANTS, (26, 60), (82, 114)),
        ("man", "male voice", "adult man", "male speaker"),
    ),
    _speech_class(
        "female speech",
        partial(_speech, _FEMALE_VARIANTS, (42, 76), (180, 265)),
        ("woman", "female voice", "adult woman", "female speaker"),
    ),
)
