"""Train `mini` further in one call: render a corpus, encode it, train the UNet, export the model.

The same command resumes the run in --output.

python scripts/gpu/mini.py --max-minutes 9 -o runs/gpu
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
MINI = ROOT / "src" / "latentaudio" / "assets" / "mini"
RECIPE = ROOT / "recipes" / "mini" / "diffusion.yaml"
CHANGES = [
    "options.frames_per_batch=65536",
    "steps=20000",
    "optim.lr=8e-4",
    "optim.warmup_steps=300",
]
EXPORT_MINUTES = 0.5  # left for the export at the end
LOG_EVERY = 100  # steps between printed lines

sys.path[:0] = [str(ROOT / "src"), str(ROOT / "recipes" / "mini")]


def main() -> None:
    """Run the command line."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-minutes", type=float, default=9.0, help="time of the whole call")
    parser.add_argument("--hours", type=float, default=40.0, help="hours of audio to render")
    parser.add_argument("--seed", type=int, default=101, help="seed of the corpus")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--set", nargs="*", default=CHANGES, help="changes of the recipe")
    arguments = parser.parse_args()

    from export import export

    from latentaudio.train.loop import train
    from latentaudio.train.recipe import read_recipe
    from procedural_audio.corpus import render_corpus

    data = arguments.output / f"corpus_{arguments.seed}"
    if not data.exists():
        print(render_corpus(data, hours=arguments.hours, seed=arguments.seed), flush=True)
    elapsed_minutes = (time.monotonic() - start) / 60
    run_folder = arguments.output / "unet"
    train(
        read_recipe(RECIPE, tuple(arguments.set)),
        (data,),
        run_folder,
        init_from=(MINI,),
        max_minutes=arguments.max_minutes - elapsed_minutes - EXPORT_MINUTES,
        on_step=print_step,
    )
    num_bytes = export(run_folder, arguments.output / "exported")
    print(num_bytes, "bytes exported", flush=True)


def print_step(step: int, num_steps: int, losses: dict[str, float], seconds_left: float) -> None:
    """Print the losses now and then."""
    if step % LOG_EVERY == 0:
        rounded = {name: round(value, 4) for name, value in losses.items()}
        print(step, num_steps, rounded, f"{seconds_left / 60:.1f} min left", flush=True)


if __name__ == "__main__":
    main()
