"""Train `mini` further in one call: render, encode, train the UNet, pack. Resumes from what lies in --out.

python gpu/mini.py --minutes 9 --out runs/gpu
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "recipes" / "mini")]


def main() -> None:
    """See the file's docstring."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=9.0, help="for everything together")
    options.add_argument("--hours", type=float, default=40.0, help="of corpus to render")
    options.add_argument("--seed", type=int, default=101)
    options.add_argument("--out", type=Path, default=Path("runs/gpu"))
    changes = ["options.frames=65536", "steps=20000", "optim.lr=8e-4", "optim.warmup=300"]
    options.add_argument("--set", nargs="*", default=changes)
    given = options.parse_args()
    began = time.monotonic()

    from pack import pack

    from latentaudio.train.loop import train
    from latentaudio.train.recipe import read_recipe
    from procedural_audio.corpus import render_corpus

    data = given.out / f"corpus_{given.seed}"
    if not data.exists():
        print(render_corpus(data, hours=given.hours, seed=given.seed), flush=True)
    left = given.minutes - (time.monotonic() - began) / 60 - 0.5
    recipe = read_recipe(ROOT / "recipes" / "mini" / "diffusion.yaml", tuple(given.set))

    def report(done: int, total: int, losses: dict[str, float], seconds: float) -> None:
        if done % 100 == 0:
            print(
                done,
                total,
                {k: round(v, 4) for k, v in losses.items()},
                f"{seconds / 60:.1f} min left",
                flush=True,
            )

    train(
        recipe,
        (data,),
        given.out / "unet",
        (ROOT / "src" / "latentaudio" / "assets" / "mini",),
        left,
        report,
    )
    print(pack(given.out / "unet", given.out / "packed"), "bytes packed", flush=True)


if __name__ == "__main__":
    main()
