"""LoRA in the drop-in pipelines, with the methods of diffusers' other pipelines.

diffusers' own AudioLDM pipelines have none. Files of diffusers and peft are read. Adapters are
merged into the weights, so peft is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ..errors import UsageError
from ..generation.system import System
from ..loaders.adapter_files import FILE_NAMES


class LoRAMethods:
    """The methods of diffusers that concern LoRA."""

    _fused: frozenset[str] = frozenset()
    """Adapters that `unload_lora_weights` leaves."""
    _disabled: dict[str, float] | None = None
    """Weights that `enable_lora` restores, by adapter; None: adapters are enabled."""
    system: System

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | Path | Mapping[str, Tensor],
        adapter_name: str | None = None,
        *,
        weight_name: str | None = None,
        subfolder: str = "",
        **_: Any,
    ) -> None:
        """Load a LoRA and use it with weight 1, in place of those loaded before, as diffusers does.

        Args:
            pretrained_model_name_or_path_or_dict: A file, folder, hub id or a state dict.
            adapter_name: Its name; None: "default_0", "default_1" and so on.
            weight_name: File in the folder.
            subfolder: Folder in the folder.
        """
        source = pretrained_model_name_or_path_or_dict
        name = adapter_name or f"default_{len(self.system.adapters)}"
        if isinstance(source, Mapping):
            with TemporaryDirectory() as folder:
                file = Path(folder, FILE_NAMES[1])
                save_file({key: value.contiguous() for key, value in source.items()}, file)
                self.system.load_adapter(file, name=name)
        else:
            place = Path(source, subfolder) if subfolder else Path(source)
            self.system.load_adapter(place / weight_name if weight_name else place, name=name)
        names = [*sorted(self._fused), name]
        self.set_adapters(names, [self._weights()[each] for each in names])

    def set_adapters(
        self,
        adapter_names: str | Sequence[str],
        adapter_weights: float | Sequence[float] | None = None,
    ) -> None:
        """Use these adapters with these weights, and switch off all others.

        Args:
            adapter_names: Names of loaded adapters.
            adapter_weights: A weight for all, or one for each; None: 1.
        """
        self.system.set_adapters(adapter_names, adapter_weights)
        if self._disabled is not None:
            self._switch_off()

    def get_active_adapters(self) -> list[str]:
        """Return the names of the adapters whose weight is not 0, if they are disabled too."""
        return [name for name, weight in self._weights().items() if weight]

    def get_list_adapters(self) -> dict[str, list[str]]:
        """Return the names of the loaded adapters by component."""
        return {"unet": list(self.system.adapters)} if self.system.adapters else {}

    def delete_adapters(self, adapter_names: str | Sequence[str]) -> None:
        """Remove adapters.

        Args:
            adapter_names: Their names.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        for name in names:
            self.system.unload_adapter(name)

    def disable_lora(self) -> None:
        """Compute with the base model until `enable_lora`."""
        if self._disabled is None:
            self._switch_off()

    def enable_lora(self) -> None:
        """Use the adapters again that `disable_lora` switched off, with their weights."""
        if self._disabled is not None:
            weights = self._weights()
            self._disabled = None
            self.system.set_adapters(list(weights), list(weights.values()))

    def _weights(self) -> dict[str, float]:
        """Return the weights of the loaded adapters as if they were enabled."""
        disabled = self._disabled or {}
        adapters = self.system.adapters
        return {name: disabled.get(name, each.weight) for name, each in adapters.items()}

    def _switch_off(self) -> None:
        """Remember the weights, and set all to 0."""
        self._disabled = {name: each.weight for name, each in self.system.adapters.items()}
        self.system.set_adapters([])

    def fuse_lora(
        self,
        components: Sequence[str] = ("unet",),
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: Sequence[str] | None = None,
    ) -> None:
        """Make adapters a part of the weights: `unload_lora_weights` leaves them.

        Args:
            components: Accepted; all components of an adapter are fused.
            lora_scale: Factor of the weights of the adapters.
            safe_fusing: Accepted; a file with values that are not finite is never loaded.
            adapter_names: Adapters; None: those in use.
        """
        names = self.get_active_adapters() if adapter_names is None else list(adapter_names)
        unknown = set(names) - set(self.system.adapters)
        if unknown:
            raise UsageError(f"there is no adapter {sorted(unknown)[0]!r}; load it first")
        weights = [lora_scale * (self.system.adapters[name].weight or 1.0) for name in names]
        self.system.set_adapters(names, weights)
        self._fused = frozenset(names)

    def unfuse_lora(self, components: Sequence[str] = ("unet",), **_: Any) -> None:
        """Undo `fuse_lora`.

        Args:
            components: Accepted; all components of an adapter are changed.
        """
        self._fused = frozenset()

    def unload_lora_weights(self) -> None:
        """Remove all adapters but those that are fused."""
        for name in list(self.system.adapters):
            if name not in self._fused:
                self.system.unload_adapter(name)
