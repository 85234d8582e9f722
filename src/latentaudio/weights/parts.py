"""The parts of one system in memory: each loaded when first asked for, let go when others need the room.

Knows where parts are, in which type each computes and which may lie in memory together. Refuses to know what they compute.
"""

from __future__ import annotations

import ctypes
import gc
import sys

import torch
from torch import nn

from ..nn import packed
from .load import Found

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

    def __init__(self, found: Found, device: torch.device, dtype: torch.dtype | None, lean: bool = False) -> None:
        self.found, self.device, self.dtype, self.lean = found, device, dtype, lean
        self.packs = True
        self.changes = 0
        """How often parts were exchanged or moved; what was computed with them before may be another now."""
        self._loaded: dict[str, nn.Module] = {}
        self._given: set[str] = set()

    def __getitem__(self, name: str) -> nn.Module:
        """A part; raises WeightsError where its weights are missing or do not fit."""
        if name not in self._loaded:
            if self.lean:
                others = set(self._loaded) - self._given - (set(SOUND) if name in SOUND else set())
                self.release(*others)
            module = self.found.part(name, self._type(name)).requires_grad_(False).to(self.device)
            if self.packs and name in SOUND and self.device.type == "cpu" and packed.available():
                packed.pack(module)
            self._loaded[name] = module
        return self._loaded[name]

    def get(self, name: str) -> nn.Module | None:
        """A part, None where the system has none of that name."""
        return self[name] if getattr(self.found.config, name) is not None else None

    def put(self, name: str, module: nn.Module) -> None:
        """Compute with another module in the place of a part, from now on."""
        self._loaded[name] = module.requires_grad_(False).to(self.device)
        self._given.add(name)
        self.changes += 1

    def release(self, *names: str) -> None:
        """Let go of parts; they are loaded again when needed."""
        if [self._loaded.pop(name) for name in names if name in self._loaded and name not in self._given]:
            gc.collect()
            _give_back()

    def move(self, device: torch.device, dtype: torch.dtype | None) -> None:
        """Another device or type from now on."""
        if (device, dtype) == (self.device, self.dtype):
            return
        self.device, self.dtype = device, dtype
        self.changes += 1
        self.release(*self._loaded)
        for name in self._given:
            self._loaded[name].to(device)

    def unpacked(self) -> None:
        """Parts as plain modules from now on, for whoever wants to look into them, compile or change them."""
        if self.packs:
            self.packs = False
            self.release(*SOUND)

    def _type(self, name: str) -> torch.dtype | None:
        vocoder = self.found.config.vocoder.kind
        fast = name in ("unet", "student") or (name in SOUND and vocoder == "hifigan")  # phases need more than 8 bits
        return self.dtype if fast else None
