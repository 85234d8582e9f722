"""Find the model that a user names, and its components.

A name of the model table is a folder inside the package or, for a published model, its files on
the hub. Anything else is a model folder, a run folder of training, a diffusers folder, a checkpoint
of the authors, or a hub id. Write `./mini` for a folder that has the name of a model. Importing
this module imports no torch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.architecture import ModelConfig
from ..config.reference import ReferenceBehavior, get_reference
from ..config.registry import MODELS, ModelSpec, get_model_spec
from ..errors import UsageError, WeightsError
from .components import COMPONENTS, component_names
from .layouts import LAYOUTS, LayoutName, ModelSource, detect_layout, load_tensors

if TYPE_CHECKING:
    import torch
    from torch import nn

ASSETS = Path(__file__).parents[1] / "assets"
"""Folder with the models that come with the package."""
NO_FOLDER = Path("no-folder")
"""Path of a model that has shapes, but no files."""
DIFFUSERS_NUM_HEADS = 8
"""Heads at every level that published folders state; their weights were trained with others."""


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
    layout = detect_layout(path)
    model = layout.file.identify(name, path, spec)
    config = apply_reference(model.spec, model.layout, behavior)
    if behavior.name == "original" and model.spec.use_ema and layout.is_without_ema:
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
    """Return a model without files, for questions that its shapes answer.

    Its path does not exist, so that nothing is read by mistake.
    """
    return ModelSource(name, NO_FOLDER, get_model_spec(name), {})


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


def find_local(source: str | Path) -> Path | None:
    """Return the folder or file of a model on this machine; None if it is not there.

    Args:
        source: As for `resolve_model`. Nothing is downloaded.
    """
    try:
        return _locate(source, is_offline=True)[1]
    except (UsageError, WeightsError):
        return None


def _locate(source: str | Path, is_offline: bool = False) -> tuple[str, Path]:
    """Return a model's name, and its folder or file; published ones are downloaded."""
    name = str(source)
    if name in MODELS:
        is_bundled = bool(bundled_bytes(MODELS[name]))
        return name, ASSETS / name if is_bundled else _download(name, is_offline)
    path = Path(os.path.expanduser(source))  # noqa: PTH111  # a Path raises for unknown users
    if os.path.exists(path):  # noqa: PTH110  # a Path raises for long names
        return name, path
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        try:
            return name, _download(name, is_offline)
        except (UsageError, WeightsError) as error:
            raise type(error)(f"there is no folder {name}, and as a hub id: {error}") from None
    similar = get_close_matches(name, MODELS, 1)
    hint = f"did you mean {similar[0]}? Models are" if similar else "models are"
    raise UsageError(f"{name!r} is not a model, a folder or a file; {hint}: {', '.join(MODELS)}")


def _download(name: str, is_offline: bool) -> Path:
    from .hub import fetch, fetch_file

    repository, file = hub_location(name)
    if file is None:
        return fetch(repository, is_offline=is_offline)
    return fetch_file(repository, file, is_offline=is_offline)


def apply_reference(
    spec: ModelSpec, layout: LayoutName, reference: ReferenceBehavior
) -> ModelConfig:
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
    states_heads = LAYOUTS[layout].states_num_heads
    is_unstated = not states_heads or set(config.unet.num_heads) == {DIFFUSERS_NUM_HEADS}
    num_heads = config.unet.num_heads
    if reference.attention_heads == "trained":
        if is_unstated and trained.unet.widths == config.unet.widths:
            num_heads = trained.unet.num_heads
    elif not states_heads:
        num_heads = (DIFFUSERS_NUM_HEADS,) * num_levels
    config = replace(config, unet=replace(config.unet, num_heads=num_heads))
    if reference.attention_heads == "trained" and config.t5 and trained.t5:
        # published folders allow longer prompts than the authors trained with
        config = replace(config, t5=replace(config.t5, max_length=trained.t5.max_length))
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
    return load_tensors(tensors, name, config, LAYOUTS["diffusers"], torch.float32)
