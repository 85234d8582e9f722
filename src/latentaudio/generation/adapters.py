"""Adapters of a loaded model: loaded, weighted, switched off and unloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.adapters import ALL_NOISE_LEVELS, AdapterUse, check_weight
from ..errors import UsageError, WeightsError
from ..loaders.adapter_files import read_adapter
from ..loaders.adapters import ActiveAdapter, Adapter, adapter_name
from ..loaders.adapters import check_base as check_base_hash
from ..loaders.component_store import ComponentStore
from ..loaders.layouts import ModelSource

if TYPE_CHECKING:
    from torch import nn


class AdapterMethods:
    """The methods of a model that concern adapters. A mixin of `generation.system.System`.

    Adapters are merged into the weights before the first step, so they cost no time in sampling.
    """

    source: ModelSource
    components: ComponentStore

    @property
    def adapters(self) -> Mapping[str, ActiveAdapter]:
        """The loaded adapters by name, those of weight 0 included."""
        return {each.name: each for each in self.source.adapters}

    def load_adapter(
        self,
        path: str | Path,
        weight: float = 1.0,
        *,
        name: str | None = None,
        noise_levels: tuple[float, float] = ALL_NOISE_LEVELS,
        check_base: bool = True,
        sha256: str = "",
    ) -> str:
        """Load an adapter (LoRA or DoRA) on top of those that are loaded already.

        Args:
            path: Folder of a `latentaudio finetune`, or a .safetensors file of latentaudio,
                diffusers or peft.
            weight: Strength: 0 is the base model, 1 the adapter as it was trained.
            name: Name by which to change it. None: that of the folder or file.
            noise_levels: Lowest and highest noise level at which it changes the UNet. The level is
                t / 1000: 1 is pure noise, where a clip begins; 0 is the finished latent.
            check_base: Whether the adapter must have been trained on these weights.
            sha256: Hash that its file must have; "" accepts any.

        Returns:
            The adapter's name.

        Raises:
            UsageError: The name is taken, a number is out of its range, or the model's backend
                runs no adapters.
            WeightsError: The file is missing, damaged, or of another model.
        """
        self.components.check_adaptable()
        low, high = noise_levels
        use = AdapterUse(str(path), float(weight), (low, high), sha256)
        chosen_name = name or adapter_name(use.path, self.adapters)
        if chosen_name in self.adapters:
            raise UsageError(
                f"there is an adapter {chosen_name!r} already; unload it, or give another name="
            )
        adapter = read_adapter(use.path, self.source.config)
        if sha256 and adapter.sha256 != sha256:
            raise WeightsError(
                f"{use.path} is another file than the adapter that is needed; "
                f"restore the one whose SHA-256 begins with {sha256[:12]}"
            )
        if check_base:
            self._check_base_of(adapter)
        active = ActiveAdapter(chosen_name, adapter, use.weight, use.noise_levels)
        self._use_adapters((*self.source.adapters, active))
        return chosen_name

    def set_adapters(
        self, names: str | Sequence[str], weights: float | Sequence[float] | None = None
    ) -> None:
        """Use these adapters with these weights; all others are switched off.

        Args:
            names: Names of loaded adapters; an empty list switches all off.
            weights: A weight for all, or one for each. None: 1.

        Raises:
            UsageError: A name is unknown, or the numbers of names and weights differ.
        """
        chosen = [names] if isinstance(names, str) else list(names)
        if weights is None:
            weights = 1.0
        if isinstance(weights, int | float):
            weights = [weights] * len(chosen)
        if len(weights) != len(chosen):
            raise UsageError(
                f"{len(chosen)} adapters and {len(weights)} weights; give one weight for each"
            )
        by_name = dict(zip(chosen, weights, strict=True))
        for name, weight in by_name.items():
            self._check_loaded(name)
            check_weight(name, float(weight))
        self._use_adapters(
            tuple(
                replace(each, weight=float(by_name.get(each.name, 0.0)))
                for each in self.source.adapters
            )
        )

    def unload_adapter(self, name: str | None = None) -> None:
        """Remove an adapter; the model is then as if it had never been loaded.

        Args:
            name: Its name. None: all adapters.

        Raises:
            UsageError: No adapter of this name is loaded.
        """
        if name is None:
            self._use_adapters(())
            return
        self._check_loaded(name)
        self._use_adapters(tuple(each for each in self.source.adapters if each.name != name))

    def _check_loaded(self, name: str) -> None:
        if name not in self.adapters:
            loaded = ", ".join(self.adapters) or "none"
            raise UsageError(f"there is no adapter {name!r}; loaded adapters: {loaded}")

    def _check_base_of(self, adapter: Adapter) -> None:
        modules: dict[str, nn.Module] = {}
        for component in adapter.updates:
            modules[component] = self.source.load_base_component(component)
        check_base_hash(adapter, modules, self.source.name)

    def _use_adapters(self, adapters: tuple[ActiveAdapter, ...]) -> None:
        self.components.set_adapters(adapters)
        self.source = self.components.source
