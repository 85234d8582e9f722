"""The interface of a stage, and the table of stages.

A stage declares what is trained, on which batches and with which losses. The loop does the rest:
steps, optimizers, checkpoints and logs (`train.loop`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from pydantic import ValidationError
from torch import Generator, Tensor, nn

from ...config.architecture import ModelConfig
from ...data.dataset import batch_indices
from ...data.manifest import Clip, DataSources, read_manifest
from ...errors import ConfigError
from ...loaders.adapter_files import ADAPTER_FILE, write_adapter
from ...loaders.adapters import AdapterCard, captions_hash
from ...loaders.components import build_component
from ...loaders.model_folder import load_component
from ..adapters import (
    adapter_card,
    adapter_updates,
    add_adapter,
    check_has_layers,
    without_adapters,
)
from ..held_out import HeldOut
from ..recipe import Recipe, RecipeSection, StageName, first_problem

Batch: TypeAlias = Any
"""A tensor, or a dict, list or tuple of tensors. The loop moves it to the device."""
Losses: TypeAlias = dict[str, Tensor]
PrepareProgress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total) while clips are pre-encoded and while captions are translated."""


@dataclass
class Preview:
    """Images, audio and texts that show the state of a training.

    Attributes:
        images: Log-mel spectrograms [T, F] by name.
        audio: Samples [T] by name.
        sample_rate: Sample rate of the audio in Hz.
        maps: Other pictures [H, W] by name, with any values: the least is black, the largest white.
        texts: Texts by name.
        numbers: Numbers by name, for `validation.jsonl`.
    """

    images: dict[str, Tensor] = field(default_factory=dict)
    audio: dict[str, Tensor] = field(default_factory=dict)
    sample_rate: int = 16000
    maps: dict[str, Tensor] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


class StageOptions(RecipeSection):
    """Base of the options of a stage. An unknown key is an error, and so are nan and inf."""


class Stage(ABC):
    """One thing to train.

    Attributes:
        Options: Class of the stage's options.
        components: Component of a model -> trainable, or "trainable.submodule", whose averaged
            weights are saved as that component.
        options: Options from the recipe.
        trainables: Modules by name. Each has its own optimizer; they are updated in this order.
        frozen: Modules that are only used. The loop moves them to the device.
        adapted: Components whose adapter is trained.
        step: Number of the step that is trained, from 0. The loop sets it.
        loss_weights: Factor of each named loss in the sum; 1 for those that are missing.
        unused_settings: Settings of a recipe that do nothing in this stage, with what to set
            instead.
        memory_settings: Settings that decide how much memory a step needs.
        can_be_sharded: Whether every trainable is used by calling it, which `sharding: full` needs.
        clips: Clips that batches are made of.
        held_out: Which clips are not trained on.
        is_validating: Whether batches are made of held-out clips at present.
    """

    Options: ClassVar[type[StageOptions]] = StageOptions
    components: Mapping[str, str] = {}
    unused_settings: ClassVar[dict[str, str]] = {}
    memory_settings: ClassVar[tuple[str, ...]] = ("batch_size",)
    can_be_sharded: ClassVar[bool] = False

    def __init__(
        self,
        recipe: Recipe,
        config: ModelConfig,
        data: DataSources,
        model_folder: Path,
        on_prepare: PrepareProgress | None = None,
    ) -> None:
        """Check the options and set up the stage.

        Args:
            recipe: Recipe of the run.
            config: Architecture of the model.
            data: Folders of captioned audio.
            model_folder: Folder of the run's model, with the components to build on.
            on_prepare: Called while data is prepared.

        Raises:
            ConfigError: An option is unknown or not allowed.
        """
        self.recipe = recipe
        self.config = config
        self.data = data
        self.model_folder = model_folder
        self.on_prepare = on_prepare
        try:
            self.options: Any = self.Options.model_validate(recipe.options)
        except ValidationError as error:
            problem = first_problem(error, self.Options)
            raise ConfigError(f"options of stage {recipe.stage}: options.{problem}") from None
        self.step = 0
        self.loss_weights: dict[str, float] = {}
        self.trainables: dict[str, nn.Module] = {}
        self.frozen: dict[str, nn.Module] = {}
        self.adapted: dict[str, nn.Module] = {}
        self.clips: Sequence[Clip] = ()
        self.held_out = HeldOut(recipe.validation, model_folder.parent)
        self.held_out_clips: Sequence[Clip] = ()
        self.is_validating = False
        self.setup()
        if recipe.adapter is not None:
            check_has_layers(self.adapted, recipe.adapter)

    def read_clips(self) -> None:
        """Set `clips` to those of the data folders, without those that are held out."""
        self.clips, self.held_out_clips = self.held_out.split(read_manifest(*self.data))

    @contextmanager
    def held_out_data(self) -> Iterator[None]:
        """Make batches of held-out clips inside the block, if the recipe holds out any."""
        clips = self.clips
        self.clips = self.held_out_clips or clips
        self.is_validating = True
        try:
            yield
        finally:
            self.clips = clips
            self.is_validating = False

    def clip_names(self, position: int) -> tuple[str, ...]:
        """Return the files of a micro-batch, for messages; empty if there are none.

        Args:
            position: Number of the micro-batch in the run.
        """
        if not self.clips:
            return ()
        recipe = self.recipe
        indices = batch_indices(len(self.clips), recipe.batch_size, recipe.seed, position)
        return tuple(str(self.clips[index].path) for index in indices)

    def total_loss(self, losses: Losses) -> Tensor:
        """Return the weighted sum of losses, whose gradients train.

        Args:
            losses: Losses by name.
        """
        total = torch.zeros((), device=next(iter(losses.values())).device)
        for name, loss in losses.items():
            total = total + self.loss_weights.get(name, 1.0) * loss
        return total

    def weighted(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return losses times their weights; other numbers of the log are left out.

        Args:
            losses: Numbers of the log by name.
        """
        weighted = {}
        for name, value in losses.items():
            if not name.endswith("/grad_norm"):
                weighted[name] = self.loss_weights.get(name, 1.0) * value
        return weighted

    def load_frozen(self, component: str) -> nn.Module:
        """Return a component of the model folder that is not trained.

        Args:
            component: Name of the component.
        """
        module = load_component(self.model_folder, component, self.config).requires_grad_(False)
        self.frozen[component] = module
        return module

    def load_trainable(self, component: str) -> nn.Module:
        """Return a component to train, with its weights from the model folder if it has them.

        Args:
            component: Name of the component.
        """
        adapter = self.recipe.adapter
        if adapter is None:
            if self.has_component(component):
                return load_component(self.model_folder, component, self.config)
            return build_component(component, self.config)
        if not self.has_component(component):
            raise ConfigError(
                f"adapter: there is no trained {component} to adapt; name one with --init-from"
            )
        module = load_component(self.model_folder, component, self.config)
        add_adapter(module, component, adapter)
        self.adapted[component] = module
        self.components = {}  # the adapter alone is written
        return module

    def has_component(self, component: str) -> bool:
        """Return whether the model folder has weights of a component.

        Args:
            component: Name of the component.
        """
        return (self.model_folder / f"{component}.safetensors").is_file()

    @abstractmethod
    def setup(self) -> None:
        """Read the data and build the trainables."""

    @abstractmethod
    def batch(self, position: int) -> Batch:
        """Return a batch of CPU tensors, a pure function of the position and the recipe's seed.

        Args:
            position: Number of the micro-batch in the run.
        """

    @abstractmethod
    def losses(self, batch: Batch, trainable: str, generator: Generator) -> Losses:
        """Return the losses of one trainable for one micro-batch.

        Args:
            batch: Batch on the device.
            trainable: Name of the trainable that is updated.
            generator: Source of all randomness, on the CPU.

        Returns:
            Scalars by name. The loop logs each, and minimizes their sum, weighted by
            `loss_weights`.
        """

    def preview_variants(self) -> dict[str, AbstractContextManager[None]]:
        """Return what a preview is made under, by the ending of its files.

        With an adapter there is a second preview without it, of the same seed.
        """
        variants: dict[str, AbstractContextManager[None]] = {"": nullcontext()}
        if self.adapted:
            variants["without_adapter"] = without_adapters(self.adapted)
        return variants

    def preview(self) -> Preview:
        """Return images and audio, with averaged weights in place and without gradients."""
        return Preview()

    def vocode(self, name: str, mels: Tensor) -> dict[str, Tensor]:
        """Return sounds of log-mels for a preview; none if the model has no vocoder.

        Args:
            name: Beginning of the names of the sounds.
            mels: Log-mels [B, 1, T, F] on the CPU.
        """
        if not self.has_component("vocoder"):
            return {}
        vocoder = self.load_frozen("vocoder")
        sounds = vocoder(mels)[:, 0].float()
        return {f"{name}_{index}": samples for index, samples in enumerate(sounds)}

    def losses_by_timestep(self) -> dict[str, float]:
        """Return losses at fixed timesteps with fixed noise, if the stage has timesteps."""
        return {}

    def on_export(self, model_folder: Path) -> None:
        """Store what belongs to the components but is no weight, for example statistics.

        Here it is the adapter, if the recipe trains one.

        Args:
            model_folder: Folder of the run's model, with the components of this stage.
        """
        options = self.recipe.adapter
        if options is None:
            return
        updates = adapter_updates(self.adapted, options.scale)
        card = adapter_card(self.adapted, updates, options, self.recipe.model)
        card = self.complete_card(card)
        write_adapter(model_folder.parent / ADAPTER_FILE, updates, card, self.config)

    def complete_card(self, card: AdapterCard) -> AdapterCard:
        """Return what an adapter's file says of its training, with the captions of the data.

        Args:
            card: The card without them.
        """
        captions = [caption for clip in read_manifest(*self.data) for caption in clip.captions]
        return replace(card, captions_hash=captions_hash(captions), steps=self.recipe.steps)


def clips_in(batch: Batch) -> int:
    """Return the number of clips of a batch: the length of its first tensor.

    Args:
        batch: Batch of a stage.
    """
    if isinstance(batch, Tensor):
        return len(batch)
    values = list(batch.values() if isinstance(batch, dict) else batch)
    if isinstance(values[0], dict):  # parts of a batch
        return sum(clips_in(part) for part in values)
    return clips_in(values[0])


STAGES: dict[StageName, str] = {
    "text": "text:TextStage",
    "vae": "vae:VAEStage",
    "vocoder": "vocoder:VocoderStage",
    "clap": "clap:CLAPStage",
    "audiomae": "audiomae:AudioMAEStage",
    "translator": "translator:TranslatorStage",
    "latent_prior": "latent_prior:LatentPriorStage",
    "diffusion": "diffusion:DiffusionStage",
    "joint": "joint:JointStage",
    "finetune": "finetune:FinetuneStage",
    "distillation": "distillation:DistillationStage",
}
"""Stage -> "module:class" in this package, imported when a recipe names the stage."""


def stage_class(name: StageName) -> type[Stage]:
    """Return the class of a stage.

    Args:
        name: Name in `STAGES`.
    """
    module_name, class_name = STAGES[name].split(":")
    module = import_module(f".{module_name}", __package__)
    stage: type[Stage] = getattr(module, class_name)
    return stage


def unused_settings(recipe: Recipe) -> dict[str, str]:
    """Return settings that a recipe states and its stage ignores, with what to set instead.

    Args:
        recipe: Recipe of the run.
    """
    stated = recipe.model_fields_set
    unused = stage_class(recipe.stage).unused_settings
    return {name: instead for name, instead in unused.items() if name in stated}


def build_stage(
    recipe: Recipe,
    config: ModelConfig,
    data: DataSources,
    model_folder: Path,
    on_prepare: PrepareProgress | None = None,
) -> Stage:
    """Return the stage that a recipe names, ready to train.

    Args:
        recipe: Recipe of the run.
        config: Architecture of the model.
        data: Folders of captioned audio.
        model_folder: Folder of the run's model.
        on_prepare: Called while data is prepared.
    """
    return stage_class(recipe.stage)(recipe, config, data, model_folder, on_prepare)
