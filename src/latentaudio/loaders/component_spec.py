"""The columns of the component table: how a network is built, and where each layout keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from ..config.architecture import ModelConfig
from .key_mapping import KeyRules, Storage, store_unchanged

if TYPE_CHECKING:
    from torch import Tensor, nn

Role: TypeAlias = Literal["text", "denoise", "decode"]
"""text: encodes prompts; denoise: runs at every sampling step; decode: turns latents into audio."""
State: TypeAlias = dict[str, "Tensor"]


def _keep_state(state: State, config: ModelConfig) -> State:
    """Return a state that needs nothing but new names."""
    return state


@dataclass(frozen=True)
class DiffusersFolder:
    """One folder of a diffusers model.

    Attributes:
        name: Folder, and the component's name in `model_index.json`.
        library: Library that has the class.
        class_name: Class that opens it.
        audioldm1_class_name: Class for AudioLDM 1, where it differs.
        write_config: Returns the content of its config.json.
        file_stem: Name of its weight file without the ending.
        keys: Pattern of the tensors that belong to the component; a folder can serve two.
        strip_prefix: Prefix of tensor names that some files have and others lack.
        submodule: Part of our component that the folder holds; empty: all of it.
        is_module: Whether pipelines show it as a module that a caller can replace.
    """

    name: str
    library: str
    class_name: str
    write_config: Callable[[ModelConfig], dict[str, Any]]
    audioldm1_class_name: str = ""
    file_stem: str = "model"
    keys: str = ""
    strip_prefix: str = ""
    submodule: str = ""
    is_module: bool = True


class ForeignPlace(Protocol):
    """What the places of a component in all foreign layouts have."""

    @property
    def storage(self) -> Storage:
        """Returns how a tensor is stored."""

    @property
    def finish(self) -> Callable[[State, ModelConfig], State]:
        """Adds or removes what the foreign class has beside our tensors."""


@dataclass(frozen=True)
class DiffusersPlace:
    """How a diffusers folder keeps a component.

    Attributes:
        folders: Folders that hold it; with more than one, its tensors are named `folder/tensor`.
        storage: Returns how a tensor is stored.
        finish: Adds or removes what diffusers' class has beside our tensors.
    """

    folders: tuple[DiffusersFolder, ...] = ()
    storage: Storage = store_unchanged
    finish: Callable[[State, ModelConfig], State] = _keep_state


@dataclass(frozen=True)
class AudioLDMPlace:
    """How the authors' checkpoint keeps a component.

    Attributes:
        prefixes: Possible prefixes of its tensors; the first one that the file has is read.
        marker: Start of a tensor name that must follow the prefix, where prefixes are ambiguous.
        exclude: Pattern of names below the prefix that belong to other components.
        written_prefixes: Returns every prefix to write, copies included; None: the first of
            `prefixes`.
        has_ema: Whether the file can hold averaged weights of it.
        storage: Returns how a tensor is stored.
        finish: Adds what the authors' class has beside our tensors.
    """

    prefixes: tuple[str, ...] = ()
    marker: str = ""
    exclude: str = ""
    written_prefixes: Callable[[ModelConfig], tuple[str, ...]] | None = None
    has_ema: bool = False
    storage: Storage = store_unchanged
    finish: Callable[[State, ModelConfig], State] = _keep_state


@dataclass(frozen=True)
class TokenizerSpec:
    """The tokenizer of a component.

    Attributes:
        folder: Its folder in diffusers' layout.
        class_name: Class of transformers that opens it.
        max_length: Returns the number of tokens of a text.
        special_tokens: Entries of tokenizer_config.json.
        hub_id: Repository to fetch it from for a checkpoint that has none; empty: it is a table of
            phonemes, which this package has.
    """

    folder: str
    class_name: str
    max_length: Callable[[ModelConfig], int]
    special_tokens: Mapping[str, str]
    hub_id: str = ""


@dataclass(frozen=True)
class ComponentSpec:
    """One network of a system.

    Attributes:
        name: Field of `ModelConfig` with its dimensions, and stem of its file in a model folder.
        role: When it runs.
        build: Returns the network with fresh weights; imports its module late.
        key_rules: Renaming rules for foreign layouts; None: only this package has it.
        diffusers: Its place in a diffusers folder.
        audioldm: Its place in a checkpoint of the authors.
        tokenizer: Its tokenizer, if it reads text.
        uses_transformers: Whether its module is built by the transformers library.
    """

    name: str
    role: Role
    build: Callable[[ModelConfig], nn.Module]
    key_rules: KeyRules | None = None
    diffusers: DiffusersPlace = field(default_factory=DiffusersPlace)
    audioldm: AudioLDMPlace = field(default_factory=AudioLDMPlace)
    tokenizer: TokenizerSpec | None = None
    uses_transformers: bool = False

    def is_present(self, config: ModelConfig) -> bool:
        """Return whether a system has this component."""
        return getattr(config, self.name) is not None
