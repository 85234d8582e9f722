"""The text side of a model: CLAP, T5, phonemes, tokenizers, translator. Knows which file feeds which; nothing of prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..conditioning.base import Modules, TextParts
from ..conditioning.tokenizer import Tokenizer
from ..config.architecture import ModelConfig
from ..config.reference import FIDELITIES, Fidelity
from ..errors import WeightsError
from .diffusers_format import TOKENIZERS
from .model_folder import TOKENIZER_FILE

if TYPE_CHECKING:
    from .resolve import Layout

HUBS = {"clap": "FacebookAI/roberta-base", "t5": "google/flan-t5-large"}
"""Whose tokenizers the authors' checkpoints were trained with; the checkpoints hold none."""


def read_texts(
    folder: Path,
    config: ModelConfig,
    modules: Modules,
    layout: Layout = "latentaudio",
    fidelity: Fidelity = FIDELITIES["clean"],
) -> TextParts:
    """What reads prompts for the model in `folder`, with parts out of `modules`."""
    return TextParts(
        config,
        modules,
        clap_tokens=read_tokenizer(folder, layout, "clap", config.clap.text_length)
        if config.clap
        else None,
        t5_tokens=read_tokenizer(folder, layout, "t5", config.t5.length) if config.t5 else None,
        fidelity=fidelity,
    )


def read_tokenizer(folder: Path, layout: Layout, part: str, length: int) -> Tokenizer:
    """The tokenizer of one part: the model's only one, diffusers' two, or a lone checkpoint's, beside it or on the hub."""
    if layout == "latentaudio":
        own = folder / f"{part}.{TOKENIZER_FILE}"
        return Tokenizer.from_file(own if own.is_file() else folder / TOKENIZER_FILE, length)
    home = (folder if layout == "diffusers" else folder.parent) / TOKENIZERS[part]
    if not home.is_dir() and layout == "original":
        from .hub import fetch

        home = fetch(HUBS[part], ["tokenizer.json", "vocab.json", "merges.txt"])
    return _from_folder(home, length)


def _from_folder(home: Path, length: int) -> Tokenizer:
    """`tokenizer.json`, or RoBERTa's older pair of files."""
    if (home / TOKENIZER_FILE).is_file():
        return Tokenizer.from_file(home / TOKENIZER_FILE, length)
    if (home / "merges.txt").is_file():
        from tokenizers import ByteLevelBPETokenizer
        from tokenizers.processors import RobertaProcessing

        pieces = ByteLevelBPETokenizer.from_file(str(home / "vocab.json"), str(home / "merges.txt"))
        end, start = ((word, pieces.token_to_id(word)) for word in ("</s>", "<s>"))
        pieces.post_processor = RobertaProcessing(end, start, add_prefix_space=False)
        return Tokenizer(pieces, length)
    raise WeightsError(
        f"{home} holds no tokenizer.json; the folder is not complete, download it again"
    )
