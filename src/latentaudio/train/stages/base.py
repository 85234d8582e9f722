"""Stages as data: what each learns, from which batches, by which losses. The loop is elsewhere (`train.loop`).

Knows the contract and the table of stages. Refuses to know steps, optimisers and files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Generator, Tensor, nn

from ...config.architecture import ModelConfig
from ...errors import ConfigError
from ...loaders.model_folder import build, load_part
from ..recipe import Recipe

Batch: TypeAlias = Any
Losses: TypeAlias = dict[str, Tensor]
Prepared: TypeAlias = Callable[[int, int], None]
"""Called with (done, of how many) while clips are encoded and, where a stage needs it, while captions are translated."""


@dataclass
class Preview:
    """What a stage shows of itself: pictures (name -> log-mel [T, F]) and sounds (name -> samples [T]) at `rate` Hz."""

    pictures: dict[str, Tensor] = field(default_factory=dict)
    sounds: dict[str, Tensor] = field(default_factory=dict)
    rate: int = 16000


class StageOptions(BaseModel):
    """Base of a stage's own settings; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(ABC):
    """One thing to learn.

    players: modules by name, each with its own optimiser, updated in order within a step. weights: factor of each named loss
    in the sum. parts: model part -> player, or "player.submodule", whose averaged weights become that part in the run's folder.
    """

    Options: ClassVar[type[StageOptions]] = StageOptions
    parts: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        recipe: Recipe,
        config: ModelConfig,
        data: tuple[Path, ...],
        model: Path,
        prepared: Prepared | None = None,
    ) -> None:
        self.recipe, self.config, self.data, self.model, self.prepared = (
            recipe,
            config,
            data,
            model,
            prepared,
        )
        try:
            self.options: Any = self.Options.model_validate(recipe.options)
        except ValidationError as problem:
            first = problem.errors()[0]
            raise ConfigError(
                f"options.{'.'.join(map(str, first['loc']))} of stage {recipe.stage}: {first['msg']}"
            ) from None
        self.weights: dict[str, float] = {}
        self.players: dict[str, nn.Module] = {}
        self.frozen: dict[str, nn.Module] = {}
        self.setup()

    def given(self, part: str) -> nn.Module:
        """A part of the run's model folder, frozen."""
        module = load_part(self.model, part, self.config).requires_grad_(False)
        self.frozen[part] = module
        return module

    def learnt(self, part: str) -> nn.Module:
        """The part to train: what the run's model folder already holds (fine-tuning), or freshly initialised."""
        there = (self.model / f"{part}.safetensors").is_file()
        return load_part(self.model, part, self.config) if there else build(part, self.config)

    @abstractmethod
    def setup(self) -> None:
        """Read the manifest, make the players."""

    @abstractmethod
    def batch(self, position: int) -> Batch:
        """The batch at `position` among the run's micro-batches, a pure function of it and the recipe's seed (CPU tensors)."""

    @abstractmethod
    def losses(self, batch: Batch, player: str, dice: Generator) -> Losses:
        """Named losses of one player on a batch that lies on the device; all randomness comes from `dice` (CPU)."""

    def preview(self) -> Preview:
        """Something to look at and listen to; called without gradients, with averaged weights in place."""
        return Preview()

    def finish(self, model: Path) -> None:  # noqa: B027 - most stages have nothing to add
        """Anything to store beside the parts once they are written (statistics, tables)."""


STAGES: dict[str, str] = {
    "text": "text:TextStage",
    "vae": "vae:VAEStage",
    "vocoder": "vocoder:VocoderStage",
    "clap": "clap:CLAPStage",
    "audiomae": "audiomae:AudioMAEStage",
    "translator": "translator:TranslatorStage",
    "draft": "draft:DraftStage",
    "diffusion": "diffusion:DiffusionStage",
    "joint": "diffusion:JointStage",
    "student": "student:StudentStage",
}


def make_stage(
    recipe: Recipe,
    config: ModelConfig,
    data: tuple[Path, ...],
    model: Path,
    prepared: Prepared | None = None,
) -> Stage:
    """The stage a recipe names, ready to train."""
    module, name = STAGES[recipe.stage].split(":")
    stage: Stage = getattr(import_module(f".{module}", __name__), name)(
        recipe, config, data, model, prepared
    )
    return stage
