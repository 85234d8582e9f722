"""Components of a pipeline: made, opened, passed, replaced, moved and saved, as in diffusers."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import nn

from ..errors import UsageError, WeightsError
from ..generation.system import System
from ..loaders.diffusers_settings import INDEX, read_json
from ..loaders.layouts import ModelSource
from ..loaders.resolve import resolve_model
from . import components, library
from .components import MODULES, TOKENIZERS, DDIMScheduler
from .library import Fingerprint, ModuleSource, TemporaryFolder

REFERENCE = "diffusers"
_CPU_TYPES = {torch.bfloat16: torch.bfloat16}
_GPU_TYPES = {torch.bfloat16: torch.bfloat16, torch.float16: torch.float16}
"""Type that the caller wants -> type that the networks compute in; all others mean float32."""


def _noop_methods() -> frozenset[str]:
    features = (
        "attention_slicing",
        "freeu",
        "model_cpu_offload",
        "sequential_cpu_offload",
        "vae_slicing",
        "vae_tiling",
        "xformers_memory_efficient_attention",
    )
    names: set[str] = set()
    for feature in features:
        names.update((f"enable_{feature}", f"disable_{feature}"))
    return frozenset(names)


NOOP_METHODS = _noop_methods()
"""Methods of diffusers that change where and in which pieces work runs, never the sound."""


class FrozenConfig(dict[str, Any]):
    """A configuration whose entries are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the configuration has no {name!r}") from None


class PipelineObjects:
    """What a pipeline consists of. The networks that compute are those of `system`.

    Attributes:
        component_names: Components of the pipeline under diffusers' names.
        is_audioldm2: Whether the pipeline is that of AudioLDM 2.
    """

    component_names: ClassVar[tuple[str, ...]]
    is_audioldm2: ClassVar[bool]
    _optional_components: ClassVar[list[str]] = []

    def __init__(self, system: System | None, objects: Mapping[str, Any]) -> None:
        self._system = system
        self._objects: dict[str, Any] = dict(objects)
        self._fingerprints: dict[str, Fingerprint] = {}
        self._passed: set[str] = {name for name in objects if name != "scheduler"}
        self._dtype: torch.dtype | dict[str, torch.dtype] | None = None
        self._own_scheduler: Any = None
        self._shown_scheduler: Any = None
        self._folders: list[TemporaryFolder] = []  # they live as long as the pipeline
        if "scheduler" not in self._objects and system is not None:
            self._objects["scheduler"] = components.load_scheduler(system)

    @property
    def system(self) -> System:
        """The model that computes, with the weights that the pipeline's modules have now."""
        self._update_system()
        assert self._system is not None
        return self._system

    def _update_system(self) -> None:
        """Read the modules that were passed or changed since the last time."""
        modules = {}
        for name, value in self._objects.items():
            if name in library.PARTS and isinstance(value, nn.Module):
                modules[name] = value
        current = {name: library.fingerprint(module) for name, module in modules.items()}
        changed = {name for name in current if current[name] != self._fingerprints.get(name)}
        if not changed and not self._passed and self._system is not None:
            return
        self._fingerprints = current
        self._passed = set()
        base = None if self._system is None else self._system.source
        if self._system is not None and self._system.source.layout != "diffusers":
            for name in changed:
                state = modules[name].state_dict()
                components.replace_component(self._system, name, state)
            return
        device = torch.device("cpu")
        dtype = None
        if self._system is not None:
            device = self._system.device
            dtype = self._system.dtype
        self._system = System(self._describe(base, modules), str(device), "fp32")
        self._system.components.to(device, dtype)

    def _describe(self, base: ModelSource | None, modules: Mapping[str, nn.Module]) -> ModuleSource:
        """Return a source with the shapes of the modules, described in a folder of its own."""
        folder = TemporaryFolder()
        self._folders.append(folder)
        objects = self._objects
        if base is None:
            objects = {name: objects.get(name) for name in self.component_names}
        path = None if base is None else base.path
        library.describe(objects, type(self).__name__, folder.path, path)
        reference = REFERENCE if base is None else base.reference.name
        try:
            described = resolve_model(folder.path, reference=reference)
        except WeightsError:
            missing = [f"{name}=" for name, value in objects.items() if value is None]
            if base is not None or not missing:
                raise
            raise UsageError(
                f"this pipeline was made without {', '.join(missing)}; pass each of them"
            ) from None
        tensors = base.tensors if isinstance(base, ModuleSource) else {}
        changes = {
            "tensors": tensors,
            "modules": dict(modules),
            "adapters": () if base is None else base.adapters,
        }
        return ModuleSource(**{**vars(described), **changes})

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a component of the pipeline is used from then on."""
        if name not in self.component_names:
            object.__setattr__(self, name, value)
            return
        if name == "scheduler" and value is self._shown_scheduler:
            value = self._own_scheduler
        uncompiled = getattr(value, "_orig_mod", value)
        if uncompiled is not value and uncompiled is getattr(self, name):
            self._compile(name, value)
            return
        self._objects[name] = value
        self._fingerprints.pop(name, None)
        if name != "scheduler" and not isinstance(value, nn.Module):
            self._passed.add(name)

    def _compile(self, name: str, compiled: Any) -> None:
        """Compile the network that computes in the way in which its module was compiled."""
        system = self.system
        network = components.get_component(system, name)
        own_name = components.component_name(system, name)
        is_own = compiled._orig_mod is network
        value = compiled if is_own else type(compiled)(network, compiled.dynamo_ctx)
        system.components.replace(own_name, value)
        if not is_own:
            self._objects[name] = compiled._orig_mod

    def __getattr__(self, name: str) -> Any:
        """Return a component by diffusers' name: unet, vae, vocoder, text_encoder and so on."""
        if name in type(self).component_names:
            if name == "scheduler" and isinstance(self._objects[name], DDIMScheduler):
                return self._show_scheduler()
            if name not in self._objects:
                self._objects[name] = self._open(name)
            return self._objects[name]
        if name in NOOP_METHODS:
            return self._make_noop_method(name)
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def _show_scheduler(self) -> Any:
        """Return diffusers' form of this package's sampler, or ours without diffusers."""
        own = self._objects["scheduler"]
        if self._own_scheduler is not own:
            self._own_scheduler = own
            self._shown_scheduler = library.make_ddim_scheduler(own.config) or own
        return self._shown_scheduler

    def _open(self, name: str) -> Any:
        """Return an object of diffusers or transformers, or else this package's own network."""
        system = self.system
        source = system.source
        if isinstance(source, ModuleSource):
            value = library.open_object(source.path, name, source.tensors.get(name))
            if isinstance(value, nn.Module):
                value = value.to(self._dtype_of(name)).to(system.device)
                self._fingerprints[name] = library.fingerprint(value)
            if value is not None:
                return value
        if name in TOKENIZERS:
            return system.encoders.tokenizers.get(TOKENIZERS[name])
        if name == "projection_model":
            return system.encoders.translator
        return self._own_network(name) if name in MODULES else None

    def _own_network(self, name: str) -> Any:
        """Return this package's network under diffusers' name."""
        component = components.get_component(self.system, name)
        if name == "vocoder" and not hasattr(component, "config"):
            mel = self.system.config.mel
            settings = SimpleNamespace(sampling_rate=mel.sample_rate, model_in_dim=mel.n_mels)
            component.config = settings
        return component

    def _make_noop_method(self, name: str) -> Callable[..., None]:
        """Return one of `NOOP_METHODS`; those that offload move the model to the GPU instead."""

        def method(*_: Any, device: Any = None, **__: Any) -> None:
            if name.endswith("_cpu_offload") and torch.cuda.is_available():
                self.to(str(device or "cuda"))

        return method

    def to(self, *targets: Any, **named_targets: Any) -> Any:
        """Move to a device, compute in a type, and return the pipeline.

        Args:
            targets: Devices and types.
            named_targets: `device` and `dtype`.
        """
        for target in (*targets, named_targets.get("device"), named_targets.get("dtype")):
            if isinstance(target, torch.dtype):
                self._set_dtype(target)
            elif target is not None:
                self.system.to(target)
            else:
                continue
            for value in self._objects.values():
                if isinstance(value, nn.Module):
                    value.to(target)
        return self

    def _set_dtype(self, dtype: torch.dtype | dict[str, torch.dtype]) -> None:
        """Compute in a type, or in the type that a mapping states for the UNet."""
        self._dtype = dtype
        device = self.device
        # float16 is slow on a CPU, which computes with the same weights in float32
        types = _CPU_TYPES if device.type == "cpu" else _GPU_TYPES
        self.system.components.to(device, types.get(self._dtype_of("unet")))

    def _dtype_of(self, name: str) -> torch.dtype:
        """Return the type that the caller wants for a component."""
        if isinstance(self._dtype, dict):
            return self._dtype.get(name, self._dtype.get("default", torch.float32))
        return self._dtype or torch.float32

    @property
    def device(self) -> torch.device:
        """Device of the components."""
        return self.system.device

    _execution_device = device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the UNet."""
        return self._dtype_of("unet")

    @property
    def components(self) -> dict[str, Any]:
        """Every component by diffusers' name."""
        return {name: getattr(self, name) for name in self.component_names}

    @property
    def config(self) -> FrozenConfig:
        """Content of `model_index.json`."""
        entries: dict[str, Any] = {"_class_name": type(self).__name__}
        for name, value in self.components.items():
            module = type(value).__module__.partition(".")[0]
            entries[name] = (None, None) if value is None else (module, type(value).__name__)
        return FrozenConfig(entries)

    @classmethod
    def from_pipe(cls, pipeline: Any, **changes: Any) -> Any:
        """Return a pipeline with the components of another one.

        Args:
            pipeline: A pipeline of this package or of diffusers.
            changes: Components that replace some of them; `torch_dtype`.
        """
        dtype = changes.pop("torch_dtype", changes.pop("dtype", None))
        accepted = {k: v for k, v in pipeline.components.items() if k in cls.component_names}
        copied = cls(**{**accepted, **changes})
        return copied if dtype is None else copied.to(dtype)

    def save_pretrained(
        self,
        folder: str | Path,
        safe_serialization: bool = True,
        variant: str | None = None,
        **_: Any,
    ) -> None:
        """Write the pipeline as a folder for diffusers; existing files are replaced.

        Args:
            folder: The folder.
            safe_serialization: Whether weights are .safetensors files, or .bin.
            variant: Variant in the names of weight files, such as "fp16".
        """
        from ..loaders.convert import convert

        target = Path(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        has_objects = any(name != "scheduler" for name in self._objects)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
            written = Path(temporary, "model")
            if has_objects or not safe_serialization or variant:
                self._save_objects(written, safe_serialization, variant)
            else:
                convert(self.system.source, written, "diffusers")
                self._save_scheduler(written)
            shutil.copytree(written, target, dirs_exist_ok=True)

    def _save_scheduler(self, folder: Path) -> None:
        """Write the scheduler of the pipeline into a converted folder."""
        if isinstance(self._objects["scheduler"], DDIMScheduler):
            return
        self.scheduler.save_pretrained(folder / "scheduler")
        index = read_json(folder / INDEX)
        index["scheduler"] = ["diffusers", type(self.scheduler).__name__]
        (folder / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")

    def _save_objects(self, folder: Path, safe_serialization: bool, variant: str | None) -> None:
        """Write every component by its own class."""
        folder.mkdir()
        index: dict[str, Any] = {"_class_name": type(self).__name__}
        wanted = {"safe_serialization": safe_serialization, "variant": variant}
        source = self.system.source
        stored = read_json(source.path / INDEX) if isinstance(source, ModuleSource) else {}
        for name in self.component_names:
            is_stored = name not in library.PARTS and name not in self._objects
            if is_stored and stored.get(name) and (source.path / name).is_dir():
                shutil.copytree(source.path / name, folder / name)
                index[name] = stored[name]
                continue
            value = getattr(self, name)
            if value is None:
                index[name] = [None, None]
                continue
            if not hasattr(value, "save_pretrained"):
                raise UsageError(
                    f"the {name} is no object of diffusers or transformers and is not saved beside "
                    f"them; save a pipeline of its own model, or install both libraries"
                )
            accepted = inspect.signature(value.save_pretrained).parameters
            keywords: dict[str, Any] = {}
            if isinstance(value, nn.Module):
                keywords = {key: setting for key, setting in wanted.items() if key in accepted}
            value.save_pretrained(str(folder / name), **keywords)
            index[name] = [type(value).__module__.partition(".")[0], type(value).__name__]
        (folder / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")
