"""The time of a step that `--dry-run` and `finetune` say, beside that of real steps.

    latentaudio dataset render data/demo --demo lora
    python benchmarks/step_time.py data/demo [--recipes finetune/mini mini/vae]

Every recipe trains for some steps on the demo clips, from the weights of mini. Both times are
seconds of the processor, with one thread, so that other programs do not disturb. The real time is
the median of the steps after the first two, with reading, logging and averaging.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import torch

from latentaudio.train.estimate import UTILIZATION, estimate_run
from latentaudio.train.loop import train
from latentaudio.train.recipe import read_recipe

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
NAMES = ("finetune/mini", "mini/vae", "mini/latent_prior", "mini/diffusion")
NUM_STEPS = 8
NUM_SKIPPED = 2


def real_seconds(name: str, data: Path, folder: Path) -> float:
    """Return the median time of a step."""
    rare = [f"{key}=100000" for key in ("save_every", "sample_every")]
    recipe = read_recipe(RECIPES / f"{name}.yaml", (f"steps={NUM_STEPS}", *rare))
    times = [0.0]

    def on_step(step: int, num_steps: int, losses: dict[str, float], seconds_left: float) -> None:
        times.append(time.process_time())

    train(recipe, (data,), folder / name.replace("/", "_"), ("mini",), on_step=on_step)
    seconds = [after - before for before, after in itertools.pairwise(times)]
    return statistics.median(seconds[NUM_SKIPPED:-1])  # the last one also writes previews


def main() -> None:
    """Print a row for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipes", nargs="+", default=NAMES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| recipe | clips | large products alone | dry run | real step | dry run / real |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.recipes:
            recipe = read_recipe(RECIPES / f"{name}.yaml", ())
            estimate = estimate_run(recipe, (arguments.data,), timer=time.process_time)
            guessed = estimate.flops / (UTILIZATION * estimate.machine.flops_per_second)
            real = real_seconds(name, arguments.data, Path(temporary))
            told = estimate.seconds_per_step
            print(
                f"| {name} | {estimate.clips_per_step} | {guessed:.2f} s | {told:.2f} s "
                f"| {real:.2f} s | {told / real:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
