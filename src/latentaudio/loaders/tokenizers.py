"""Tokenizers of a model, read and written, and the text encoders that use them.

A model folder has one tokenizer for all encoders, or one for each. diffusers has a folder for
each. The authors' checkpoints have none: theirs lie beside the file or come from the hub.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..conditioning.base import ComponentProvider, Encoders
from ..conditioning.g2p import SYMBOLS
from ..conditioning.tokenizer import Tokenizer
from ..config.architecture import ModelConfig
from ..config.reference import REFERENCES, ReferenceBehavior
from ..errors import WeightsError
from .component_spec import TokenizerSpec
from .components import COMPONENTS
from .layouts import LAYOUTS, LayoutName

if TYPE_CHECKING:
    from .layouts import ModelSource

TOKENIZER_FILE = "tokenizer.json"
HUB_FILES = ("tokenizer.json", "vocab.json", "merges.txt")
"""Files of a tokenizer's repository on the hub."""


def load_encoders(
    folder: Path,
    config: ModelConfig,
    components: ComponentProvider,
    layout: LayoutName = "latentaudio",
    reference: ReferenceBehavior = REFERENCES["clean"],
) -> Encoders:
    """Return the encoders of a model, with a tokenizer for each that reads text.

    Args:
        folder: The model's folder or file.
        config: Its dimensions.
        components: Provides components by name.
        layout: Layout of `folder`.
        reference: The implementation to imitate.
    """
    open_tokenizer = LAYOUTS[layout].file.open_tokenizer
    tokenizers = {}
    for name in text_tokenizer_names(config):
        tokenizers[name] = open_tokenizer(folder, name, config)
    return Encoders(config, components, tokenizers, reference)


def text_tokenizer_names(config: ModelConfig) -> list[str]:
    """Return the components of a system that have a tokenizer for text."""
    names = []
    for name, spec in COMPONENTS.items():
        if spec.is_present(config) and spec.tokenizer is not None and spec.tokenizer.hub_id:
            names.append(name)
    return names


def tokenizer_spec(name: str) -> TokenizerSpec:
    """Return the row of a component's tokenizer."""
    spec = COMPONENTS[name].tokenizer
    assert spec is not None, f"{name} reads no text"
    return spec


def read_tokenizer(folder: Path, max_length: int) -> Tokenizer:
    """Return the tokenizer of `tokenizer.json`, or of RoBERTa's older pair of files.

    Args:
        folder: The tokenizer's folder.
        max_length: Tokens to cut longer texts to.

    Raises:
        WeightsError: The folder has no tokenizer, or a damaged one.
    """
    if (folder / TOKENIZER_FILE).is_file():
        return Tokenizer.from_file(folder / TOKENIZER_FILE, max_length)
    if (folder / "merges.txt").is_file():
        return Tokenizer.checked(lambda: _read_pair(folder), folder, max_length)
    raise WeightsError(f"{folder} has no {TOKENIZER_FILE}; download the model's folder again")


def _read_pair(folder: Path) -> Any:
    """Return RoBERTa's tokenizer from its older pair of files."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing

    bpe = ByteLevelBPETokenizer.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    end = ("</s>", bpe.token_to_id("</s>"))
    start = ("<s>", bpe.token_to_id("<s>"))
    bpe.post_processor = RobertaProcessing(end, start, add_prefix_space=False)
    return bpe


def untruncated_tokenizer(model: ModelSource, name: str) -> Any:
    """Return a component's tokenizer of the tokenizers library, without a maximum length."""
    rules = LAYOUTS[model.layout].file.open_tokenizer(model.path, name, model.config).rules
    rules.no_truncation()
    return rules


def write_tokenizer(model: ModelSource, name: str, folder: Path) -> None:
    """Write the subfolder of a component's tokenizer, if it has one.

    It is a copy of the source's own subfolder, or it is made of the source's rules.

    Args:
        model: The source.
        name: The component.
        folder: The folder to write the subfolder to.
    """
    tokenizer = COMPONENTS[name].tokenizer
    if tokenizer is None:
        return
    subfolder = folder / tokenizer.folder
    if _copy_tokenizer(model, tokenizer, subfolder):
        return
    subfolder.mkdir(parents=True, exist_ok=True)
    tokenizer_config: dict[str, Any] = {
        "tokenizer_class": tokenizer.class_name,
        "model_max_length": tokenizer.max_length(model.config),
        **tokenizer.special_tokens,
    }
    if tokenizer.hub_id:
        untruncated_tokenizer(model, name).save(str(subfolder / TOKENIZER_FILE))
    else:
        # a table of phonemes; transformers must not phonemize them again
        write_json(subfolder / "vocab.json", {symbol: i for i, symbol in enumerate(SYMBOLS)})
        for switch in ("add_blank", "is_uroman", "normalize", "phonemize"):
            tokenizer_config[switch] = False
    write_json(subfolder / "tokenizer_config.json", tokenizer_config)


def _copy_tokenizer(model: ModelSource, tokenizer: TokenizerSpec, subfolder: Path) -> bool:
    """Copy the source's own folder of a tokenizer; return whether it has one."""
    if LAYOUTS[model.layout].rule_column is None:
        return False
    folder = model.path if model.path.is_dir() else model.path.parent
    own = folder / tokenizer.folder
    if own.is_dir() and own.resolve() != subfolder.resolve():
        shutil.copytree(own, subfolder, dirs_exist_ok=True)
    return own.is_dir()


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file as diffusers and transformers do, and its folder if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
