"""Prompts to token ids. Knows tokenizer files and how numbers are written. Refuses to know networks and what words mean.

A word-piece vocabulary tears "443" into digits, and a small network never learns to read them. So a tokenizer that owns number
tokens gets its numbers whole: `quantities` writes each as one token of a logarithmic grid, and notes as their frequencies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import WeightsError

if TYPE_CHECKING:
    import tokenizers

START, PAD, END, UNKNOWN, NOTE = "[START]", "[PAD]", "[END]", "[UNK]", "[NOTE]"
PAD_ID = 1  # RoBERTa's, from which CLAP counts positions; T5 never looks at padding
EXACT = 50
PER_OCTAVE = 48
LOWEST, HIGHEST = -6, 15  # octaves of the grid: 2**-6 to 2**15

_SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_NOTES = re.compile(r"\b([a-g])(#|♯|b|♭| sharp | flat )?([0-8])(?![\w.,]*\d|\w)")
_NUMBERS = re.compile(
    r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?(?: ?(khz|kilohertz))?(?=[a-z]{0,3}\b|\W|$)"
)
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_MARKS = "!\"#$%&'()*+,-./:;<=>?@\\^_`{|}~"


def number_token(value: float, exact: bool = True) -> str:
    """The token of a number >= 0: its own for a whole number below 50, else the nearest of 48 a octave (within 0.8 %)."""
    if exact and value < EXACT and value == int(value):
        return f"[i{int(value)}]"
    octaves = min(max(math.log2(max(value, 1e-9)), LOWEST), HIGHEST)
    return f"[n{round((octaves - LOWEST) * PER_OCTAVE)}]"


def number_tokens() -> dict[str, float]:
    """Every number token and the value it stands for."""
    grid = {
        f"[n{i}]": 2.0 ** (LOWEST + i / PER_OCTAVE)
        for i in range((HIGHEST - LOWEST) * PER_OCTAVE + 1)
    }
    return {f"[i{i}]": float(i) for i in range(EXACT)} | grid


def quantities(text: str) -> str:
    """The text in lower case with every written number and note replaced by its token: "A4" shares its token with "440 Hz"."""

    def note(found: re.Match[str]) -> str:
        letter, accidental, octave = found.groups()
        shift = {"": 0, "#": 1, "♯": 1, "sharp": 1}.get((accidental or "").strip(), -1)
        pitch = 440 * 2 ** ((_SEMITONES[letter] + shift + 12 * (int(octave) + 1) - 69) / 12)
        return f" {number_token(pitch, exact=False)} {NOTE} "

    def number(found: re.Match[str]) -> str:
        whole, fraction, kilo = found.groups()
        if whole is None and fraction is None:
            return found.group()
        value = float((whole or "0").replace(",", "") + (fraction or "")) * (1000 if kilo else 1)
        return f" {number_token(value)} {'hz' if kilo else ''} "

    plain = text.lower().replace("[", "(").replace("]", ")")
    return " ".join(_NUMBERS.sub(number, _NOTES.sub(note, plain)).split())


def build(words: Iterable[str], size: int) -> tokenizers.Tokenizer:
    """A lower-case word-piece tokenizer with number tokens, of exactly `size` entries if `words` suffice.

    words: whole words and "##" continuations, the most useful first. Single letters and digits are always in, so that anything
    written in Latin letters can be spelt; a text becomes [START] pieces [END].
    """
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = [*_CHARACTERS, *(f"##{c}" for c in _CHARACTERS), *_MARKS]
    fixed = [START, PAD, END, UNKNOWN, NOTE, *number_tokens()]
    vocabulary = {
        piece: i for i, piece in enumerate(list(dict.fromkeys([*fixed, *letters, *words]))[:size])
    }
    rules = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=40))
    rules.normalizer = normalizers.BertNormalizer(lowercase=True)
    rules.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rules.add_special_tokens([START, PAD, END, UNKNOWN])
    rules.add_tokens([AddedToken(piece, normalized=False) for piece in (NOTE, *number_tokens())])
    rules.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}",
        special_tokens=[(START, vocabulary[START]), (END, vocabulary[END])],
    )
    return rules


class Tokenizer:
    """Texts to padded ids, by any `tokenizer.json`. length: rows are cut to it, the end token kept."""

    def __init__(self, rules: tokenizers.Tokenizer, length: int) -> None:
        self.rules, self.length = rules, length
        self.owns_numbers = rules.token_to_id(NOTE) is not None
        rules.no_padding()
        rules.enable_truncation(length)

    @classmethod
    def from_file(cls, path: str | Path, length: int) -> Tokenizer:
        """Read a `tokenizer.json`. Raises WeightsError when it is missing or damaged."""
        from tokenizers import Tokenizer as Rules

        try:
            return cls(Rules.from_file(str(path)), length)
        except Exception as problem:  # the library raises bare Exception
            raise WeightsError(
                f"{path} is not a readable tokenizer ({problem}); download the model again"
            ) from None

    def fits(self, text: str) -> bool:
        """Whether a text is read to its end."""
        return not self._rows([text])[0].overflowing

    def _rows(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        return self.rules.encode_batch(
            [quantities(text) if self.owns_numbers else text for text in texts]
        )

    def __call__(self, texts: Sequence[str], width: int | None = None) -> tuple[Tensor, Tensor]:
        """ids and mask, both int64 [B, N]: N is the longest row, or `width`, to which longer rows are cut."""
        if width is not None:
            self.rules.enable_truncation(width)
        rows = self._rows(texts)
        self.rules.enable_truncation(self.length)
        width = max(len(row.ids) for row in rows) if width is None else width
        ids = torch.full((len(rows), width), PAD_ID)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            mask[i, : len(row.ids)] = 1
        return ids, mask
