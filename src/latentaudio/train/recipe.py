"""Recipes: YAML files with the settings of one training run.

A recipe may name a `base`, another recipe whose values it changes. Overrides from the command line
come last. An unknown key is an error. The options of a stage are checked by the stage itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from ..config.parsing import parse_yaml, read_bounded
from ..errors import ConfigError, first_line
from .adapter_options import AdapterOptions

StageName = Literal[
    "text",
    "vae",
    "vocoder",
    "clap",
    "audiomae",
    "translator",
    "latent_prior",
    "diffusion",
    "joint",
    "finetune",
    "distillation",
]

LoggerName = Literal["jsonl", "tensorboard", "csv", "trackio", "wandb"]

Beta = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
"""Weight of a loss."""
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0, le=2**24)]
"""A number of clips, frames, channels or texts."""
MAX_STEPS = 10**9
_MAX_RECIPE_BYTES = 2**20
_MAX_SHOWN_CHARS = 80  # of a wrong value in a message


class RecipeSection(BaseModel):
    """Base of the parts of a recipe. An unknown key is an error, and so are nan and inf."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OptimizerOptions(RecipeSection):
    """AdamW and its learning-rate schedule.

    Attributes:
        lr: Highest learning rate.
        betas: Decay rates of AdamW's moments.
        weight_decay: Decay of matrices and kernels. Gains and biases are not decayed.
        warmup_steps: Steps in which the learning rate rises linearly.
        final_lr_frac: Learning rate of the last step, as a fraction of `lr`. The rate falls along
            half a cosine; 1 keeps it constant.
        anneal_over: What the rate falls over: the steps, or "minutes": the steps or the time of
            --max-minutes, whichever is used up first. The time of a resumed run goes on.
        max_grad_norm: Gradients with a larger norm are scaled down to it.
    """

    lr: float = Field(3e-4, gt=0, le=10)
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    weight_decay: float = Field(0.01, ge=0, le=10)
    warmup_steps: int = Field(100, ge=0, le=MAX_STEPS)
    final_lr_frac: float = Field(1.0, ge=0, le=1)
    anneal_over: Literal["steps", "minutes"] = "steps"
    max_grad_norm: float = Field(1.0, gt=0, le=1e9)


class ValidationOptions(RecipeSection):
    """Losses of clips that are not trained on.

    Attributes:
        data: Folders of captioned audio. Without them, clips of the training data are held out.
        fraction: Fraction of the training data that is held out, if there is no `data`. The bytes
            of a sound decide, so copies of one sound stay on one side.
        every: Steps between two measurements.
        num_batches: Batches of a measurement. They are the same each time.
    """

    data: tuple[str, ...] = ()
    fraction: float = Field(0.05, gt=0, le=0.5)
    every: int = Field(500, gt=0, le=MAX_STEPS)
    num_batches: int = Field(8, gt=0, le=10_000)


class Recipe(RecipeSection):
    """Settings of one training run.

    Attributes:
        stage: What is trained. See `train.stages.base.STAGES`.
        model: Name of the model whose architecture is used.
        seed: Seed of all batches, initial weights and noise.
        steps: Number of optimizer steps.
        batch_size: Clips per micro-batch. Stages on latents use `options.frames_per_batch` instead.
        gradient_accumulation_steps: Micro-batches per optimizer step. The processes of torchrun
            divide them.
        precision: "bf16" uses autocast; "auto" uses it if the device is fast in it.
        device: "auto", "cpu", "cuda" or "mps".
        ema_decay: Decay of the exponential moving average of the weights.
        activation_checkpointing: Keep the inputs of blocks alone, and compute their activations
            again for the gradients: less memory, about a third more time.
        channels_last: Keep images with their channels innermost, which 2-D convolutions compute
            faster. The last bits of the result differ.
        optim: Optimizer and learning rate.
        sharding: "full" cuts the parameters into parts, one for each process, for models that do
            not fit into one device. "none" keeps all of them in each process.
        seed_every: When the generator of dropout and of the vocoder's noise is seeded: every "step"
            or every "micro_batch". Several processes always use "micro_batch".
        save_every: Steps between checkpoints.
        sample_every: Steps between previews.
        log_every: Steps between lines of the log.
        loggers: Where numbers and previews go beside `log.jsonl`. null: TensorBoard, if installed.
        validation: Losses of held-out clips. null: none.
        adapter: Train low-rank updates alone, written as an adapter. null: train the weights.
        options: Settings of the stage.
    """

    stage: StageName
    model: str = "mini"
    seed: int = Field(0, ge=0, lt=2**40)
    steps: int = Field(gt=0, le=MAX_STEPS)
    batch_size: int = Field(16, gt=0, le=2**20)
    gradient_accumulation_steps: int = Field(1, gt=0, le=2**20)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: str = "auto"
    ema_decay: float = Field(0.999, ge=0, lt=1)
    activation_checkpointing: bool = False
    channels_last: bool = False
    optim: OptimizerOptions = OptimizerOptions()
    sharding: Literal["none", "full"] = "none"
    seed_every: Literal["step", "micro_batch"] = "step"
    save_every: int = Field(500, gt=0, le=MAX_STEPS)
    sample_every: int = Field(500, gt=0, le=MAX_STEPS)
    log_every: int = Field(20, gt=0, le=MAX_STEPS)
    loggers: tuple[LoggerName, ...] | None = None
    validation: ValidationOptions | None = Field(
        None, validation_alias=AliasChoices("validate", "validation")
    )
    adapter: AdapterOptions | None = None
    options: dict[str, Any] = {}


def read_recipe(path: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe over its base, with overrides on top.

    Args:
        path: YAML file. Its `base` is a path relative to the file's folder.
        overrides: Changes as "key=value", for example "optim.lr=1e-4".

    Raises:
        ConfigError: A file is missing or not valid YAML, or a key or value is not allowed.
    """
    merged = _read(Path(path), ())
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f"--set {override}: write it as key=value, for example optim.lr=1e-4")
        try:
            value = parse_yaml(text)
        except ValueError as error:
            raise ConfigError(
                f"--set {override[:_MAX_SHOWN_CHARS]}: the value is not valid YAML "
                f"({first_line(error)}); close its brackets and quotes"
            ) from None
        _assign(merged, key.split("."), value)
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_problem(error, Recipe)}") from None


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first problem of a validation as "key: message".

    Args:
        error: Error of a pydantic model.
        model: The model. Its keys are listed if a key is unknown.
    """
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        section: type[BaseModel] = model
        for name in first["loc"][:-1]:
            section = _section(section, str(name))
        return f"{key}: there is no such key; the keys are: {', '.join(section.model_fields)}"
    if first["type"] == "missing":
        return f"{key}: the key is missing; add it"
    message = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    if first["type"] == "value_error" or not isinstance(value, (str, int, float, bool)):
        return f"{key}: {message}"
    return f"{key}: {message}, not {str(value)[:_MAX_SHOWN_CHARS]}"


def _section(model: type[BaseModel], name: str) -> type[BaseModel]:
    """Return the model of a section; the one around it if it is none."""
    field = model.model_fields.get("validation" if name == "validate" else name)
    for annotation in (field.annotation, *get_args(field.annotation)) if field else ():
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    return model


def _read(path: Path, derived: tuple[Path, ...]) -> dict[str, Any]:
    """Read a file over its bases; `derived` are the files that have it as a base."""
    if path.resolve() in derived:
        raise ConfigError(f"{path}: its base leads back to itself; name another base")
    try:
        content = parse_yaml(read_bounded(path, _MAX_RECIPE_BYTES))
    except OSError:
        raise ConfigError(
            f"there is no recipe {path}; the project's recipes are in recipes/ of its source"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path}: not valid YAML ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a recipe must be a mapping of keys to values")
    base = content.pop("base", None)
    if not isinstance(base, str | None):
        shown = repr(base)[:_MAX_SHOWN_CHARS]
        raise ConfigError(f"{path}: base must be the path of another recipe, not {shown}")
    if not base:
        return content
    return _merge(_read(path.parent / base, (*derived, path.resolve())), content)


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with changes, key by key in nested mappings."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _assign(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {'.'.join(keys)}: {key} is a value, not a group of keys")
    if isinstance(value, str):
        value = _number(value)
    tree[keys[-1]] = value


def _number(text: str) -> str | float:
    """Convert a number such as `1e-4`, which YAML 1.1 reads as text."""
    try:
        return float(text)
    except ValueError:
        return text
