"""The models that are served: loaded at their first use, dropped when nobody uses them."""

from __future__ import annotations

import gc
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.adapters import AdapterUse, parse_adapter
from ..config.backends import TORCH, check_backend
from ..config.kernel_cache import fix_kernels
from ..config.presets import PRESETS
from ..config.reference import get_reference
from ..config.registry import MODELS
from ..config.samplers import SAMPLERS
from ..errors import UsageError
from .problems import Problem
from .schemas import EDIT_MODELS, Model
from .weights import WeightHashes

if TYPE_CHECKING:
    from ..loaders.layouts import ModelSource
    from ..pipeline import AudioLDM

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class ModelKey:
    """What a request is computed with.

    Attributes:
        model: Name of a served model.
        adapter: Name of an adapter, or "".
    """

    model: str
    adapter: str = ""


@dataclass(frozen=True)
class PoolSettings:
    """How models are loaded.

    Attributes:
        models: Names, folders or files, as `latentaudio.load` takes them, or `NAME=PATH`; the first
            is the default.
        adapters: Adapters of the first model, each `PATH[:WEIGHT]` or `NAME=PATH[:WEIGHT]`.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "bf16", "fp32" or "int8".
        reference: Implementation that is imitated.
        low_memory: Whether published models keep only the components in use in memory.
        backend: Library that computes the UNet: "torch", "openvino" or "onnxruntime".
    """

    models: Sequence[str] = ("mini",)
    adapters: Sequence[str] = ()
    device: str = "auto"
    precision: str = "auto"
    reference: str = "clean"
    low_memory: bool = False
    backend: str = TORCH


class ModelPool:
    """Models by name. `load` and `unload` are for the worker thread only.

    Attributes:
        settings: How models are loaded.
        sources: The models on disk by name.
        adapters: Adapters of the first model by name.
    """

    def __init__(self, settings: PoolSettings) -> None:
        """Find all models and adapters; read no weights.

        Raises:
            LatentAudioError: One of them does not exist.
        """
        from ..loaders.adapter_files import find_adapter_file
        from ..loaders.resolve import resolve_model

        check_backend(
            settings.backend,
            settings.device,
            settings.precision,
            get_reference(settings.reference),
            bool(settings.adapters),
        )
        self.settings = settings
        self.sources: dict[str, ModelSource] = {}
        for text in settings.models:
            name, place = _split_name(text)
            source = resolve_model(place, reference=settings.reference)
            if name or source.name not in MODELS:
                # clients see no path: a folder is called by the end of its name
                source = replace(source, name=name or Path(source.name).stem)
            if source.name in self.sources:
                raise UsageError(f"two models are called {source.name!r}; serve one of them")
            self.sources[source.name] = source
        if any(source.spec.is_published for source in self.sources.values()):
            fix_kernels()
        self.adapters: Mapping[str, AdapterUse] = _read_adapters(settings.adapters)
        self._adapter_files: dict[str, Path] = {}
        for name, use in self.adapters.items():
            self._adapter_files[name] = find_adapter_file(use.path)
        self._hashes = WeightHashes()
        self._loaded: dict[ModelKey, AudioLDM] = {}

    @property
    def default(self) -> str:
        """Name of the first model."""
        return next(iter(self.sources))

    def key(self, model: str, adapter: str) -> ModelKey:
        """Return the key of names in a request; "" is the default.

        Raises:
            Problem: There is no such model or adapter.
        """
        name = model or self.default
        if name not in self.sources:
            raise Problem(
                "invalid_request",
                f"there is no model {name!r:.80} here; models are: {', '.join(self.sources)}",
                "model",
            )
        names = self.adapter_names(name)
        if adapter and adapter not in names:
            known = f"adapters are: {', '.join(names)}" if names else f"{name} has none"
            raise Problem(
                "invalid_request", f"there is no adapter {adapter!r:.80} here; {known}", "adapter"
            )
        return ModelKey(name, adapter)

    def adapter_names(self, model: str) -> list[str]:
        """Return the adapters of a model."""
        return list(self.adapters) if model == self.default else []

    def load(self, key: ModelKey) -> AudioLDM:
        """Return a model; its weights are read when they are first used."""
        from ..pipeline import AudioLDM

        if key not in self._loaded:
            self.weights_sha256(key)
            settings = self.settings
            model = AudioLDM(
                self.sources[key.model],
                settings.device,
                settings.precision,
                settings.low_memory,
                backend=settings.backend,
            )
            # converted networks are kept on the disk, prompts of clients are not
            model.components.keep_networks = True
            if key.adapter:
                use = self.adapters[key.adapter]
                model.load_adapter(use.path, use.weight, noise_levels=use.noise_levels)
            self._loaded[key] = model
        return self._loaded[key]

    def weights_sha256(self, key: ModelKey) -> str:
        """Return the hash of the files of a model and its adapter, as they were when it was loaded.

        Returns:
            The hash; "" if a file cannot be read, which loading reports. May be called from any
            thread.
        """
        adapter = self._adapter_files[key.adapter] if key.adapter else None
        try:
            return self._hashes.get(key, self.sources[key.model], adapter)
        except OSError:
            return ""

    @property
    def num_loaded(self) -> int:
        """Models in memory."""
        return len(self._loaded)

    def unload(self) -> None:
        """Drop all models from memory."""
        self._loaded.clear()
        self._hashes.forget()
        gc.collect()

    def describe(self, name: str) -> Model:
        """Return what clients are told about a model."""
        source = self.sources[name]
        spec = source.spec
        config = spec.config
        sampling = PRESETS[spec.preset].resolve(config)
        samplers = []
        for sampler, row in SAMPLERS.items():
            if not row.is_distilled or config.distilled_unet is not None:
                samplers.append(sampler)
        is_speech = config.phonemes is not None
        verbs = ["generate", *EDIT_MODELS]
        if not is_speech:
            verbs.insert(1, "morph")
        return Model(
            id=name,
            is_loaded=any(key.model == name for key in list(self._loaded)),
            description=spec.description,
            license=spec.license,
            sample_rate=config.mel.sample_rate,
            max_duration=spec.max_duration,
            verbs=verbs,
            presets=list(PRESETS),
            samplers=samplers,
            adapters=self.adapter_names(name),
            is_speech=is_speech,
            can_rank=config.can_rank,
            defaults={
                "duration": spec.duration,
                "preset": spec.preset,
                "steps": sampling["steps"],
                "guidance_scale": sampling.get("guidance_scale", spec.guidance_scale),
                "candidates": sampling.get("candidates", spec.candidates) if config.can_rank else 1,
            },
        )


def _split_name(text: str) -> tuple[str, str]:
    """Return the name in `NAME=PATH`, or "", and the rest."""
    name, sign, place = text.partition("=")
    is_named = bool(sign) and _NAME.fullmatch(name) is not None and not Path(text).exists()
    return (name, place) if is_named else ("", text)


def _read_adapters(texts: Sequence[str]) -> dict[str, AdapterUse]:
    """Return adapters by name."""
    adapters: dict[str, AdapterUse] = {}
    for text in texts:
        name, rest = _split_name(text)
        use = parse_adapter(rest)
        name = name or Path(use.path).stem
        if name in adapters:
            raise UsageError(f"two adapters are called {name!r}; write NAME=PATH for one of them")
        adapters[name] = use
    return adapters
