"""Modules in training, with their optimizers and averaged weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..loaders.key_mapping import current_key
from ..models.checkpointing import checkpoint_activations
from .optim import Ema, build_optimizer
from .recipe import Recipe
from .sharding import distribute_like, distribute_states, full_tensors
from .stages.base import Stage


def enable_gradients_of(active: str, parameters: Mapping[str, Iterable[nn.Parameter]]) -> None:
    """Let gradients reach one trainable only: a generator must not change its discriminator.

    Args:
        active: Name of the trainable.
        parameters: Parameters that are trained, by the name of their trainable.
    """
    for name, members in parameters.items():
        for parameter in members:
            parameter.requires_grad_(name == active)


@dataclass
class Trainable:
    """One module in training.

    Attributes:
        module: The module.
        optimizer: Optimizer of its trainable parameters.
        ema: Averaged weights.
        parameters: Parameters that are trained, without those that the stage froze.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema
    parameters: list[nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]

    def learned_state(self) -> dict[str, Tensor]:
        """Return the module's buffers and the parameters that are trained, by name."""
        trained = {id(parameter) for parameter in self.parameters}
        state = {}
        for name, value in self.module.state_dict(keep_vars=True).items():
            if not isinstance(value, nn.Parameter) or id(value) in trained:
                state[name] = value.detach()
        return state

    def state_dict(self) -> dict[str, Any]:
        """Return all state that an exact resume needs. Frozen parameters are not in it."""
        state: dict[str, Any] = full_tensors(
            {
                "module": self.learned_state(),
                "optimizer": self.optimizer.state_dict(),
                "ema": self.ema.shadow,
            }
        )
        return state

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restore a saved state.

        Args:
            state: Result of `state_dict`. That of version 0.1 also has frozen parameters and older
                names of tensors.
            device: Device of the averaged weights.

        Raises:
            ValueError: A parameter is missing, or there is one too many.
        """
        own = self.module.state_dict()
        weights = {}
        for old_name, value in state["module"].items():
            name = current_key(old_name)
            weights[name] = distribute_like(value, own.get(name))
        result = self.module.load_state_dict(weights, strict=False)
        missing = set(result.missing_keys) & self.learned_state().keys()
        if missing or result.unexpected_keys:
            names = sorted({*missing, *result.unexpected_keys})
            raise ValueError(f"its tensors are not those of the module: {names[0]}")
        self.optimizer.load_state_dict(distribute_states(state["optimizer"], self.optimizer))
        shadow = {}
        for old_name, value in state["ema"].items():
            name = current_key(old_name)
            shadow[name] = distribute_like(value.to(device), self.ema.shadow.get(name))
        self.ema.shadow = shadow


def build_trainables(stage: Stage, recipe: Recipe) -> dict[str, Trainable]:
    """Return the modules of a stage with fresh optimizers, in training mode.

    Args:
        stage: The stage, on its device.
        recipe: Recipe of the run.

    Raises:
        ConfigError: There is nothing to checkpoint.
    """
    trainables = {}
    if recipe.activation_checkpointing:
        counts = [checkpoint_activations(module) for module in stage.trainables.values()]
        if not any(counts):
            raise ConfigError(
                f"activation_checkpointing has no effect in the stage {recipe.stage}, whose "
                "networks have no blocks that can run again; set it to false"
            )
    for name, module in stage.trainables.items():
        if recipe.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = build_optimizer(module, recipe.optim)
        trainables[name] = Trainable(module.train(), optimizer, Ema(module, recipe.ema_decay))
    return trainables


@contextmanager
def averaged_weights(trainables: Mapping[str, Trainable]) -> Iterator[None]:
    """Run a block with averaged weights, in evaluation mode and without gradients.

    The raw weights and the training mode are restored after it.

    Args:
        trainables: Modules in training by name.
    """
    raw_weights: list[tuple[nn.Parameter, Tensor]] = []
    with torch.no_grad():
        for trainable in trainables.values():
            for name, parameter in trainable.module.named_parameters():
                if name in trainable.ema.shadow:
                    raw_weights.append((parameter, parameter.detach().clone()))
                    parameter.copy_(trainable.ema.shadow[name])
            trainable.module.eval()
        try:
            yield
        finally:
            for parameter, raw in raw_weights:
                parameter.copy_(raw)
            for trainable in trainables.values():
                trainable.module.train()
