"""Adapters in training: peft's layers put into a component, and their updates taken out again.

Only the layers of peft learn. `loaders.adapters` merges the result without peft.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from ..config.extras import install_command
from ..errors import ConfigError, UsageError
from ..loaders.adapters import ADAPTABLE, AdapterCard, Updates, hash_base
from ..models.low_rank import LowRankUpdate, is_stored_transposed, reads_own_weights
from .adapter_options import AdapterOptions

_NAME = "default"
"""Name of the adapter inside of peft's layers."""
_MAX_SHOWN = 5


def add_adapter(module: nn.Module, component: str, options: AdapterOptions) -> None:
    """Freeze a component and put trainable low-rank updates beside its layers.

    Args:
        module: The component with its weights; it is changed.
        component: Its name.
        options: Kind, rank and layers of the updates.

    Raises:
        ConfigError: The component cannot have an adapter, or no layer matches the patterns.
        UsageError: peft is not installed.
    """
    if component not in ADAPTABLE:
        raise ConfigError(
            f"adapter: {component} cannot have an adapter; only {', '.join(ADAPTABLE)} can, so "
            "remove the section adapter, or choose another stage"
        )
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UsageError(f"adapters need peft; run {install_command('train')}") from None
    layers = list(_layers(module))
    chosen = [name for name in layers if _is_chosen(f"{component}.{name}", options)]
    module.requires_grad_(False)
    if not chosen:
        return
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.scale * options.rank,
        target_modules="|".join(re.escape(name) for name in chosen),
        use_dora=options.method == "dora",
        lora_dropout=0.0,
        bias="none",
    )
    own_classes = _hide_subclasses(module, chosen)
    with warnings.catch_warnings():
        # peft says that it sees which of GPT-2's matrices are transposed
        warnings.filterwarnings("ignore", "fan_in_fan_out")
        inject_adapter_in_model(config, module, _NAME)
    for name, own_class in own_classes.items():
        layer: Any = module.get_submodule(name)
        layer.base_layer.__class__ = own_class
        layer.lora_A[_NAME].__class__ = own_class  # it has the kernel of the base layer
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(".lora_" in name)


def _hide_subclasses(module: nn.Module, names: Iterable[str]) -> dict[str, type[nn.Module]]:
    """Make plain convolutions of those that are a subclass, for peft builds layers of its class.

    Returns:
        The classes by name of the layer.
    """
    own_classes: dict[str, type[nn.Module]] = {}
    for name in names:
        layer = module.get_submodule(name)
        for plain in (nn.Conv2d, nn.Conv1d):
            if isinstance(layer, plain) and type(layer) is not plain:
                own_classes[name] = type(layer)
                layer.__class__ = plain
    return own_classes


def check_has_layers(modules: Mapping[str, nn.Module], options: AdapterOptions) -> None:
    """Raise ConfigError if no layer of the components matches the patterns.

    Args:
        modules: Components in training, with their adapters.
        options: Kind, rank and layers of the updates.
    """
    if any(parameter.requires_grad for m in modules.values() for parameter in m.parameters()):
        return
    examples = []
    for component, module in modules.items():
        examples += [f"{component}.{name}" for name in _layers(module)]
    raise ConfigError(
        f"adapter: include {list(options.include)} and exclude {list(options.exclude)} leave no "
        f"layer; layers are {', '.join(examples[:: max(1, len(examples) // _MAX_SHOWN)])}"
    )


def adapter_updates(modules: Mapping[str, nn.Module], scale: float) -> Updates:
    """Return the updates that components have learned.

    Args:
        modules: Components with peft's layers, by name.
        scale: Factor of the updates.
    """
    updates: dict[str, dict[str, LowRankUpdate]] = {}
    for component, module in modules.items():
        state = {name: value.detach().clone() for name, value in module.state_dict().items()}
        for name, down in state.items():
            layer, separator, _ = name.partition(f".lora_A.{_NAME}.weight")
            if separator:
                updates.setdefault(component, {})[f"{layer}.weight"] = LowRankUpdate(
                    down, state[f"{layer}.lora_B.{_NAME}.weight"].flatten(1), scale,
                    _magnitude(state, layer),
                )  # fmt: skip
    return updates


def _magnitude(state: Mapping[str, Tensor], layer: str) -> Tensor | None:
    value = state.get(f"{layer}.lora_magnitude_vector.{_NAME}.weight")
    return None if value is None else value.flatten()


@contextmanager
def without_adapters(modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Switch the updates of components off inside a block.

    Args:
        modules: Components with peft's layers, by name.
    """
    layers: list[Any] = []
    for module in modules.values():
        layers += [layer for layer in module.modules() if hasattr(layer, "lora_A")]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def adapter_card(
    modules: Mapping[str, nn.Module],
    updates: Updates,
    options: AdapterOptions,
    base_name: str,
) -> AdapterCard:
    """Return what the file of an adapter says of its training.

    Args:
        modules: Components with peft's layers, by name.
        updates: Result of `adapter_updates`.
        options: Kind, rank and layers of the updates.
        base_name: Name of the model.
    """
    return AdapterCard(
        method=options.method,
        rank=options.rank,
        alpha=options.scale * options.rank,
        include=options.include,
        exclude=options.exclude,
        base_name=base_name,
        base_hash=hash_base(modules, updates),
        trigger=options.trigger,
    )


def _layers(module: nn.Module) -> Iterable[str]:
    """Names of the layers that can have an update."""
    for parent_name, parent in module.named_modules():
        if reads_own_weights(parent):
            continue
        for name, layer in parent.named_children():
            is_matrix = isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv1d)
            if is_matrix or is_stored_transposed(layer):
                yield f"{parent_name}.{name}" if parent_name else name


def _is_chosen(name: str, options: AdapterOptions) -> bool:
    is_included = any(fnmatchcase(name, pattern) for pattern in options.include)
    return is_included and not any(fnmatchcase(name, pattern) for pattern in options.exclude)
