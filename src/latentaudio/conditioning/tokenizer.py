"""Prompts to token ids, by any `tokenizer.json`, and the builder of `mini`'s tokenizer.

B texts, N tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import WeightsError, first_line
from .numbers import NOTE, number_tokens, replace_numbers

if TYPE_CHECKING:
    import tokenizers

START = "[START]"
PAD = "[PAD]"
END = "[END]"
UNKNOWN = "[UNK]"
PAD_ID = 1  # RoBERTa's, from which CLAP counts positions; T5 masks padding, whatever its id

_UNKNOWN_PIECES = (UNKNOWN, "<unk>")  # of our tokenizers, and of RoBERTa's and T5's
_LAST_LATIN = 0x24F  # last letter of the Latin blocks of Unicode
_MAX_WORD_CHARS = 40  # a longer word is unknown
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_PROBE = "A dog barks 3 times, \u00e9"
"""Text that a tokenizer must read, so that a damaged one is found when it is opened."""
_MARKS = "!\"#$%&'()*+,-./:;<=>?@\\^_`{|}~"


def build_tokenizer(words: Iterable[str], size: int) -> tokenizers.Tokenizer:
    """Build a lower-case word-piece tokenizer with number tokens.

    A text becomes [START] pieces [END].

    Args:
        words: Whole words and "##" continuations, the most frequent first.
        size: Number of entries, reached if `words` suffice. Single letters, digits and marks always
            have entries, so that every text in Latin letters can be tokenized.

    Returns:
        A tokenizer of the library `tokenizers`.
    """
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = [*_CHARACTERS, *(f"##{c}" for c in _CHARACTERS), *_MARKS]
    fixed = [START, PAD, END, UNKNOWN, NOTE, *number_tokens()]
    pieces = list(dict.fromkeys([*fixed, *letters, *words]))[:size]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    rules = Tokenizer(
        models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_MAX_WORD_CHARS)
    )
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
    """Texts to padded ids.

    A tokenizer that has number tokens gets its texts with numbers replaced
    (`numbers.replace_numbers`).

    Attributes:
        rules: The tokenizer of the library `tokenizers`.
        max_length: Longer texts are cut to this many tokens; the end token stays.
        has_number_tokens: Whether numbers are tokens of their own.
    """

    def __init__(self, rules: tokenizers.Tokenizer, max_length: int) -> None:
        self.rules = rules
        self.max_length = max_length
        self.has_number_tokens = rules.token_to_id(NOTE) is not None
        rules.no_padding()
        rules.enable_truncation(max_length)

    @classmethod
    def from_file(cls, path: str | Path, max_length: int) -> Tokenizer:
        """Read a `tokenizer.json`.

        Args:
            path: The file.
            max_length: Tokens to cut longer texts to.

        Returns:
            The tokenizer.

        Raises:
            WeightsError: The file is missing or damaged.
        """
        from tokenizers import Tokenizer as Rules

        return cls.checked(lambda: Rules.from_file(str(path)), path, max_length)

    @classmethod
    def checked(cls, read_rules: Callable[[], Any], path: str | Path, max_length: int) -> Tokenizer:
        """Return a tokenizer that has read a text and an empty text without an error.

        Args:
            read_rules: Returns the tokenizer of the library `tokenizers`.
            path: Its file or folder, for errors.
            max_length: Tokens to cut longer texts to.

        Raises:
            WeightsError: It is missing or damaged.
        """
        try:
            tokenizer = cls(read_rules(), max_length)
            if not tokenizer._tokenize([_PROBE, ""])[1].ids:
                raise ValueError("an empty text has no token")
        except BaseException as error:  # bare Exception, and panics of Rust
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise WeightsError(
                f"{path} is not a readable tokenizer ({first_line(error)}); "
                "download the model again"
            ) from None
        return tokenizer

    def fits(self, text: str) -> bool:
        """Return whether a text is tokenized to its end, without truncation."""
        return not self._tokenize([text])[0].overflowing

    def unread_share(self, text: str) -> float:
        """Return the share of a text's pieces that say nothing: unknown ones, and bytes of letters.

        Pieces of one letter outside of the Latin alphabet count as bytes: vocabularies of English
        have no words of them. A text in Latin letters has a share of 0.

        Args:
            text: A prompt.
        """
        if all(ord(letter) <= _LAST_LATIN for letter in text):
            return 0.0
        encoding = self.rules.encode(text, add_special_tokens=False)
        if not encoding.ids:
            return 0.0
        num_unread = 0
        for piece, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
            letters = text[start:end].strip()
            is_byte = len(letters) == 1 and ord(letters) > _LAST_LATIN
            num_unread += piece in _UNKNOWN_PIECES or is_byte
        return num_unread / len(encoding.ids)

    def __call__(self, texts: Sequence[str], length: int | None = None) -> tuple[Tensor, Tensor]:
        """Tokenize texts.

        Args:
            texts: B texts.
            length: Number of tokens N to pad or cut to. None: the longest text.

        Returns:
            Ids and mask, both int64 [B, N]; the mask is 1 for real tokens.
        """
        if length is not None:
            # for this call only
            self.rules.enable_truncation(length)
        rows = self._tokenize(texts)
        self.rules.enable_truncation(self.max_length)
        length = max(len(row.ids) for row in rows) if length is None else length
        ids = torch.full((len(rows), length), PAD_ID)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            mask[i, : len(row.ids)] = 1
        return ids, mask

    def _tokenize(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        if self.has_number_tokens:
            # word pieces would split a number into digits
            texts = [replace_numbers(text) for text in texts]
        return self.rules.encode_batch(list(texts))
