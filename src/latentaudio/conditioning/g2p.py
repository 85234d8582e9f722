"""A transcript as ids of phonemes: the 183 symbols of VITS and the English text pipeline of AudioLDM 2's speech (spec 6.7).

Knows the symbols, the clean-up of text and how espeak-ng is asked for phonemes. Refuses to know what is done with ids.
Importing this file loads nothing; espeak-ng comes with the `speech` extra and is opened when there is something to say.

Two liberties. Unidecode, which the original uses to make text ASCII, has a licence of another kind (GPL): here Unicode's own
decomposition and a table of usual signs do, and letters of other scripts, which Unidecode would spell in Latin, are dropped.
Numbers are read by espeak-ng, as in the original; a comma or point inside one splits it, as in the original too.
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
"""Symbol of every id. Id 0 pads and stands for what has no symbol; the apostrophe, here twice, is the latter of the two."""

_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}
_ABBREVIATIONS = {
    "mrs": "misess", "mr": "mister", "dr": "doctor", "st": "saint", "co": "company", "jr": "junior", "maj": "major",
    "gen": "general", "drs": "doctors", "rev": "reverend", "lt": "lieutenant", "hon": "honorable", "sgt": "sergeant",
    "capt": "captain", "esq": "esquire", "ltd": "limited", "col": "colonel", "ft": "fort",
}  # fmt: skip
_SHORT = re.compile(rf"\b({'|'.join(_ABBREVIATIONS)})\.")
_SIGNS = str.maketrans({
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "‟": '"', "«": '"', "»": '"',
    "‹": "'", "›": "'", "‐": "-", "–": "-", "−": "-", "—": "--", "―": "--", "⁄": "/", "¡": "!", "¿": "?", "ß": "ss", "ı": "i",
    "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D",
    "þ": "th", "Þ": "Th", "€": " euros ", "£": " pounds ", "°": " degrees ",
})  # fmt: skip
_BETWEEN = re.compile(rf"((?:\s*[{re.escape(_MARKS)}])+\s*)")
_SYNCHRONOUS, _DONT_EXIT, _UTF8, _AS_IPA = (
    2,
    0x8000,
    1,
    2,
)  # of speak_lib.h: no sound device, no exit of the process
_one_at_a_time = Lock()


def ascii_text(text: str) -> str:
    """The text in ASCII, tags `<...>` removed, each run of white space one space."""
    decomposed = unicodedata.normalize("NFKD", re.sub(r"<.*?>", "", text))
    folded = decomposed.translate(_SIGNS).encode("ascii", "ignore").decode()
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", folded).strip()


def spelled(text: str) -> str:
    """What is handed to espeak-ng: ASCII, lower case, abbreviations written out."""
    return _SHORT.sub(lambda found: _ABBREVIATIONS[found[1]], ascii_text(text).lower())


@contextmanager
def _opened() -> Iterator[Any]:
    """espeak-ng, speaking American English. It is closed afterwards, for whoever opens it next expects its first state."""
    try:
        import espeakng_loader
    except ImportError:
        raise UsageError("speech needs espeak-ng; pip install espeakng-loader") from None
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        rate = library.espeak_Initialize(
            _SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), _DONT_EXIT
        )
        assert rate > 0, "espeak-ng found no voice data beside its library"
        known = library.espeak_SetVoiceByName(b"en-us") == 0
        assert known, "espeak-ng has no voice en-us"  # it would go on with another one
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        yield library
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


def _pronounced(library: Any, piece: str) -> str:
    """Text without punctuation -> its phonemes in IPA with stress; espeak-ng takes a clause at a time."""
    rest, clauses = ctypes.c_char_p(piece.encode()), []
    while rest.value is not None:
        clauses.append(library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _AS_IPA).decode())
    return " ".join(clauses).strip()


def phonemes(text: str) -> str:
    """A transcript as espeak-ng pronounces it, American English in IPA with stress, punctuation left where it was."""
    pieces = _BETWEEN.split(spelled(text))
    if any(pieces[::2]):
        with _one_at_a_time, _opened() as library:
            pieces[::2] = [_pronounced(library, piece) if piece else "" for piece in pieces[::2]]
    return re.sub(r"\s+", " ", "".join(pieces)).strip()


def encode(text: str, length: int) -> Tensor:
    """A transcript -> ids [1, length] int64: phonemes, the end symbol unless they fill the length, zeros."""
    ids = [_IDS.get(symbol, 0) for symbol in phonemes(text) + END][:length]
    return torch.tensor([ids + [0] * (length - len(ids))], dtype=torch.int64)


def fits(text: str, length: int) -> bool:
    """Whether all phonemes of a transcript and the end symbol go into `length` ids."""
    return len(phonemes(text)) < length
