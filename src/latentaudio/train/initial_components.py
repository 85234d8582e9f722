"""The components that a run builds on, from any model that `latentaudio.load` opens.

`--init-from` takes a model as `--model` does, or single components of one: `mini:vae,clap`.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..config.architecture import ModelConfig
from ..config.audiomae import training_config
from ..config.registry import get_model_spec
from ..errors import UsageError, WeightsError
from ..fileio import atomic_write
from ..loaders.audioldm_format import audiomae_config
from ..loaders.components import COMPONENTS, component_names
from ..loaders.layouts import ModelSource
from ..loaders.model_folder import (
    MODEL_FILE,
    TOKENIZER_FILE,
    component_file,
    find_model_folder,
    read_config,
    save_component,
    tokenizer_path,
)
from ..loaders.resolve import NO_FOLDER, resolve_model
from ..loaders.tensor_files import open_tensors
from ..loaders.tokenizers import text_tokenizer_names, untruncated_tokenizer

_LIST_OF_NAMES = re.compile(r"[\w, ]+")


@dataclass(frozen=True)
class InitialModel:
    """A model, or components of one, that a run builds on.

    Attributes:
        source: The model as the user named it.
        names: Its components to use.
        config: Dimensions of the model; None: its files state none.
        copy_into: Writes the components and their tokenizers into a model folder.
    """

    source: str
    names: tuple[str, ...]
    config: ModelConfig | None
    copy_into: Callable[[Path], None]


def resolve_initial_model(source: str | Path, model: str) -> InitialModel:
    """Return the model that a run builds on; published ones are downloaded.

    Args:
        source: What `latentaudio.load` takes, or a folder with components alone. A list of
            components may follow after a colon, as in "mini:vae,clap".
        model: Name of the model whose architecture is trained.

    Raises:
        UsageError: There is no such model or component.
        WeightsError: The files are not those of a model.
    """
    place, names = split_source(source)
    path = Path(place).expanduser()
    if path.is_dir() and not (path / "model_index.json").is_file():
        return _model_folder(str(source), find_model_folder(path), names)
    try:
        model_source = resolve_model(place)
    except WeightsError as error:
        if not path.is_file():
            raise
        if not names:
            hint = f"if it is the file of one component, name that one, as in {source}:vae"
            raise WeightsError(f"{error}; {hint}") from None
        return _component_file(str(source), path, names, model)
    if model_source.layout == "latentaudio":
        return _model_folder(str(source), model_source.path, names)
    model_source = _with_audiomae(model_source)
    _check_names(place, names, component_names(model_source.config))
    names = names or component_names(model_source.config)
    return InitialModel(
        str(source),
        names,
        model_source.config,
        lambda target: _convert(model_source, names, target),
    )


def split_source(source: str | Path) -> tuple[str, tuple[str, ...]]:
    """Return a model as a user named it, and the components behind its colon.

    Args:
        source: A model, such as "mini" or "mini:vae,clap".

    Raises:
        UsageError: There is no component of such a name.
    """
    text = str(source)
    place, colon, listed = text.rpartition(":")
    is_path = Path(text).expanduser().exists()
    if not colon or not place or is_path or not _LIST_OF_NAMES.fullmatch(listed):
        return text, ()
    names = tuple(name.strip() for name in listed.split(","))
    _check_names(place, names, tuple(COMPONENTS))
    return place, names


def initial_config(model: str, initial_models: Iterable[InitialModel]) -> ModelConfig:
    """Return the architecture of a run, with values that belong to components it builds on.

    Args:
        model: Name of the model whose architecture is trained.
        initial_models: What the run builds on; a later one replaces components of those before.
    """
    config = training_config(get_model_spec(model).config)
    for initial in initial_models:
        source = initial.config
        if source is None:
            continue
        if "vae" in initial.names:
            # The statistics of the latents were measured on this VAE.
            config = replace(config, latent_mean=source.latent_mean, latent_std=source.latent_std)
        if config.audiomae and "audiomae" in initial.names:
            # A published AudioMAE has no decoder, so its shape differs from the registry's.
            config = replace(config, audiomae=source.audiomae)
        if config.clap and source.clap and "clap" in initial.names and not source.clap.audio_depths:
            # AudioLDM 1 in diffusers' layout has the text tower alone.
            config = replace(config, clap=replace(config.clap, audio_depths=()))
        _warn_of_other_settings(initial, config, source)
    return config


def _warn_of_other_settings(
    initial: InitialModel, config: ModelConfig, source: ModelConfig
) -> None:
    """Warn of settings of a component that the run's architecture states in another way."""
    ours = asdict(config)
    theirs = asdict(source)
    for name in initial.names:
        if not isinstance(ours.get(name), dict) or not isinstance(theirs.get(name), dict):
            continue
        keys = [key for key, value in theirs[name].items() if ours[name].get(key) != value]
        if keys:
            warnings.warn(
                f"{initial.source}: its {name} has other settings than the recipe's model "
                f"({', '.join(keys)}); those of the recipe's model are used",
                stacklevel=2,
            )


def _check_names(place: str, names: Iterable[str], present: tuple[str, ...]) -> None:
    for name in names:
        if name not in present:
            raise UsageError(f"{place} has no component {name!r}; it has: {', '.join(present)}")


def _present_components(folder: Path) -> tuple[str, ...]:
    """Return the components that a folder has; one with `model.json` also has those of its base."""
    present = {file.stem for file in folder.glob("*.safetensors")}
    if (folder / MODEL_FILE).is_file():
        for name in component_names(read_config(folder)[1]):
            if component_file(folder, name).is_file():
                present.add(name)
    return tuple(sorted(present))


def _model_folder(source: str, folder: Path, names: tuple[str, ...]) -> InitialModel:
    """Return what a folder with `<component>.safetensors` holds; `model.json` may be missing."""
    present = _present_components(folder)
    if not present and not (folder / TOKENIZER_FILE).is_file():
        raise WeightsError(
            f"{folder} has no .safetensors of a component; --init-from takes what --model takes, "
            "such as a name, a folder or a hub id"
        )
    _check_names(str(folder), names, present)
    config = read_config(folder)[1] if (folder / MODEL_FILE).is_file() else None
    if config is None and {"vae", "audiomae"} & set(names or present):
        read_config(folder)  # raises: the statistics of the latents are needed

    def copy_into(target: Path) -> None:
        for name in names or present:
            _copy(component_file(folder, name), target)
            own = f"{name}.{TOKENIZER_FILE}"
            (target / own).unlink(missing_ok=True)  # of another model that came before
            tokenizer = tokenizer_path(folder, name)
            has_tokenizer = name in COMPONENTS and COMPONENTS[name].tokenizer is not None
            is_common = tokenizer == folder / TOKENIZER_FILE
            if has_tokenizer and tokenizer.is_file() and (names or not is_common):
                _copy(tokenizer, target, own)
        if not names and (folder / TOKENIZER_FILE).is_file():
            _copy(folder / TOKENIZER_FILE, target)

    return InitialModel(source, names or present, config, copy_into)


def _component_file(source: str, path: Path, names: tuple[str, ...], model: str) -> InitialModel:
    """Return components of a file without a UNet, looked for by the names of its tensors."""
    spec = get_model_spec(model)
    config = training_config(spec.config)
    _check_names(model, names, component_names(config))
    audiomae = audiomae_config(open_tensors(path)) if "audiomae" in names else None
    if audiomae is not None:
        config = replace(config, audiomae=audiomae)
    model_source = ModelSource(
        source,
        NO_FOLDER,
        replace(spec, config=config),
        {},
        component_files=dict.fromkeys(names, path),
    )
    return InitialModel(
        source,
        names,
        None if audiomae is None else config,
        lambda target: _write_components(model_source, names, target),
    )


def _with_audiomae(source: ModelSource) -> ModelSource:
    """Return a checkpoint of the authors with its AudioMAE, which generation does without."""
    if source.checkpoint is None or source.config.audiomae is not None:
        return source
    audiomae = audiomae_config(source.checkpoint)
    if audiomae is None:
        return source
    config = replace(source.config, audiomae=audiomae)
    return replace(source, spec=replace(source.spec, config=config))


def _convert(model_source: ModelSource, names: tuple[str, ...], target: Path) -> None:
    """Write components of a model of another layout, and their tokenizers."""
    _write_components(model_source, names, target)
    for name in text_tokenizer_names(model_source.config):
        if name in names:
            with atomic_write(target / f"{name}.{TOKENIZER_FILE}") as temporary:
                untruncated_tokenizer(model_source, name).save(str(temporary))


def _write_components(model_source: ModelSource, names: tuple[str, ...], target: Path) -> None:
    for name in names:
        save_component(target, name, model_source.load_component(name, as_stored=True).state_dict())


def _copy(file: Path, folder: Path, name: str = "") -> None:
    """Copy a file into a folder, under its own name or another."""
    with atomic_write(folder / (name or file.name)) as temporary:
        shutil.copyfile(file, temporary)
