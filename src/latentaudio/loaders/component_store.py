"""The parts of one system in memory: each loaded when first asked for, let go when others need the room.

Knows where parts are, in which type each computes and which may lie in memory together. Refuses to know what they compute.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..models import cpu_packing
from ..models.cuda_graphs import Graphs
from .resolve import Found

SOUND = ("unet", "student", "vae", "vocoder")
"""Parts that work after all texts are read."""


def _give_back() -> None:
    """Let the C library return free memory to the system, which glibc would keep."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


class Parts:
    """A system's parts by name, in evaluation mode, without gradients.

    dtype: of the parts that have most of the work (None: float32); whatever reads text stays in float32. lean: a part that
    reads text is alone in memory, and those that make sound are without any of them. On a CPU parts are packed (`nn.packed`).
    """

    def __init__(
        self, found: Found, device: torch.device, dtype: torch.dtype | None, lean: bool = False
    ) -> None:
        self.found, self.device, self.dtype, self.lean = found, device, dtype, lean
        self.changes = 0
        """How often parts were exchanged or moved; what was computed with them before may be another now."""
        self.graphs = False
        """Whether denoisers on a GPU are played back as CUDA graphs."""
        self._graphs: dict[str, Graphs] = {}
        self._loaded: dict[str, nn.Module] = {}
        self._kept: set[str] = set()

    @property
    def way(self) -> dict[str, str]:
        """What decides bits beside a request, for tags: device, precision and, on a CPU, the number of threads."""
        threads = {"threads": str(torch.get_num_threads())} if self.device.type == "cpu" else {}
        return {
            "device": self.device.type,
            "precision": "fp32" if self.dtype is None else "bf16",
            **threads,
        }

    def __getitem__(self, name: str) -> nn.Module:
        """A part; raises WeightsError where its weights are missing or do not fit."""
        return (
            self._loaded[name] if name in self._loaded else self._fetched(name, pack=name in SOUND)
        )

    def caller(self, name: str) -> Callable[..., Any]:
        """A part to be called without gradients: itself, or its graph."""
        part = self[name]
        if not self.graphs or self.device.type != "cuda":
            return part
        if name not in self._graphs or self._graphs[name].work is not part:
            self._graphs[name] = Graphs(part)
        return self._graphs[name]

    def get(self, name: str) -> nn.Module | None:
        """A part, None where the system has none of that name."""
        return self[name] if getattr(self.found.config, name) is not None else None

    def plain(self, name: str) -> nn.Module | None:
        """A part that is not packed, for whoever wants to look into it, compile or change it; from now on it stays as it is."""
        if getattr(self.found.config, name) is None:
            return None
        if name not in self._kept:
            self.release(name)
            self._fetched(name, pack=False)
            self._kept.add(name)
        return self._loaded[name]

    def put(self, name: str, module: nn.Module) -> None:
        """Compute with another module in the place of a part, from now on."""
        self._loaded[name] = module.requires_grad_(False).to(self.device, self.type_of(name))
        self._kept.add(name)
        self.changes += 1

    def release(self, *names: str) -> None:
        """Let go of parts, but those put in or handed out; they are loaded again when needed."""
        for name in names:
            self._graphs.pop(name, None)
        if [
            self._loaded.pop(name)
            for name in names
            if name in self._loaded and name not in self._kept
        ]:
            gc.collect()
            _give_back()

    def rest(self) -> None:
        """Between two pieces of work: free memory goes back, so that what scatters of one is not added to the next."""
        if self.device.type == "cpu":
            _give_back()

    def move(self, device: torch.device, dtype: torch.dtype | None) -> None:
        """Another device or type from now on."""
        if (device, dtype) == (self.device, self.dtype):
            return
        self.device, self.dtype = device, dtype
        self.changes += 1
        self.release(*self._loaded)
        for name in self._kept:
            self._loaded[name].to(device, self.type_of(name))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within it no part leaves for another, lean or not."""
        lean, self.lean = self.lean, False
        try:
            yield
        finally:
            self.lean = lean

    def _fetched(self, name: str, pack: bool) -> nn.Module:
        if self.lean:
            self.release(*(set(self._loaded) - (set(SOUND) if name in SOUND else set())))
        kind = self.type_of(name)
        module = self.found.part(name, kind).requires_grad_(False).to(self.device)
        if pack and self.device.type == "cpu" and cpu_packing.available(kind):
            cpu_packing.pack(module)
        self._loaded[name] = module
        return module

    def type_of(self, name: str) -> torch.dtype:
        """In which type a part computes."""
        vocoder = self.found.config.vocoder.kind
        fast = name in ("unet", "student") or (
            name in SOUND and vocoder == "hifigan"
        )  # phases need more than 8 bits
        return self.dtype if fast and self.dtype is not None else torch.float32
