"""Adapters: low-rank updates of a model's components, and their merge into the weights.

An adapter is merged before the weights are packed for a CPU, so it costs no time in sampling, and
peft is not needed. Updates of several adapters are all made from the base weights and added in one
fixed order. The result depends neither on the order of loading nor on adapters of weight 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config.adapters import ALL_NOISE_LEVELS, AdapterUse
from ..errors import WeightsError
from ..models.low_rank import LowRankUpdate, is_stored_transposed
from .component_spec import Role
from .components import COMPONENTS

ADAPTABLE = ("unet", "translator", "latent_prior")
"""Components that an adapter can change."""
_HASHED_VALUES = 1024
"""Values of each weight that the hash of a base model has, evenly spaced."""
_DENOISE: Role = "denoise"

Updates = Mapping[str, Mapping[str, LowRankUpdate]]
"""Component -> name of a weight -> its update."""


@dataclass(frozen=True)
class AdapterCard:
    """What an adapter's file says of its training.

    Attributes:
        method: "lora" or "dora".
        rank: Rank of the updates.
        alpha: LoRA's alpha in training. The file has the factor alpha / rank in its matrices.
        include: Patterns of the layers that were trained.
        exclude: Patterns of the layers that were left out of them.
        base_name: Model that was trained.
        base_hash: Hash of the weights that the adapter changes; "" if it is not known.
        trigger: Word that the captions of the training began with.
        captions_hash: Digest of those captions.
        num_clips: Number of clips that were trained on.
        steps: Steps of the training.
    """

    method: str = "lora"
    rank: int = 0
    alpha: float = 0.0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    base_name: str = ""
    base_hash: str = ""
    trigger: str = ""
    captions_hash: str = ""
    num_clips: int = 0
    steps: int = 0


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory.

    Attributes:
        path: The file or folder, as the user named it.
        updates: Its updates.
        card: What its file says of its training.
        sha256: Hash of its file.
    """

    path: str
    updates: Updates
    card: AdapterCard = field(default_factory=AdapterCard)
    sha256: str = ""


@dataclass(frozen=True)
class ActiveAdapter:
    """An adapter that a model uses.

    Attributes:
        name: Its name in the model.
        adapter: The adapter.
        weight: Strength: 0 is the base model.
        noise_levels: Lowest and highest noise level t / 1000 at which it changes a denoiser. Other
            components run before the sampling, so it always changes them.
    """

    name: str
    adapter: Adapter
    weight: float = 1.0
    noise_levels: tuple[float, float] = ALL_NOISE_LEVELS

    @property
    def use(self) -> AdapterUse:
        """The adapter as a tag of a file has it."""
        adapter = self.adapter
        return AdapterUse(adapter.path, self.weight, self.noise_levels, adapter.sha256)

    def is_on(self, component: str, noise_level: float | None) -> bool:
        """Return whether it changes a component.

        Args:
            component: The component.
            noise_level: Noise level of the sampling; None: of all levels.
        """
        if not self.weight or updated_component(component) not in self.adapter.updates:
            return False
        if noise_level is None or COMPONENTS[component].role != _DENOISE:
            return True
        low, high = self.noise_levels
        return low <= noise_level <= high


def updated_component(component: str) -> str:
    """Return the component whose updates another one takes: the distilled UNet those of the UNet.

    Args:
        component: A component.
    """
    return "unet" if component == "distilled_unet" else component


def active_at(
    adapters: Sequence[ActiveAdapter], component: str, noise_level: float | None
) -> tuple[int, ...]:
    """Return the positions of the adapters that change a component.

    Args:
        adapters: Adapters of a model.
        component: The component.
        noise_level: Noise level of the sampling; None: of all levels.
    """
    return tuple(index for index, each in enumerate(adapters) if each.is_on(component, noise_level))


@torch.no_grad()
def merge_adapters(
    module: nn.Module, component: str, adapters: Iterable[ActiveAdapter]
) -> dict[str, Tensor]:
    """Change the weights of a component, in place of the module's own.

    Args:
        module: The component with the weights of the base model.
        component: Its name.
        adapters: Adapters to merge.

    Returns:
        The weights that were replaced, by name.
    """
    updates: dict[str, list[tuple[float, LowRankUpdate]]] = {}
    # one order of the sum, whatever the order of loading
    for active in sorted(adapters, key=lambda each: (each.adapter.sha256, each.weight)):
        own = active.adapter.updates.get(updated_component(component), {})
        for name, update in own.items():
            updates.setdefault(name, []).append((active.weight, update))
    replaced = {}
    for name, changes in updates.items():
        layer = module.get_submodule(name.rpartition(".")[0])
        parameter = module.get_parameter(name)
        replaced[name] = parameter.data
        base = parameter.data.float()
        base = base.T if is_stored_transposed(layer) else base
        total = base
        for weight, update in changes:
            total = total + weight * update.delta(base)
        total = total.T if is_stored_transposed(layer) else total
        parameter.data = total.to(parameter.dtype).contiguous()
    return replaced


def hash_base(modules: Mapping[str, nn.Module], names: Mapping[str, Iterable[str]]) -> str:
    """Return a hash of the weights that an adapter changes.

    It has evenly spaced values of each weight in half precision, so that a copy of the model in
    float16 has the same hash.

    Args:
        modules: Components with the weights of the base model.
        names: Component -> names of the weights.
    """
    digest = hashlib.blake2b(digest_size=16)
    for component in sorted(names):
        for name in sorted(names[component]):
            values = modules[component].get_parameter(name).detach().flatten()
            step = max(1, len(values) // _HASHED_VALUES)
            sample = values[::step].cpu().to(torch.float16).contiguous()
            digest.update(f"{component}.{name} {len(values)} ".encode())
            digest.update(sample.numpy().tobytes())
    return digest.hexdigest()


def check_base(adapter: Adapter, modules: Mapping[str, nn.Module], model_name: str) -> None:
    """Check that an adapter was trained on these weights; one without a hash is accepted.

    Args:
        adapter: The adapter.
        modules: The components that it changes, with the weights of the base model.
        model_name: Name of the model, for the message.

    Raises:
        WeightsError: It was trained on another model.
    """
    card = adapter.card
    if not card.base_hash:
        return
    if hash_base(modules, adapter.updates) != card.base_hash:
        base_name = card.base_name or "another model"
        raise WeightsError(
            f"{adapter.path} was trained on other weights of {base_name} than those of "
            f"{model_name}; load the model that it was trained on"
        )


def captions_hash(captions: Iterable[str]) -> str:
    """Return a digest of captions, which does not depend on their order.

    Args:
        captions: The captions.
    """
    digest = hashlib.blake2b(digest_size=16)
    for caption in sorted(captions):
        digest.update(caption.encode() + b"\0")
    return digest.hexdigest()


def adapter_name(path: str, used: Container[str] = ()) -> str:
    """Return the default name of an adapter: that of its folder, or of its file.

    Args:
        path: File or folder.
        used: Names of other adapters; a number makes this one differ.
    """
    place = Path(path)
    if place.name == "adapter.safetensors":
        place = place.absolute().parent
    stem = place.stem if place.suffix == ".safetensors" else place.name or path
    name = stem
    number = 1
    while name in used:
        number += 1
        name = f"{stem}_{number}"
    return name
