"""The text side of a model folder: CLAP, T5, tokenizer, translator. Knows which file feeds which; nothing of prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from torch import nn

from ..conditioning.encode import TextParts
from ..conditioning.tokenize import Tokenizer
from ..configs import ModelConfig
from .folder import TOKENIZER_FILE

if TYPE_CHECKING:
    from transformers import ClapModel, T5EncoderModel

    from ..conditioning.translator import Translator
    from ..nn.draft import Draft


def read_texts(folder: Path, config: ModelConfig, part: Callable[[str], nn.Module], writers: bool = True) -> TextParts:
    """What reads prompts in `folder`; `part` loads a part by its name, translator and draft only where `writers` are wanted."""
    file = folder / TOKENIZER_FILE
    return TextParts(
        config,
        clap=cast("ClapModel", part("clap")) if config.clap else None,
        clap_tokens=Tokenizer.from_file(file, config.clap.text_length) if config.clap else None,
        t5=cast("T5EncoderModel", part("t5")) if config.t5 else None,
        t5_tokens=Tokenizer.from_file(file, config.t5.length) if config.t5 else None,
        translator=cast("Translator", part("translator")) if config.translator and writers else None,
        draft=cast("Draft", part("draft")) if config.draft and writers else None,
    )
