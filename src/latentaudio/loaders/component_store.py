"""The components of one system in memory, loaded at their first use and released to free memory."""

from __future__ import annotations

import ctypes
import gc
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..backends import get_backend
from ..backends.base import Session
from ..backends.graphs import GraphName
from ..backends.networks import GraphUNet
from ..config.backends import TORCH, raise_on_adapters
from ..errors import LatentAudioError, UsageError, WeightsError, first_line, is_out_of_memory
from ..models import cpu_int8, cpu_packing
from ..models.cuda_graphs import CUDAGraphRunner
from .adapters import ADAPTABLE, ActiveAdapter, active_at, merge_adapters
from .components import COMPONENTS, names_with_role
from .converted import ConvertedNetwork, converted_network, is_kept
from .layouts import ModelSource
from .prepared import is_switched_off, load_prepared

GENERATION_COMPONENTS = names_with_role("denoise", "decode")
"""Components that run after all texts are encoded."""


def _return_free_memory() -> None:
    """Return free memory to the operating system; glibc would keep it."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


class ComponentStore:
    """A system's components by name, in evaluation mode, without gradients.

    On a CPU, components that generate are packed for speed (`models.cpu_packing`).

    Attributes:
        source: The model on disk.
        device: Device of all components.
        dtype: Type of the components with most of the work; None: float32. Text encoders always
            compute in float32.
        use_int8: Whether denoisers compute with 8-bit products, on a CPU alone.
        low_memory: Whether a text encoder is alone in memory, and generation runs without any.
        use_cache: Whether converted weights are kept on the disk for later starts (`prepared`), and
            networks (`converted`).
        keep_networks: Whether networks are kept without `use_cache`, too, unless the environment
            forbids it.
        backend: The library that computes denoisers, a row of `config.backends.BACKENDS`.
        version: Number of times that components were replaced or moved. Caches compare this number
            and drop old results.
        use_cuda_graphs: Whether denoisers on a GPU run as CUDA graphs.
    """

    def __init__(
        self,
        source: ModelSource,
        device: torch.device,
        dtype: torch.dtype | None,
        low_memory: bool = False,
        use_int8: bool = False,
        use_cache: bool = False,
        backend: str = TORCH,
    ) -> None:
        self.source = source
        self.device = device
        self.dtype = dtype
        self.low_memory = low_memory
        self.use_int8 = use_int8
        self.use_cache = use_cache
        self.keep_networks = False
        self.backend = backend
        self.version = 0
        self.use_cuda_graphs = False
        self._graphs: dict[str, CUDAGraphRunner] = {}
        self._networks: dict[str, GraphUNet] = {}
        self._temporary: dict[tuple[str, GraphName], ConvertedNetwork] = {}
        self._loaded: dict[str, nn.Module] = {}
        self._pinned: set[str] = set()
        self._by_adapters: dict[tuple[str, tuple[int, ...]], nn.Module] = {}
        self._base_weights: dict[str, dict[str, Tensor]] = {}

    @property
    def runtime_metadata(self) -> dict[str, str]:
        """What changes samples beside the request, for file metadata.

        It has the device, the precision and, on a CPU, the number of threads.
        """
        precision = "fp32" if self.dtype is None else "bf16"
        metadata = {
            "device": self.device.type,
            "precision": "int8" if self.use_int8 else precision,
        }
        if self.device.type == "cpu":
            metadata["threads"] = str(torch.get_num_threads())
        if self.backend != TORCH:
            metadata["backend"] = self.backend
        return metadata

    def __getitem__(self, name: str) -> nn.Module:
        """Return a component.

        Raises:
            WeightsError: Its weights are missing or do not match the model.
        """
        if name in self._loaded:
            return self._loaded[name]
        return self._load(name, pack=name in GENERATION_COMPONENTS)

    def callable(self, name: str) -> Callable[..., Any]:
        """Return a function that runs a component.

        It is the component itself, its CUDA graph, or the network of the backend.
        """
        if self.backend != TORCH and COMPONENTS[name].role == "denoise":
            return self._network(name)
        module = self[name]
        if not self.use_cuda_graphs or self.device.type != "cuda":
            return module
        if name not in self._graphs or self._graphs[name].fn is not module:
            self._graphs[name] = CUDAGraphRunner(module)
        return self._graphs[name]

    def _network(self, name: str) -> GraphUNet:
        """Return a denoiser in the backend; its weights are not loaded here."""
        if name in self._pinned:
            raise UsageError(
                f"backend {self.backend} runs the {name} of the model's files, but the program has "
                "replaced or inspected it; load the model with backend torch for that"
            )
        network = self._networks.get(name)
        num_threads = torch.get_num_threads()
        if network is None or network.num_threads != num_threads:
            self._make_room(name)
            network = GraphUNet(num_threads, partial(self._open_session, name, num_threads))
            self._networks[name] = network
        return network

    def _open_session(
        self, name: str, num_threads: int, graph: GraphName, varying: Sequence[str]
    ) -> Session:
        """Return a session of the backend for a graph of a denoiser.

        A network in a temporary folder stays until this store ends, since sessions come and go.
        """
        converted = self._temporary.get((name, graph))
        if converted is None or not converted.file.is_file():
            keep = self._keeps_networks
            converted = converted_network(self.source, name, graph, self.backend, keep)
            if converted.is_temporary:
                self._temporary[name, graph] = converted
        precision = "fp32" if self.dtype is None else "bf16"
        try:
            return get_backend(self.backend).open_session(
                converted.file, precision, num_threads, varying
            )
        except Exception as error:  # of any kind: it comes from the backend
            if isinstance(error, LatentAudioError) or is_out_of_memory(error):
                raise
            model = shlex.quote(str(self.source.path))
            raise WeightsError(
                f"{self.backend} cannot read {converted.file} ({first_line(error)}); delete it: "
                f"latentaudio cache {model} --delete"
            ) from None

    @property
    def _keeps_networks(self) -> bool:
        return self.use_cache or (self.keep_networks and not is_switched_off())

    def is_conversion_needed(self, name: str) -> bool:
        """Return whether a denoiser is to be converted for the backend at its next use.

        Args:
            name: The denoiser.
        """
        if self.backend == TORCH or name in self._networks or (name, "full") in self._temporary:
            return False
        return not (self._keeps_networks and is_kept(self.source, name, "full"))

    def set_adapters(self, adapters: tuple[ActiveAdapter, ...]) -> None:
        """Merge these adapters into the components from now on, and no others.

        Args:
            adapters: The adapters. Components that were inspected or replaced are changed in place;
                noise levels do not apply to them.
        """
        self.source = replace(self.source, adapters=adapters)
        self.version += 1
        for name in self._pinned:
            self._merge_in_place(name)
        changed = [*ADAPTABLE, "distilled_unet"]
        self.release(*changed)

    def check_adaptable(self) -> None:
        """Raise `UsageError` if the backend runs no adapters."""
        if self.backend != TORCH:
            raise_on_adapters(self.backend)

    def _merge_in_place(self, name: str) -> None:
        """Give a component that the store cannot load again its base weights and the adapters."""
        module = self._loaded[name]
        for key, weight in self._base_weights.pop(name, {}).items():
            module.get_parameter(key).data = weight
        adapters = [each for each in self.source.adapters if each.is_on(name, None)]
        if adapters:
            self._base_weights[name] = merge_adapters(module, name, adapters)

    def adapters_at(self, name: str, noise_level: float) -> tuple[int, ...] | None:
        """Return which adapters change a denoiser at a noise level; None: the same at all levels.

        Args:
            name: The denoiser.
            noise_level: t / 1000.
        """
        adapters = self.source.adapters
        if name in self._pinned or all(each.noise_levels == (0.0, 1.0) for each in adapters):
            return None
        return active_at(adapters, name, noise_level)

    def at_noise_level(self, name: str, noise_level: float) -> nn.Module | GraphUNet:
        """Return a denoiser with the adapters of one noise level.

        Each set of adapters takes the memory of one more denoiser.

        Args:
            name: The denoiser.
            noise_level: t / 1000.
        """
        if self.backend != TORCH:
            return self._network(name)
        active = self.adapters_at(name, noise_level)
        if active is None:
            return self[name]
        key = (name, active)
        if key not in self._by_adapters:
            self._by_adapters[key] = self._build(name, pack=True, noise_level=noise_level)
        return self._by_adapters[key]

    def get(self, name: str) -> nn.Module | None:
        """Return a component, or None if the system has none of that name."""
        return self[name] if self._has(name) else None

    def unpacked(self, name: str) -> nn.Module | None:
        """Return a component that is not packed, to inspect, compile or change it.

        The store keeps it from then on and never releases it.
        """
        if not self._has(name):
            return None
        if name not in self._pinned:
            self.release(name)
            self._load(name, pack=False, is_base=True)
            self._pinned.add(name)
            self._merge_in_place(name)
        return self._loaded[name]

    def replace(self, name: str, module: nn.Module) -> None:
        """Replace a component by another module from now on."""
        self._loaded[name] = module.requires_grad_(False).to(self.device, self.dtype_of(name))
        self._base_weights.pop(name, None)
        self._pinned.add(name)
        self._merge_in_place(name)
        self.version += 1

    def release(self, *names: str) -> None:
        """Free the memory of components; they are loaded again when they are needed.

        Components from `replace` and `unpacked` stay.
        """
        has_released = False
        for name in names:
            self._graphs.pop(name, None)
            has_released = self._networks.pop(name, None) is not None or has_released
            for key in [key for key in self._by_adapters if key[0] == name]:
                del self._by_adapters[key]
                has_released = True
            if name in self._loaded and name not in self._pinned:
                del self._loaded[name]
                has_released = True
        if has_released:
            gc.collect()
            _return_free_memory()

    def trim_memory(self) -> None:
        """Return free memory to the system between two tasks, so that their peaks do not add up."""
        if self.device.type == "cpu":
            _return_free_memory()

    def to(self, device: torch.device, dtype: torch.dtype | None, use_int8: bool = False) -> None:
        """Compute on another device or with another type from now on."""
        if (device, dtype, use_int8) == (self.device, self.dtype, self.use_int8):
            return
        self.device = device
        self.dtype = dtype
        self.use_int8 = use_int8
        self.version += 1
        self.release(*self._loaded, *ADAPTABLE, "distilled_unet")
        for name in self._pinned:
            self._loaded[name].to(device, self.dtype_of(name))
            own = self._base_weights.get(name, {})
            self._base_weights[name] = {
                key: weight.to(device, self.dtype_of(name)) for key, weight in own.items()
            }

    @contextmanager
    def keep_loaded(self) -> Iterator[None]:
        """Release no component inside the block, even with `low_memory`."""
        low_memory = self.low_memory
        self.low_memory = False
        try:
            yield
        finally:
            self.low_memory = low_memory

    def dtype_of(self, name: str) -> torch.dtype:
        """Return the type that a component computes in."""
        if self.dtype is None:
            return torch.float32
        role = COMPONENTS[name].role
        # bf16 has 8 bits of precision, too few for the phases of an inverse-STFT vocoder
        is_hifigan = self.source.config.vocoder.kind == "hifigan"
        if role == "denoise" or (role == "decode" and is_hifigan):
            return self.dtype
        return torch.float32

    def _has(self, name: str) -> bool:
        return COMPONENTS[name].is_present(self.source.config)

    def _make_room(self, name: str) -> None:
        """With `low_memory`, release what may not be in memory beside a component."""
        if self.low_memory:
            can_stay = set(GENERATION_COMPONENTS) if name in GENERATION_COMPONENTS else set()
            self.release(*({*self._loaded, *self._networks} - can_stay))

    def _load(self, name: str, pack: bool, is_base: bool = False) -> nn.Module:
        self._make_room(name)
        module = self._build(name, pack, is_base=is_base)
        self._loaded[name] = module
        return module

    def _build(
        self,
        name: str,
        pack: bool,
        noise_level: float | None = None,
        is_base: bool = False,
    ) -> nn.Module:
        """Read a component, merge its adapters and pack it."""
        dtype = self.dtype_of(name)
        adapters = [each for each in self.source.adapters if each.is_on(name, noise_level)]
        module = None
        if self.use_cache and not adapters and COMPONENTS[name].role != "text":
            module = load_prepared(self.source, name, dtype)
        if module is None and is_base:
            module = self.source.load_base_component(name, dtype)
        elif module is None:
            module = self.source.load_component(name, dtype, noise_level=noise_level)
        module = module.requires_grad_(False).to(self.device)
        peak_level = 0
        if pack and self.use_int8 and COMPONENTS[name].role == "denoise":
            peak_level = cpu_int8.levels()
            if not peak_level:
                raise UsageError(
                    f"torch {torch.__version__} has no 8-bit products for this processor; leave "
                    "out precision int8"
                )
        if pack and self.device.type == "cpu" and cpu_packing.available(dtype):
            cpu_packing.pack(module, peak_level)
        return module
