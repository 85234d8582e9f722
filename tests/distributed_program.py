"""One process of `test_distributed`: runs scenarios one after the other and writes what happened.

Arguments: folder with data, models and runs; ports of the scenarios.
"""

import json
import os
import signal
import sys
import warnings
from dataclasses import replace
from pathlib import Path

from conftest import TINY

from latentaudio.config import registry
from latentaudio.interrupts import Terminated
from latentaudio.train import loop
from latentaudio.train.recipe import Recipe

RANK = int(os.environ.get("RANK", "0"))
NUM_STEPS = 50


def use_tiny_model():
    """Give mini the shape of the tiny model."""
    registry.MODELS["mini"] = replace(registry.MODELS["mini"], config=TINY)


def recipe(steps=NUM_STEPS, **changes):
    """A GAN stage on two micro-batches a step."""
    settings = {
        "stage": "vae",
        "steps": steps,
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
        "precision": "fp32",
        "device": "cpu",
        "save_every": 10,
        "sample_every": 1000,
        "log_every": 1,
        "loggers": ["jsonl"],
        "optim": {"lr": 1e-3, "warmup_steps": 2},
        "options": {
            "crop_frames": 32,
            "latent_stats_crops": 2,
            "disc_channels": 2,
            "weights": {"adv_gen": 0.1},
        },
    }
    return Recipe(**(settings | changes))


def diffusion(steps=4, **changes):
    """A UNet on encoded clips; its blocks are cut if `sharding` is full."""
    settings = {"stage": "diffusion", "options": {"frames_per_batch": 512}, "batch_size": 16}
    return recipe(steps, **(settings | changes))


def at_step(number, action):
    """Do something in the second process after a step."""
    agree = loop._agree
    num_steps = 0

    def agree_later(*arguments):
        nonlocal num_steps
        num_steps += 1
        if RANK == 1 and num_steps == number:
            action()
        return agree(*arguments)

    loop._agree = agree_later


def gloo_threads():
    """Names of this process's threads that belong to a group of processes."""
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def scenarios(folder):
    """Yield (name, function) in order; the last one ends the second process."""
    data = (folder / "data",)
    runs = folder / "runs"
    tiny = (folder / "tiny",)

    yield "together", lambda: loop.train(recipe(), data, runs / "together")
    yield "first part", lambda: loop.train(recipe(10), data, runs / "resumed")
    yield "resumed", lambda: loop.train(recipe(), data, runs / "resumed")
    yield "whole", lambda: loop.train(diffusion(), data, runs / "whole", tiny)
    sharded = diffusion(sharding="full")
    yield "sharded", lambda: loop.train(sharded, data, runs / "sharded", tiny)
    yield (
        "sharded, resumed",
        lambda: loop.train(sharded.model_copy(update={"steps": 6}), data, runs / "sharded", tiny),
    )
    yield (
        "too many",
        lambda: loop.train(recipe(1, gradient_accumulation_steps=1), data, runs / "too_many"),
    )

    def stopped():
        at_step(3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        loop.train(recipe(), data, runs / "stopped")

    yield "stopped", stopped

    def lost():
        at_step(3, lambda: os._exit(9))
        loop.train(recipe(), data, runs / "lost")

    yield "lost", lost


def main():
    folder = Path(sys.argv[1])
    use_tiny_model()
    warnings.simplefilter("ignore")
    results = {}
    for (name, function), port in zip(scenarios(folder), sys.argv[2:], strict=True):
        os.environ["MASTER_PORT"] = port
        num_threads = len(gloo_threads())
        try:
            results[name] = function()
        except (Exception, Terminated) as error:
            results[name] = f"{type(error).__name__}: {error}"
        results[f"threads left by {name}"] = gloo_threads()[num_threads:]
        (folder / f"results_{RANK}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
