"""The table of layouts, the forms in which a model lies on disk, and a model in one of them.

Importing this module imports no torch: the file of a layout is imported when it is used.
To add a layout: one file here with the functions of `LayoutFile`, its name in `LayoutName`, and one
row in `_ROWS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

from ..config.architecture import ModelConfig
from ..config.reference import ReferenceBehavior, get_reference
from ..config.registry import ModelSpec
from ..errors import UsageError, WeightsError
from .component_spec import ComponentSpec, ForeignPlace, State
from .components import COMPONENTS, build_on_meta, component_names
from .key_mapping import TensorRef, map_keys, to_foreign

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..conditioning.tokenizer import Tokenizer
    from .adapters import ActiveAdapter
    from .tensor_files import Tensors

LayoutName: TypeAlias = Literal["latentaudio", "diffusers", "original"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (components written, components in all)."""


class LayoutFile(Protocol):
    """The functions that the file of a layout defines."""

    def detect(self, path: Path) -> bool:
        """Return whether a file or folder has this layout."""

    def identify(self, name: str, path: Path, architecture: ModelSpec | None) -> ModelSource:
        """Return the model at a path; `architecture` is the published model that it must be."""

    def open_model_component(self, model: ModelSource, name: str) -> Tensors:
        """Return the tensors of one component, with the names of this layout."""

    def open_part(self, path: Path, name: str, use_ema: bool) -> Tensors | None:
        """Return a component's tensors from a file or folder of its own; None: another layout."""

    def open_tokenizer(self, path: Path, name: str, config: ModelConfig) -> Tokenizer:
        """Return the tokenizer of one component of the model at a path."""

    def check_storable(self, config: ModelConfig) -> None:
        """Raise UsageError for a model that this layout cannot hold."""

    def missing_parts(self, config: ModelConfig) -> tuple[str, ...]:
        """Return what classes of this layout also have, and `write` cannot know."""

    def write(self, model: ModelSource, target: Path, progress: Progress | None) -> None:
        """Write a model to a new file or an empty folder."""


@dataclass(frozen=True)
class Layout:
    """A form in which a model lies on disk, such as a diffusers folder: one row of `LAYOUTS`.

    Attributes:
        name: The name that users type.
        module: Its file in this package; see `LayoutFile`.
        endings: Endings of its files; empty: a model is a folder.
        rule_column: Column of its names in the key rules; None: it has our own names.
        place: Returns where a component lies; None for the layout that has our own names.
        label: Name of a component's file in errors, with the fields `file` and `name`.
        states_num_heads: Whether its files state the numbers of attention heads.
        is_without_ema: Whether published files in it lack the averaged weights.
        reference: Reference implementation that decides which weights are written to it.
    """

    name: LayoutName
    module: str
    endings: tuple[str, ...] = ()
    rule_column: int | None = None
    place: Callable[[ComponentSpec], ForeignPlace] | None = None
    label: str = "{file} ({name})"
    states_num_heads: bool = False
    is_without_ema: bool = False
    reference: str = "clean"

    @property
    def file(self) -> LayoutFile:
        """The functions of its file."""
        return cast(LayoutFile, import_module(f".{self.module}", __package__))

    @property
    def is_folder(self) -> bool:
        """Whether a model in this layout is a folder."""
        return not self.endings

    def check_target(self, target: Path) -> None:
        """Raise UsageError if a model of this layout cannot have this name."""
        if self.is_folder != (target.suffix in _FILE_ENDINGS):
            return
        needed = "a folder, not a file"
        if self.endings:
            needed = f"a file that ends in {' or '.join(self.endings)}"
        raise UsageError(
            f"--layout {self.name} writes {needed}; {target} is not, choose another name"
        )

    def tensor_refs(
        self, spec: ComponentSpec, config: ModelConfig, keys: Iterable[str]
    ) -> dict[str, TensorRef]:
        """Return where each tensor of a component lies in this layout.

        Args:
            spec: The component.
            config: The system's dimensions.
            keys: Names in the component's own state dict.
        """
        if self.rule_column is None or self.place is None:
            return {key: TensorRef((key,)) for key in keys}
        rules = spec.key_rules(config) if spec.key_rules else ()
        return map_keys(keys, rules, self.rule_column, config, self.place(spec).storage)

    def to_foreign(self, spec: ComponentSpec, state: State, config: ModelConfig) -> State:
        """Return a component's state with the names and forms of this layout."""
        renamed = dict(to_foreign(self.tensor_refs(spec, config, state), state))
        return renamed if self.place is None else self.place(spec).finish(renamed, config)


_ROWS = (
    Layout(
        "original",
        "audioldm_format",
        endings=(".ckpt", ".pth"),
        rule_column=2,
        place=lambda spec: spec.audioldm,
    ),
    Layout(
        "diffusers",
        "diffusers_format",
        rule_column=1,
        place=lambda spec: spec.diffusers,
        states_num_heads=True,
        is_without_ema=True,
        reference="diffusers",
    ),
    # the last one: any other folder is expected to be a model folder
    Layout("latentaudio", "model_folder", label="{file} (shapes from model.json)"),
)

LAYOUTS: dict[str, Layout] = {row.name: row for row in _ROWS}
"""Every layout by name, in the order in which a path is tried."""

_FILE_ENDINGS = tuple(ending for row in _ROWS for ending in row.endings)


def detect_layout(path: Path) -> Layout:
    """Return the layout of a file or folder."""
    for layout in _ROWS[:-1]:
        if layout.file.detect(path):
            return layout
    return _ROWS[-1]


@dataclass(frozen=True)
class ModelSource:
    """A model on disk.

    Attributes:
        name: The model as the user named it.
        path: Its folder, or its file for a checkpoint of the authors.
        spec: Its row of the model table, with the dimensions that the files have.
        card: How its weights were made.
        layout: How the files are laid out, a key of `LAYOUTS`.
        reference: The implementation that is imitated.
        component_files: Files or folders that replace single components.
        checkpoint: The authors' checkpoint, opened; None for other layouts.
        adapters: Adapters that are merged into the components when they are loaded.
    """

    name: str
    path: Path
    spec: ModelSpec
    card: Mapping[str, Any]
    layout: LayoutName = "latentaudio"
    reference: ReferenceBehavior = field(default_factory=lambda: get_reference("clean"))
    component_files: Mapping[str, Path] = field(default_factory=dict)
    checkpoint: Tensors | None = None
    adapters: tuple[ActiveAdapter, ...] = ()

    @property
    def use_ema(self) -> bool:
        """Whether to read averaged weights of a file that has both kinds."""
        return self.reference.use_ema and self.spec.use_ema

    @property
    def config(self) -> ModelConfig:
        """Dimensions of the components."""
        return self.spec.config

    def load_component(
        self,
        name: str,
        dtype: torch.dtype | None = None,
        as_stored: bool = False,
        noise_level: float | None = None,
    ) -> nn.Module:
        """Return a component in evaluation mode, with the model's adapters merged into it.

        It takes no memory of its own where its weights have the right type already: those are
        mapped from the file.

        Args:
            name: The component.
            dtype: Type of floating-point tensors; None: float32.
            as_stored: Keep the types of the file instead.
            noise_level: Noise level t / 1000 of the sampling, for adapters that are limited to
                some levels; None: merge those, too.

        Raises:
            WeightsError: A file is missing, damaged or has other names or shapes.
        """
        adapters = tuple(each for each in self.adapters if each.is_on(name, noise_level))
        if not adapters:
            return self.load_base_component(name, dtype, as_stored)
        from .adapters import merge_adapters

        # the sum is made in float32 and rounded once
        module = self.load_base_component(name, None, as_stored)
        merge_adapters(module, name, adapters)
        return module if as_stored or dtype is None else module.to(dtype)

    def load_base_component(
        self, name: str, dtype: torch.dtype | None = None, as_stored: bool = False
    ) -> nn.Module:
        """Return a component without adapters; see `load_component`.

        Args:
            name: The component.
            dtype: Type of floating-point tensors; None: float32.
            as_stored: Keep the types of the file instead.

        Raises:
            WeightsError: A file is missing, damaged or has other names or shapes.
        """
        import torch

        result_dtype = None if as_stored else dtype or torch.float32
        tensors, layout = self.open_component(name)
        return load_tensors(tensors, name, self.config, layout, result_dtype)

    def open_component(self, name: str) -> tuple[Tensors, Layout]:
        """Return the tensors of a component, with the names of the layout that is returned, too.

        Args:
            name: The component.

        Raises:
            WeightsError: A file is missing or damaged.
        """
        layout = LAYOUTS[self.layout]
        if name not in self.component_files:
            return layout.file.open_model_component(self, name), layout
        tensors = _open_override(self, name)
        return tensors, best_layout(tensors, name, self.config)

    def stored_states(self, progress: Progress | None) -> Iterator[tuple[str, State]]:
        """Yield each component's name and state with the types of its file, one at a time.

        Args:
            progress: Called after every component.
        """
        names = component_names(self.config)
        for completed, name in enumerate(names, 1):
            yield name, dict(self.load_component(name, as_stored=True).state_dict())
            if progress is not None:
                progress(completed, len(names))


def load_tensors(
    tensors: Tensors, name: str, config: ModelConfig, layout: Layout, dtype: torch.dtype | None
) -> nn.Module:
    """Return a component with the tensors of a file, in evaluation mode.

    Args:
        tensors: The file's tensors.
        name: The component.
        config: The system's dimensions.
        layout: The layout whose names the tensors have.
        dtype: Type of floating-point tensors; None: as they are stored.

    Raises:
        WeightsError: Names or shapes differ.
    """
    from .state_dict import assign_state, read_state

    module = build_on_meta(name, config)
    located = locate_tensors(module, tensors, name, config, layout)
    state = read_state(module, located.tensors, located.refs, dtype, located.label)
    return assign_state(module, dict(state))


@dataclass(frozen=True)
class LocatedTensors:
    """The tensors of a file, and where each tensor of a component lies among them.

    Attributes:
        tensors: The file's tensors.
        refs: The place of each of the component's tensors.
        label: Name of the file in errors.
    """

    tensors: Tensors
    refs: Mapping[str, TensorRef]
    label: str


def locate_tensors(
    module: nn.Module, tensors: Tensors, name: str, config: ModelConfig, layout: Layout
) -> LocatedTensors:
    """Return where each tensor of a component lies in a file.

    Args:
        module: The component; it may be on the meta device.
        tensors: The file's tensors.
        name: The component's name.
        config: The system's dimensions.
        layout: The layout whose names the tensors have.
    """
    from .weight_norm import fold_weight_norm

    refs = layout.tensor_refs(COMPONENTS[name], config, list(module.state_dict()))
    tensors = fold_weight_norm(tensors, {key for ref in refs.values() for key in ref.names})
    return LocatedTensors(tensors, refs, layout.label.format(file=tensors.source, name=name))


def best_layout(tensors: Tensors, name: str, config: ModelConfig) -> Layout:
    """Return the layout that has most of a component's tensor names.

    Args:
        tensors: Tensors of one component.
        name: The component.
        config: The system's dimensions.
    """
    keys = list(build_on_meta(name, config).state_dict())
    present = set(tensors)

    def count_names(layout: Layout) -> int:
        refs = layout.tensor_refs(COMPONENTS[name], config, keys)
        return len({name for ref in refs.values() for name in ref.names} & present)

    # of equally good ones our own names
    return max(reversed(LAYOUTS.values()), key=count_names)


def _open_override(model: ModelSource, name: str) -> Tensors:
    """Return the tensors of a file or folder of one component, or of a complete model."""
    path = model.component_files[name]
    for layout in LAYOUTS.values():
        tensors = layout.file.open_part(path, name, model.use_ema)
        if tensors is not None:
            return tensors
    raise WeightsError(f"{path} has no {name}; name another file or folder")
