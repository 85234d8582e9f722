"""The only training loop: any stage, any device, exact resumption.

Knows steps, precision, accumulation, logs and checkpoints. Refuses to know what is learned. Step N is a pure function of the
recipe and of the weights after step N - 1, because batches and dice are keyed by (seed, step): resuming needs no other state.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ..config.architecture import ModelConfig
from ..config.registry import variant
from ..data.dataset import dice
from ..data.manifest import digest
from ..device import fast_dtype, pick_device
from ..errors import ConfigError
from ..fileio import replacing
from ..loaders.model_folder import copy_parts, model_folder, read_config, save_part, write_config
from . import checkpoint
from .logger import Board
from .optim import Ema, advance, optimiser, rate_at
from .recipe import Recipe
from .stages.base import Batch, Prepared, Stage, make_stage

Report: TypeAlias = Callable[[int, int, dict[str, float], float], None]
"""Called after every step with (updates done, of how many, latest losses, seconds left)."""


_UNLEARNT = ".unlearnt"
_MAY_CHANGE = ("steps", "device", "save_every", "preview_every", "log_every")
"""Settings that a resumed run may be given anew; any other change is another run."""


@dataclass
class Player:
    """One module in training with its optimiser and its averaged weights."""

    module: nn.Module
    optim: torch.optim.Optimizer
    ema: Ema

    def __post_init__(self) -> None:
        self.learns = [
            weight for weight in self.module.parameters() if weight.requires_grad
        ]  # not what its stage froze

    def state(self) -> dict[str, Any]:
        """What exact resumption needs."""
        return {
            "module": self.module.state_dict(),
            "optim": self.optim.state_dict(),
            "ema": self.ema.shadow,
        }

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Take up a saved state."""
        self.module.load_state_dict(state["module"])
        self.optim.load_state_dict(state["optim"])
        self.ema.shadow = {k: v.to(device) for k, v in state["ema"].items()}


def train(
    recipe: Recipe,
    data: tuple[Path, ...],
    run: Path,
    init: tuple[Path, ...] = (),
    minutes: float | None = None,
    report: Report | None = None,
    prepared: Prepared | None = None,
) -> int:
    """Train the recipe's stage on `data` into the folder `run`, resuming what lies there; returns the updates done in all.

    init: model or run folders whose parts the stage builds on, until there is a checkpoint. minutes: stop (with a checkpoint)
    after that time. prepared: see `stages.Prepared`; called before the first step.
    """
    began = time.monotonic()
    device = pick_device(recipe.device)
    config = _prepare(recipe, data, run, init)
    torch.manual_seed(recipe.seed)
    stage = make_stage(recipe, config, data, run / "model", prepared)
    for module in (*stage.players.values(), *stage.frozen.values()):
        module.to(device)
    players = {
        name: Player(module.train(), optimiser(module, recipe.optim), Ema(module, recipe.ema))
        for name, module in stage.players.items()
    }
    done = _resume(run, players, device)
    if done == recipe.steps:  # a kill may have come between the last checkpoint and its parts
        _publish(stage, players, run)
    with closing(Board(run, recipe)) as board:
        start, started = done, time.monotonic()
        while done < recipe.steps:
            losses = _update(stage, players, recipe, done, device)
            done += 1
            pace = (time.monotonic() - started) / (done - start)
            out_of_time = minutes is not None and time.monotonic() - began + pace > 60 * minutes
            if done % recipe.log_every == 0:
                board.log(done, losses, 1 / pace)
            if done % recipe.preview_every == 0 or done == recipe.steps or out_of_time:
                with averaged(players):
                    board.show(done, stage.preview())
            if done % recipe.save_every == 0 or done == recipe.steps or out_of_time:
                _save(stage, players, run, done)
            if report is not None:
                given = (60 * minutes if minutes is not None else float("inf")) - (
                    time.monotonic() - began
                )
                report(done, recipe.steps, losses, min((recipe.steps - done) * pace, given))
            if out_of_time:
                break
    return done


def _prepare(
    recipe: Recipe, data: tuple[Path, ...], run: Path, init: tuple[Path, ...]
) -> ModelConfig:
    """The run's folder: its recipe and data, and a model folder holding the parts to build on.

    Until there is a checkpoint nothing was learnt, so that a command which was refused may be corrected and repeated: the model
    folder is marked until then, and what a marked one holds is thrown away. One without mark is somebody's model.
    """
    model, begun = run / "model", checkpoint.exists(run)
    facts = {
        "recipe.json": recipe.model_dump_json(indent=1),
        "data.json": json.dumps([digest(folder) for folder in data]),
    }
    if begun:
        _same_run(recipe, facts, run)
    for name, text in facts.items():
        with replacing(run / name) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    if begun:
        return read_config(model)[1]
    if (model / _UNLEARNT).is_file():
        shutil.rmtree(model)
    elif any(model.glob("*.safetensors")):
        raise ConfigError(
            f"{model} holds a model learnt elsewhere; choose another --out, or name it with --init"
        )
    model.mkdir(parents=True, exist_ok=True)
    (model / _UNLEARNT).touch()
    copy_parts(init, model)
    config = variant(recipe.model).config
    for source in map(model_folder, init):
        if (
            source / "vae.safetensors"
        ).is_file():  # latent statistics belong to the VAE that has them
            measured = read_config(source)[1]
            config = replace(
                config, latent_mean=measured.latent_mean, latent_std=measured.latent_std
            )
        if (
            config.audiomae and (source / "audiomae.safetensors").is_file()
        ):  # one that ships has lost its decoder
            config = replace(config, audiomae=read_config(source)[1].audiomae)
    write_config(model, config, recipe.model)
    return config


def _same_run(recipe: Recipe, facts: dict[str, str], run: Path) -> None:
    """Refuse to go on with other settings, but for `_MAY_CHANGE`, or on other data."""
    saved, data = run / "recipe.json", run / "data.json"
    try:
        before = Recipe.model_validate_json(saved.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigError(
            f"{saved} is missing or damaged, so nobody knows what {run} learnt; choose another --out"
        ) from None
    if before.model_copy(update={key: getattr(recipe, key) for key in _MAY_CHANGE}) != recipe:
        raise ConfigError(
            f"{run} holds a run of another recipe; choose another --out, or repeat the settings in {saved}"
        )
    if data.is_file() and data.read_text(encoding="utf-8").strip() != facts[data.name]:
        raise ConfigError(
            f"{run} holds a run on other data; choose another --out, or repeat its --data in the same order"
        )


def _resume(run: Path, players: dict[str, Player], device: torch.device) -> int:
    done, states = checkpoint.latest(run) or (0, {})
    for name, state in states.items():
        players[name].restore(state, device)
    checkpoint.trim_log(run / "log.jsonl", done)
    return done


def _update(
    stage: Stage, players: dict[str, Player], recipe: Recipe, step: int, device: torch.device
) -> dict[str, float]:
    """One step: every player in turn, `accumulate` micro-batches each."""
    dtype = fast_dtype(device, recipe.precision)
    rate = rate_at(step, recipe.steps, recipe.optim)
    batches = [
        _to(stage.batch(step * recipe.accumulate + micro), device)
        for micro in range(recipe.accumulate)
    ]
    told: dict[str, float] = {}
    torch.manual_seed(
        recipe.seed * 1_000_003 + step
    )  # dropout inside the parts draws from the global generator
    for turn, (name, player) in enumerate(players.items()):
        for other in players.values():
            for weight in other.learns:
                weight.requires_grad_(other is player)
        for micro, batch in enumerate(batches):
            with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
                losses = stage.losses(batch, name, dice(recipe.seed, step, micro, turn))
                total = sum(
                    (stage.weights.get(k, 1.0) * v for k, v in losses.items()),
                    torch.zeros((), device=device),
                )
            (total / recipe.accumulate).backward()
            told |= {k: float(v.detach()) for k, v in losses.items()}
        norm = advance(player.optim, player.module, rate, recipe.optim.clip)
        player.ema.update(player.module, step)
        told[f"{name}/norm"] = float(norm)
    return told


def _to(batch: Batch, device: torch.device) -> Batch:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {k: _to(v, device) for k, v in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(_to(v, device) for v in batch)
    return batch


@contextmanager
def averaged(players: dict[str, Player]) -> Iterator[None]:
    """Run the block with averaged weights in evaluation mode and without gradients, then put the raw ones back."""
    raw = {
        name: {k: v.clone() for k, v in p.module.state_dict().items()}
        for name, p in players.items()
    }
    for p in players.values():
        p.module.load_state_dict(p.ema.state_of(p.module))
        p.module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for name, p in players.items():
            p.module.load_state_dict(raw[name])
            p.module.train()


def _save(stage: Stage, players: dict[str, Player], run: Path, done: int) -> None:
    """The checkpoint first, then the parts that others load; a kill in between costs nothing."""
    checkpoint.save(run, done, {name: player.state() for name, player in players.items()})
    _publish(stage, players, run)


def _publish(stage: Stage, players: dict[str, Player], run: Path) -> None:
    """The averaged parts, for others to load."""
    for part, path in stage.parts.items():
        name, _, inner = path.partition(".")
        state = players[name].ema.state_of(players[name].module)
        prefix = f"{inner}." if inner else ""
        save_part(
            run / "model",
            part,
            {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)},
        )
    with averaged(players):
        stage.finish(run / "model")
    (run / "model" / _UNLEARNT).unlink(missing_ok=True)


def read_log(run: Path) -> list[dict[str, float]]:
    """The run's log, one entry per `log_every` steps."""
    return [
        json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
