"""Find the model that a user names, and its components.

A name of the model table is a folder inside the package or, for a published model, its files on
the hub. Anything else is a model folder, a run folder of training, a diffusers folder, a checkpoint
of the authors, or a hub id. Write `./mini` for a folder that has the name of a model. Importing
this module imports no torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..config.architecture import ModelConfig
from ..config.reference import ReferenceBehavior, get_reference
from ..config.registry import MODELS, ModelSpec, get_model_spec
from ..errors import UsageError, WeightsError
from .components import COMPONENTS, build_on_meta, component_names
from .key_mapping import FOREIGN_LAYOUTS

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .tensor_files import Tensors

ASSETS = Path(__file__).parents[1] / "assets"
"""Folder with the models that come with the package."""
DIFFUSERS_NUM_HEADS = 8
"""Heads at every level that published folders state; their weights were trained with others."""
_MAX_LISTED = 4
"""Tensors that an error lists by name."""

Layout: TypeAlias = Literal["latentaudio", "diffusers", "original"]


@dataclass(frozen=True)
class ModelSource:
    """A model on disk.

    Attributes:
        name: The model as the user named it.
        path: Its folder, or its file for a checkpoint of the authors.
        spec: Its row of the model table, with the dimensions that the files have.
        card: How its weights were made.
        layout: How the files are laid out.
        reference: The implementation that is imitated.
        component_files: Files or folders that replace single components.
        checkpoint: The authors' checkpoint, opened; None for other layouts.
    """

    name: str
    path: Path
    spec: ModelSpec
    card: Mapping[str, Any]
    layout: Layout = "latentaudio"
    reference: ReferenceBehavior = field(default_factory=lambda: get_reference("clean"))
    component_files: Mapping[str, Path] = field(default_factory=dict)
    checkpoint: Tensors | None = None

    @property
    def use_ema(self) -> bool:
        """Whether to read averaged weights of a file that has both kinds."""
        return self.reference.use_ema and self.spec.use_ema

    @property
    def config(self) -> ModelConfig:
        """Dimensions of the components."""
        return self.spec.config

    def load_component(
        self, name: str, dtype: torch.dtype | None = None, as_stored: bool = False
    ) -> nn.Module:
        """Return a component in evaluation mode.

        It takes no memory of its own where its weights have the right type already: those are
        mapped from the file.

        Args:
            name: The component.
            dtype: Type of floating-point tensors; None: float32.
            as_stored: Keep the types of the file instead.

        Raises:
            WeightsError: A file is missing, damaged or has other names or shapes.
        """
        import torch

        from . import audioldm_format, diffusers_format, model_folder

        result_dtype = None if as_stored else dtype or torch.float32
        if name in self.component_files:
            return _load_override(self, name, result_dtype)
        if self.layout == "latentaudio":
            return model_folder.load_component(self.path, name, self.config, result_dtype)
        if self.checkpoint is None:
            tensors = diffusers_format.open_component(self.path, name)
            return _load(tensors, name, self.config, "diffusers", result_dtype)
        tensors = audioldm_format.open_component(self.checkpoint, name, self.use_ema)
        return _load(tensors, name, self.config, "original", result_dtype)


def resolve_model(
    source: str | Path,
    architecture: str | None = None,
    reference: str = "clean",
    components: Mapping[str, str | Path] | None = None,
) -> ModelSource:
    """Return the model that a user names; published ones are downloaded.

    Args:
        source: A name of the model table, a folder, a checkpoint or a hub id.
        architecture: Name of the published model that a checkpoint is, if its shapes fit several.
        reference: Name of the implementation to imitate.
        components: Files or folders that replace single components.

    Raises:
        UsageError: There is no such model; the message lists the names that exist.
        WeightsError: The files are not those of a model.
    """
    behavior = get_reference(reference)
    files = {name: Path(path).expanduser() for name, path in (components or {}).items()}
    name, path = _locate(source)
    spec = None if architecture is None else get_model_spec(architecture)
    model = _identify(name, path, spec)
    config = apply_reference(model.spec, model.layout, behavior)
    if behavior.name == "original" and model.spec.use_ema and model.layout == "diffusers":
        warnings.warn(
            f"{name} has one set of weights, most likely the raw ones; the authors sampled with "
            f"averaged weights, which only their .ckpt has",
            stacklevel=3,
        )
    for component in files:
        if component not in COMPONENTS or not COMPONENTS[component].is_present(config):
            raise UsageError(
                f"{name} has no component {component!r} to replace; it has: "
                f"{', '.join(component_names(config))}"
            )
    return replace(
        model,
        spec=replace(model.spec, config=config),
        reference=behavior,
        component_files=files,
    )


def spec_only(name: str) -> ModelSource:
    """Return a model without files, for questions that its dimensions answer."""
    return ModelSource(name, ASSETS / "mini", get_model_spec(name), {})


def bundled_bytes(spec: ModelSpec) -> int:
    """Return the size of the weights of a model in this installation; 0: it has none."""
    return sum(file.stat().st_size for file in (ASSETS / spec.name).glob("*.safetensors"))


def hub_location(name: str) -> tuple[str, str | None]:
    """Return the hub repository of a model, and the file in it that is the model; None: all files.

    Args:
        name: A name of the model table, or a hub id.

    Raises:
        WeightsError: The model is on no hub.
        UsageError: The name is neither, or the model is part of this installation.
    """
    spec = MODELS.get(name)
    if spec is None:
        if name.count("/") != 1 or name.startswith("/") or name.endswith("/"):
            raise UsageError(
                f"{name!r} is neither a model's name nor a hub id such as cvssp/audioldm2; "
                f"see latentaudio models"
            )
        return name, None
    if spec.hub_id:
        return spec.hub_id, None
    if spec.original_checkpoint.count("/") == 2:
        owner, repository, file = spec.original_checkpoint.split("/")
        return f"{owner}/{repository}", file
    if spec.bundled and bundled_bytes(spec):
        raise UsageError(
            f"{name!r} is part of this installation and needs no download; use it by its name"
        )
    if spec.original_checkpoint:
        remedy = f"get {spec.original_checkpoint} from the authors' record on zenodo and name it"
    elif spec.bundled:
        remedy = "install latentaudio again"
    else:
        remedy = "train it and name the run's folder"
    raise WeightsError(f"this installation has no weights of {name!r}; {remedy}")


def _locate(source: str | Path) -> tuple[str, Path]:
    """Return a model's name, and its folder or file; published ones are downloaded."""
    name = str(source)
    if name in MODELS:
        return name, ASSETS / name if bundled_bytes(MODELS[name]) else _download(name)
    path = Path(source).expanduser()
    if path.exists():
        return name, path
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        try:
            return name, _download(name)
        except (UsageError, WeightsError) as error:
            raise type(error)(f"there is no folder {name}, and as a hub id: {error}") from None
    similar = get_close_matches(name, MODELS, 1)
    hint = f"did you mean {similar[0]}? Models are" if similar else "models are"
    raise UsageError(f"{name!r} is not a model, a folder or a file; {hint}: {', '.join(MODELS)}")


def _download(name: str) -> Path:
    from .hub import fetch, fetch_file

    repository, file = hub_location(name)
    return fetch(repository) if file is None else fetch_file(repository, file)


def _identify(name: str, path: Path, architecture: ModelSpec | None) -> ModelSource:
    """Return the model at a path, in the layout that its files have."""
    from .diffusers_format import INDEX, is_diffusers_folder
    from .model_folder import MODEL_FILE, find_model_folder, read_config

    if path.is_file():
        return _identify_checkpoint(name, path, architecture)
    if is_diffusers_folder(path):
        return _identify_diffusers(name, path, architecture)
    if architecture is not None:
        raise UsageError(
            f"{path} has its own {MODEL_FILE}; leave out architecture= (--architecture)"
        )
    folder = find_model_folder(path)
    if not (folder / MODEL_FILE).is_file():
        raise WeightsError(
            f"{folder} has neither {MODEL_FILE} nor {INDEX}, so it is not a model; "
            f"name another folder"
        )
    model_name, config, card = read_config(folder)
    spec = MODELS.get(model_name)
    if spec is None:
        description = str(card.get("description", ""))
        license_name = str(card.get("license", "unknown"))
        spec = ModelSpec(model_name, description, license_name, config)
    return ModelSource(name, folder, replace(spec, config=config), card)


def _identify_diffusers(name: str, folder: Path, architecture: ModelSpec | None) -> ModelSource:
    from .diffusers_format import read_config

    config = read_config(folder)
    if architecture is not None and not _has_unet_of(architecture, config):
        raise UsageError(
            f"{folder} does not have the shapes of {architecture.name}; leave out architecture= "
            f"(--architecture)"
        )
    spec = architecture or MODELS.get(name) or _find_spec(name, folder, config)
    if spec is None:
        spec = ModelSpec(folder.name, "a diffusers folder", "unknown", config)
    return ModelSource(name, folder, replace(spec, config=config), {}, "diffusers")


def _find_spec(name: str, folder: Path, config: ModelConfig) -> ModelSpec | None:
    """Return the published model of a folder's shapes, by hub id, by folder name, or the first."""
    matching = [spec for spec in MODELS.values() if _has_unet_of(spec, config)]
    for spec in matching:
        if spec.hub_id and spec.hub_id == name:
            return spec
    for spec in matching:  # a clone of a repository has its name
        if spec.hub_id and spec.hub_id.split("/")[1] == folder.name:
            return spec
    return next((spec for spec in matching if spec.is_published), None)


def _has_unet_of(spec: ModelSpec, config: ModelConfig) -> bool:
    """Return whether a config has the UNet of a model, apart from its numbers of heads."""
    # vars() and not replace(), which validates and fails if the numbers of levels differ
    return {**vars(spec.config.unet), "num_heads": config.unet.num_heads} == vars(config.unet)


def _identify_checkpoint(name: str, file: Path, architecture: ModelSpec | None) -> ModelSource:
    from .audioldm_format import identify, latent_std, unexpected_keys
    from .tensor_files import open_tensors

    checkpoint = open_tensors(file)
    spec = architecture or MODELS.get(name) or identify(checkpoint, file.stem)
    config = replace(spec.config, latent_std=latent_std(checkpoint) or spec.config.latent_std)
    unexpected = unexpected_keys(checkpoint, component_names(config))
    if unexpected:
        listed = [f"{key} {list(checkpoint.shape(key))}" for key in unexpected[:_MAX_LISTED]]
        raise WeightsError(
            f"{file} has {len(unexpected)} tensors that {spec.name} does not have, first "
            f"{', '.join(listed)}; name the model with architecture= (--architecture)"
        )
    return ModelSource(
        name, file, replace(spec, config=config), {}, "original", checkpoint=checkpoint
    )


def apply_reference(spec: ModelSpec, layout: Layout, reference: ReferenceBehavior) -> ModelConfig:
    """Return a model's dimensions as a reference implementation has them.

    References differ in attention heads, CLAP's epsilon and the number of language-of-audio tokens
    of speech (numerics: reference differences).

    Args:
        spec: The model.
        layout: Layout of its files.
        reference: The implementation to imitate.
    """
    config = spec.config
    published = MODELS.get(spec.name)
    if published is None or not published.is_published:
        return config
    trained = published.config
    num_levels = len(config.unet.channel_mult)
    # a folder that states other numbers of heads than diffusers' 8 means them
    is_unstated = layout != "diffusers" or set(config.unet.num_heads) == {DIFFUSERS_NUM_HEADS}
    num_heads = config.unet.num_heads
    if reference.attention_heads == "trained":
        if is_unstated and trained.unet.widths == config.unet.widths:
            num_heads = trained.unet.num_heads
    elif layout != "diffusers":  # only diffusers' JSON states numbers of heads
        num_heads = (DIFFUSERS_NUM_HEADS,) * num_levels
    config = replace(config, unet=replace(config.unet, num_heads=num_heads))
    if config.clap and trained.clap:
        epsilon = reference.clap_eps or trained.clap.text_layer_norm_eps
        config = replace(config, clap=replace(config.clap, text_layer_norm_eps=epsilon))
    if not config.translator or not trained.translator:
        return config
    if config.translator.max_positions == trained.translator.max_positions:
        translator = replace(
            config.translator,
            num_tokens=trained.translator.num_tokens,
            time_pool=trained.translator.time_pool,
            freq_pool=trained.translator.freq_pool,
        )
        config = replace(config, translator=translator)
    return config


def component_from_state(
    state: Mapping[str, torch.Tensor], name: str, config: ModelConfig
) -> nn.Module:
    """Return a component in float32 with the state of a module of diffusers or transformers.

    Args:
        state: The module's state dict.
        name: The component.
        config: The system's dimensions.

    Raises:
        WeightsError: Names or shapes differ.
    """
    import torch

    from .tensor_files import Tensors

    tensors = Tensors({key: (state, key) for key in state}, Path(f"the {name} passed"))
    return _load(tensors, name, config, "diffusers", torch.float32)


def _load(
    tensors: Tensors, name: str, config: ModelConfig, layout: Layout, dtype: torch.dtype | None
) -> nn.Module:
    from .key_mapping import TensorRef
    from .state_dict import load_state_into

    module = build_on_meta(name, config)
    keys = list(module.state_dict())
    if layout == "latentaudio":
        refs = {key: TensorRef((key,)) for key in keys}
    else:
        refs = COMPONENTS[name].tensor_refs(config, keys, layout)
    return load_state_into(module, tensors, refs, dtype, f"{tensors.source} ({name})")


def _load_override(model: ModelSource, name: str, dtype: torch.dtype | None) -> nn.Module:
    """Return a component from a file or folder of its own, in the layout of most of its names."""
    from . import audioldm_format, diffusers_format
    from .model_folder import open_component_file

    path = model.component_files[name]
    config = model.config
    spec = COMPONENTS[name]
    if not path.is_dir():
        tensors = open_component_file(path)
    elif diffusers_format.has_component(path, name):
        tensors = diffusers_format.open_component(path, name)
    else:
        tensors = diffusers_format.open_component_folder(path)
    # of a complete checkpoint only this component is read
    tensors = audioldm_format.open_component(tensors, name, model.use_ema) or tensors
    keys = list(build_on_meta(name, config).state_dict())
    names: dict[Layout, set[str]] = {"latentaudio": set(keys)}
    for layout in FOREIGN_LAYOUTS:
        refs = spec.tensor_refs(config, keys, layout)
        names[layout] = {name for ref in refs.values() for name in ref.names}
    best = max(names, key=lambda layout: len(names[layout] & set(tensors)))
    return _load(tensors, name, config, best, dtype)
