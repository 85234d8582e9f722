"""Recipes: a YAML file, its base, and overrides from the command line become one checked value.

Knows names and types; an unknown key is an error. Refuses to know what a stage does with its options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ConfigError, said

StageName = Literal[
    "text",
    "vae",
    "vocoder",
    "clap",
    "audiomae",
    "translator",
    "draft",
    "diffusion",
    "joint",
    "student",
]


class Optim(BaseModel):
    """AdamW with linear warm-up, then constant or cosine down to `final` times the rate at the last step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lr: float = Field(3e-4, gt=0, allow_inf_nan=False)
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.01, ge=0)
    warmup: int = Field(100, ge=0)
    final: float = Field(1.0, ge=0, le=1)
    clip: float = Field(1.0, gt=0)


class Recipe(BaseModel):
    """One training run. `options` are the stage's own settings; the stage refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: StageName
    model: str = "mini"
    seed: int = Field(0, ge=0)
    steps: int = Field(gt=0)
    batch: int = Field(16, gt=0)
    accumulate: int = Field(1, gt=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: str = "auto"
    ema: float = Field(0.999, ge=0, lt=1)
    optim: Optim = Optim()
    save_every: int = Field(500, gt=0)
    preview_every: int = Field(500, gt=0)
    log_every: int = Field(20, gt=0)
    options: dict[str, Any] = {}


def read_recipe(path: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """The recipe in `path` over its `base` (a path beside it, recursively), with `key.sub=value` overrides on top."""
    merged = _read(Path(path), ())
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f"--set {override}: write it as key=value, for example optim.lr=1e-4")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(
                f"--set {override}: the value is not valid YAML; close its brackets and quotes"
            ) from None
        _assign(merged, key.split("."), value)
    try:
        return Recipe.model_validate(merged)
    except ValidationError as problem:
        first = problem.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in above:
        raise ConfigError(f"{path}: its base leads back to itself")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(
            f"there is no recipe {path}; the project's own lie under recipes/ of its source"
        ) from None
    except yaml.MarkedYAMLError as problem:
        line = f"line {problem.problem_mark.line + 1}: " if problem.problem_mark else ""
        raise ConfigError(f"{path}: not valid YAML ({line}{problem.problem})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: not valid YAML ({said(problem)})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of keys to values")
    base = content.pop("base", None)
    if not isinstance(base, str | None):
        raise ConfigError(f"{path}: base is the name of a recipe beside it, not {base!r}")
    return _over(_read(path.parent / base, (*above, path.resolve())), content) if base else content


def _over(base: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in delta.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _over(merged[key], value) if both else value
    return merged


def _assign(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {'.'.join(keys)}: {key} is a value, not a group")
    if isinstance(value, str):
        value = _number(value)
    tree[keys[-1]] = value


def _number(text: str) -> str | float:
    """YAML 1.1 reads `1e-4` as text; a person means the number."""
    try:
        return float(text)
    except ValueError:
        return text
