"""Tokenizers of a model, and the text encoders that use them.

A model folder has one tokenizer for all encoders, or one for each. diffusers has a folder for
each. The authors' checkpoints have none: theirs lie beside the file or come from the hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..conditioning.base import ComponentProvider, TextEncoders
from ..conditioning.tokenizer import Tokenizer
from ..config.architecture import ModelConfig
from ..config.reference import REFERENCES, ReferenceBehavior
from ..errors import WeightsError
from .components import COMPONENTS
from .model_folder import TOKENIZER_FILE

if TYPE_CHECKING:
    from .resolve import Layout

_HUB_FILES = ("tokenizer.json", "vocab.json", "merges.txt")


def load_text_encoders(
    folder: Path,
    config: ModelConfig,
    components: ComponentProvider,
    layout: Layout = "latentaudio",
    reference: ReferenceBehavior = REFERENCES["clean"],
) -> TextEncoders:
    """Return the text encoders of a model.

    Args:
        folder: The model's folder or file.
        config: Its dimensions.
        components: Provides components by name.
        layout: Layout of `folder`.
        reference: The implementation to imitate.
    """
    return TextEncoders(
        config,
        components,
        clap_tokenizer=load_tokenizer(folder, layout, "clap", config) if config.clap else None,
        t5_tokenizer=load_tokenizer(folder, layout, "t5", config) if config.t5 else None,
        reference=reference,
    )


def text_tokenizer_names(config: ModelConfig) -> list[str]:
    """Return the components of a system that have a tokenizer for text."""
    names = []
    for name, spec in COMPONENTS.items():
        if spec.is_present(config) and spec.tokenizer is not None and spec.tokenizer.hub_id:
            names.append(name)
    return names


def load_tokenizer(folder: Path, layout: Layout, name: str, config: ModelConfig) -> Tokenizer:
    """Return the tokenizer of one component.

    Args:
        folder: The model's folder or file.
        layout: Layout of `folder`.
        name: The component.
        config: The model's dimensions.

    Raises:
        WeightsError: The tokenizer is missing.
    """
    spec = COMPONENTS[name].tokenizer
    assert spec is not None
    max_length = spec.max_length(config)
    if layout == "latentaudio":
        own = folder / f"{name}.{TOKENIZER_FILE}"
        return Tokenizer.from_file(own if own.is_file() else folder / TOKENIZER_FILE, max_length)
    tokenizer_folder = (folder if layout == "diffusers" else folder.parent) / spec.folder
    if not tokenizer_folder.is_dir() and layout == "original":
        from .hub import fetch

        tokenizer_folder = fetch(spec.hub_id, _HUB_FILES)
    return _read_tokenizer(tokenizer_folder, max_length)


def _read_tokenizer(folder: Path, max_length: int) -> Tokenizer:
    """Return the tokenizer of `tokenizer.json`, or of RoBERTa's older pair of files."""
    if (folder / TOKENIZER_FILE).is_file():
        return Tokenizer.from_file(folder / TOKENIZER_FILE, max_length)
    if (folder / "merges.txt").is_file():
        from tokenizers import ByteLevelBPETokenizer
        from tokenizers.processors import RobertaProcessing

        bpe = ByteLevelBPETokenizer.from_file(
            str(folder / "vocab.json"), str(folder / "merges.txt")
        )
        end = ("</s>", bpe.token_to_id("</s>"))
        start = ("<s>", bpe.token_to_id("<s>"))
        bpe.post_processor = RobertaProcessing(end, start, add_prefix_space=False)
        return Tokenizer(bpe, max_length)
    raise WeightsError(f"{folder} has no {TOKENIZER_FILE}; download the model's folder again")
