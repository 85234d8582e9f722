"""Grapheme to phoneme conversion.

Converts transcripts to ids of the 183 symbols of VITS, as in AudioLDM 2's speech models. This is
the English text pipeline of the original (numerics: phonemes). The extra `speech` installs
espeak-ng, which is opened at the first text. It reads numbers, as in the original.

Two differences. A comma or point between two digits belongs to the number, as in newer versions of
the original's phonemizer. Older ones split "1,000" into "one, zero zero zero". And the original
uses Unidecode to make text ASCII, whose license is GPL. This module uses Unicode's decomposition
and a table of common signs. Letters of other scripts are dropped and not transliterated.
"""

from __future__ import annotations

import ctypes
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError

_IPA = (
    "ɑɐɒæɓʙβɔɕçɗɖðʤəɘɚɛɜɝɞɟʄɡɠɢʛɦɧħɥʜɨɪʝɭɬɫɮʟɱɯɰŋɳɲɴøɵɸθœɶʘɹɺɾɻʀʁɽʂʃʈʧʉʊʋⱱʌɣɤʍχʎʏʑʐʒʔʡʕʢǀǁǂǃ"
    "ˈˌːˑʼʴʰʱʲʷˠˤ˞↓↑→↗↘\N{APOSTROPHE}\N{COMBINING VERTICAL LINE BELOW}\N{APOSTROPHE}ᵻ"
)
_MARKS = ';:,.!?¡¿—…"«»“”'
END = "⚠"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SYMBOLS: tuple[str, ...] = ("_", *_MARKS, " ", *_LETTERS, *_IPA, *"♪☎☒☝", END)
"""Symbol of every id.

Id 0 is padding and any unknown symbol; of the two apostrophes the latter's id is used.
"""

_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}
_ABBREVIATIONS = {
    "mrs": "misess", "mr": "mister", "dr": "doctor", "st": "saint", "co": "company", "jr": "junior",
    "maj": "major", "gen": "general", "drs": "doctors", "rev": "reverend", "lt": "lieutenant",
    "hon": "honorable", "sgt": "sergeant", "capt": "captain", "esq": "esquire", "ltd": "limited",
    "col": "colonel", "ft": "fort",
}  # fmt: skip
_ABBREVIATED = re.compile(rf"\b({'|'.join(_ABBREVIATIONS)})\.")
_SIGNS = str.maketrans({
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"',
    "‟": '"', "«": '"', "»": '"', "‹": "'", "›": "'", "‐": "-", "–": "-", "−": "-", "—": "--",
    "―": "--", "⁄": "/", "¡": "!", "¿": "?", "ß": "ss", "ı": "i", "æ": "ae", "Æ": "AE", "œ": "oe",
    "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D",
    "þ": "th", "Þ": "Th", "€": " euros ", "£": " pounds ", "°": " degrees ",
})  # fmt: skip
# a comma or point between digits is part of a number
_MARK = rf"(?:[{re.escape(_MARKS.replace(',', '').replace('.', ''))}]|(?<!\d)[,.]|[,.](?!\d))"
_PUNCTUATION = re.compile(rf"((?:\s*{_MARK})+\s*)")

# of speak_lib.h
_OUTPUT_SYNCHRONOUS = 2  # no sound device
_DONT_EXIT = 0x8000  # an error must not end the process
_CHARS_UTF8 = 1
_PHONEMES_IPA = 2
_ESPEAK_VOICE = b"en-us"

_lock = Lock()  # espeak-ng has global state


def ascii_text(text: str) -> str:
    """Return the text in ASCII, without tags `<...>`, each run of white space one space."""
    decomposed = unicodedata.normalize("NFKD", re.sub(r"<.*?>", "", text))
    ascii_only = decomposed.translate(_SIGNS).encode("ascii", "ignore").decode()
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", ascii_only).strip()


def clean_text(text: str) -> str:
    """Return the text that espeak-ng reads: ASCII, lower case, abbreviations written out."""
    return _ABBREVIATED.sub(lambda match: _ABBREVIATIONS[match[1]], ascii_text(text).lower())


@contextmanager
def _open_espeak() -> Iterator[Any]:
    """Load espeak-ng with an American English voice, and unload it.

    The corpus renderer expects its initial state.
    """
    try:
        import espeakng_loader
    except ImportError:
        raise UsageError("speech needs espeak-ng; pip install espeakng-loader") from None
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        data_path = espeakng_loader.get_data_path().encode()
        rate = library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, data_path, _DONT_EXIT)
        assert rate > 0, "espeak-ng found no voice data beside its library"
        has_voice = library.espeak_SetVoiceByName(_ESPEAK_VOICE) == 0
        assert has_voice, "espeak-ng has no voice en-us"  # it would go on with another one
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        yield library
    finally:
        library.espeak_Terminate()
        # `_handle` is documented: the underscore keeps it apart from the library's own symbols
        handle = ctypes.c_void_p(library._handle)
        if sys.platform == "win32":
            ctypes.CDLL("kernel32").FreeLibrary(handle)
        else:
            ctypes.CDLL(None).dlclose(handle)


def _espeak_phonemes(library: Any, text: str) -> str:
    """Phonemes in IPA with stress of a text without punctuation."""
    rest = ctypes.c_char_p(text.encode())
    clauses = []
    while rest.value is not None:  # espeak-ng converts one clause per call and moves the pointer
        converted = library.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _PHONEMES_IPA)
        clauses.append(converted.decode())
    return " ".join(clauses).strip()


def phonemize(text: str) -> str:
    """Return a transcript in IPA with stress, as espeak-ng pronounces it in American English.

    Punctuation stays in place.

    Args:
        text: The transcript.

    Returns:
        Phonemes and punctuation.

    Raises:
        UsageError: espeak-ng is not installed.
    """
    pieces = _PUNCTUATION.split(clean_text(text))  # text and punctuation alternate
    if any(pieces[::2]):
        with _lock, _open_espeak() as library:
            pieces[::2] = [
                _espeak_phonemes(library, piece) if piece else "" for piece in pieces[::2]
            ]
    return re.sub(r"\s+", " ", "".join(pieces)).strip()


def transcript_to_ids(text: str, length: int) -> Tensor:
    """Return the ids [1, length] int64 of a transcript.

    Phonemes, the end symbol if it fits, zeros.
    """
    ids = [_IDS.get(symbol, 0) for symbol in phonemize(text) + END][:length]
    return torch.tensor([ids + [0] * (length - len(ids))], dtype=torch.int64)


def fits(text: str, length: int) -> bool:
    """Return whether all phonemes of a transcript and the end symbol fit into `length` ids."""
    return len(phonemize(text)) < length
