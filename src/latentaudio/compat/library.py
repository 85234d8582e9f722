"""Objects of diffusers and transformers: opened from a folder, described in one, and read by us.

The pipelines compute with this package's networks. A module of diffusers or transformers that the
caller passes, or gets from an attribute of a pipeline, is a second copy of the weights. The
pipeline reads it again when it has changed.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeAlias
from weakref import finalize

import torch
from torch import nn

from ..config.architecture import ModelConfig
from ..errors import UsageError, WeightsError
from ..loaders.components import COMPONENTS
from ..loaders.diffusers_configs import scheduler_config
from ..loaders.diffusers_format import open_component_folder
from ..loaders.diffusers_settings import INDEX, SCHEDULER, read_json
from ..loaders.layouts import LAYOUTS, ModelSource, load_tensors
from ..loaders.tensor_files import Tensors
from ..loaders.tokenizers import write_json

_SMALL_FILE_ENDINGS = (".json", ".txt", ".model")
"""Files of a model's folder that have no weights."""
_DERIVED_BUFFERS = (
    "num_batches_tracked", "position_ids", "relative_position_index", "token_type_ids",
)  # fmt: skip
"""Ends of the names of tensors that the classes compute, so that some files lack them."""
PARTS = frozenset(part.name for spec in COMPONENTS.values() for part in spec.diffusers.folders)
"""Components of diffusers that are networks."""
_LIBRARIES = ("diffusers", "transformers")
_LOADER_LOG = logging.getLogger("diffusers.pipelines.pipeline_utils")
"""The log of diffusers' loader, so that programs find the same lines in the same place."""

Fingerprint: TypeAlias = tuple[Any, ...]
"""Equal fingerprints of a module mean equal weights and an equal configuration."""


class TemporaryFolder:
    """A folder that is removed together with its object.

    Attributes:
        path: The folder.
    """

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="latentaudio-pipeline-"))
        finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def open_object(folder: Path, name: str, tensors: Tensors | None) -> Any:
    """Make one component of a pipeline with the class of diffusers or transformers.

    Args:
        folder: Folder with the component's configuration, as `describe` writes it.
        name: The component as `model_index.json` calls it.
        tensors: Weights of a module under the names of that class.

    Returns:
        The object; None if the folder has no such component or no library has its class.

    Raises:
        WeightsError: Weights of the class are missing.
    """
    entry = read_json(folder / INDEX).get(name)
    if not isinstance(entry, list) or not entry or not entry[-1]:
        return None
    for library in _LIBRARIES:
        try:
            module = import_module(library)
        except ImportError:
            continue
        object_class = getattr(module, str(entry[-1]), None)
        if object_class is None:
            continue
        if not issubclass(object_class, nn.Module):
            try:
                return object_class.from_pretrained(str(folder / name))
            except (TypeError, ValueError, OSError):
                return None  # this version of the library does not read these files; ours does
        if tensors is None:
            return None
        return _load_module(object_class, folder / name, tensors)
    return None


def _load_module(module_class: Any, folder: Path, tensors: Tensors) -> nn.Module:
    """Return a module with the configuration of a folder and with tensors."""
    if hasattr(module_class, "config_class") and module_class.config_class is not None:
        module = module_class(module_class.config_class.from_pretrained(str(folder)))
    else:
        module = module_class.from_config(module_class.load_config(str(folder)))
    loaded = module.load_state_dict({key: tensors[key] for key in tensors}, strict=False)
    if missing := _needed(module, loaded.missing_keys):
        raise WeightsError(
            f"{folder.name} lacks {len(missing)} of the tensors of {module_class.__name__}, "
            f"such as {missing[0]}; download the model again"
        )
    result: nn.Module = module.eval()
    return result


def _needed(module: nn.Module, missing: Collection[str]) -> list[str]:
    """Return the names among `missing` that a module needs: no tied and no derived tensors."""
    tensors = module.state_dict(keep_vars=True)
    loaded = {id(tensor) for name, tensor in tensors.items() if name not in missing}
    needed = []
    for name in missing:
        is_tied = id(tensors[name]) in loaded
        if not is_tied and not name.endswith(_DERIVED_BUFFERS):
            needed.append(name)
    return needed


def open_weights(folder: Path) -> dict[str, Tensors]:
    """Open the weights of every component of a folder, so that they outlive its files.

    Raises:
        WeightsError: A component has no weights, or they are damaged.
    """
    opened = {}
    for name, entry in read_json(folder / INDEX).items():
        is_module = name in PARTS and isinstance(entry, list) and entry and entry[-1]
        if is_module:
            opened[name] = open_component_folder(folder / name)
    return opened


def log_components(folder: Path, name: str | Path, passed: Collection[str]) -> None:
    """Log a line for each component of a folder, as diffusers does when it opens one.

    Args:
        folder: The folder.
        name: The name by which the caller knows it.
        passed: Components that the caller passed, so that the folder's are not read.
    """
    for part, entry in read_json(folder / INDEX).items():
        if isinstance(entry, list) and entry and entry[-1] and part not in passed:
            _LOADER_LOG.info(
                "Loaded %s as %s from `%s` subfolder of %s.", part, entry[-1], part, name
            )


def make_ddim_scheduler(config: Mapping[str, Any]) -> Any:
    """Return diffusers' DDIMScheduler of a configuration; None if diffusers is not installed."""
    try:
        from diffusers import DDIMScheduler
    except ImportError:
        return None
    return DDIMScheduler.from_config(dict(config))


def fingerprint(module: nn.Module) -> Fingerprint:
    """Return a value that differs when a module's weights or configuration have changed."""
    tensors: list[Any] = [config_of(module)]
    for tensor in module.state_dict(keep_vars=True).values():
        # a change in place raises the version, a new tensor lies elsewhere
        tensors.append((tensor.data_ptr(), tensor._version, tensor.dtype))
    return tuple(tensors)


def config_of(module: nn.Module) -> str:
    """Return the configuration of a module as text."""
    config = getattr(module, "config", {})
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return json.dumps(values, sort_keys=True, default=str)


def describe(
    objects: Mapping[str, Any], class_name: str, folder: Path, base: Path | None = None
) -> None:
    """Write the folder of a model without its weights.

    Args:
        objects: Component -> object; None for a component that the model does not have.
        class_name: Class of the pipeline.
        folder: The folder to write.
        base: Folder of the model that has the components which are not in `objects`.
    """
    index: dict[str, Any] = {"_class_name": class_name}
    if base is not None:
        index = read_json(base / INDEX)
        for file in sorted(base.glob("*/*")):
            if file.name.endswith(_SMALL_FILE_ENDINGS):
                (folder / file.parent.name).mkdir(exist_ok=True)
                shutil.copyfile(file, folder / file.parent.name / file.name)
    for name, value in objects.items():
        index[name] = [None, None] if value is None else [_library(value), type(value).__name__]
        if value is not None and name != "scheduler":
            save_description(value, folder / name)
    if base is None or not (folder / SCHEDULER).is_file():
        # only the sampler reads the schedule; a scheduler object has its own
        scheduler = objects.get("scheduler")
        is_ddim = type(scheduler).__name__ == "DDIMScheduler"
        config = (
            dict(scheduler.config)
            if is_ddim and scheduler is not None
            else scheduler_config(ModelConfig())
        )
        write_json(folder / SCHEDULER, {**config, "_class_name": "DDIMScheduler"})
    write_json(folder / INDEX, index)


def save_description(value: Any, folder: Path) -> None:
    """Write the configuration of a module, or a tokenizer or feature extractor."""
    is_module = isinstance(value, nn.Module)
    if not is_module:
        value.save_pretrained(str(folder))
    elif hasattr(value, "save_config"):
        value.save_config(str(folder))
    else:
        value.config.save_pretrained(str(folder))


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


@dataclass(frozen=True)
class ModuleSource(ModelSource):
    """A model in memory or in open files; its folder has configurations and tokenizers only.

    Attributes:
        tensors: Component of diffusers -> its tensors in open files.
        modules: Component of diffusers -> module that takes the place of its tensors.
    """

    tensors: Mapping[str, Tensors] = field(default_factory=dict)
    modules: Mapping[str, nn.Module] = field(default_factory=dict)

    def load_base_component(
        self, name: str, dtype: torch.dtype | None = None, as_stored: bool = False
    ) -> nn.Module:
        """Return a component in evaluation mode, made of modules or read from files.

        Args:
            name: The component.
            dtype: Type of floating-point tensors; None: float32.
            as_stored: Keep the types of the modules or files instead.

        Raises:
            UsageError: The pipeline has no such component.
        """
        first, *others = COMPONENTS[name].diffusers.folders
        merged = self.open_part(first.name)
        if others:
            merged = Tensors({}, self.path)
        for part in (first, *others) if others else ():
            tensors = self.open_part(part.name)
            unused = frozenset(key for key in tensors if not re.search(part.keys, key))
            tensors = tensors.drop(unused)
            names = {key: f"{part.name}/{key.removeprefix(part.strip_prefix)}" for key in tensors}
            merged = merged.merge(tensors.rename(names))
        result_dtype = None if as_stored else dtype or torch.float32
        return load_tensors(merged, name, self.config, LAYOUTS["diffusers"], result_dtype)

    def open_part(self, part: str) -> Tensors:
        """Return the tensors of one component of diffusers."""
        if part in self.modules:
            state = self.modules[part].state_dict()
            return Tensors({key: (state, key) for key in state}, Path(f"the {part} passed"))
        if part not in self.tensors:
            raise UsageError(f"this pipeline was made without {part}=; pass one")
        return self.tensors[part]
