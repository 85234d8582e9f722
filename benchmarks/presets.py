"""What presets cost and what they give: `mini` with each, the same held-out prompts and noise, before the judge.

    python benchmarks/presets.py [PRESET ...] --model mini --clips 176 --output benchmarks/presets.md

judge: share of clips whose kind it names. Frechet ratio: their distance from true renders over that between two halves of
renders (as in `latentaudio bench`, but of fewer clips and so not to be compared with it). seconds: of one clip of 5.12 s,
median. How far presets are from 200 steps of the same noise: benchmarks/distance.py.
"""

import argparse
import statistics
import time
from pathlib import Path

from latentaudio import load
from latentaudio.config.presets import PRESETS
from latentaudio.evaluate.frechet import frechet_distance
from latentaudio.evaluate.mini.classifier import load_judge
from latentaudio.evaluate.mini.prompts import of_every_kind
from latentaudio.evaluate.mini.quality import right

SEED, SECONDS = 0, 5.12


def clips(model, prompts, preset):
    """(samples of every prompt, median seconds of a clip)."""
    made, taken = [], []
    for k, prompt in enumerate(prompts):
        began = time.perf_counter()
        [clip] = model.generate(prompt, seconds=SECONDS, seed=k, preset=preset, candidates=1)
        taken.append(time.perf_counter() - began)
        made.append(clip.samples[0])
    return made, statistics.median(taken)


def main():
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("presets", nargs="*", default=list(PRESETS))
    words.add_argument("--model", default="mini")
    words.add_argument("--clips", type=int, default=176)
    words.add_argument("--judge", type=Path, default=Path(__file__).parent / "classifier")
    words.add_argument("--output", type=Path)
    given = words.parse_args()
    judge = load_judge(given.judge)
    asked = list(of_every_kind(given.clips, SEED, SECONDS))
    wanted, prompts = [a.kinds[0] for a in asked], [a.prompt for a in asked]
    truths = judge.hear([a.truth for a in asked])
    others = judge.hear([a.truth for a in of_every_kind(given.clips, SEED + 1_000_000, SECONDS)])
    halves = frechet_distance(truths.embeddings, others.embeddings)
    lines = ["| preset | settings | judge | Frechet ratio | seconds |", "|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for preset in given.presets:
        model = load(given.model)  # a new one, which has read nothing yet
        made, seconds = clips(model, prompts, preset)
        verdict = judge.hear(made)
        [whole] = model.requests(prompts[:1], {"preset": preset})
        settings = f"{whole.sampler}, {whole.steps} steps, guided until {whole.guidance_stop:g}, reuse {whole.reuse}"
        good = right(verdict, judge.kinds, wanted).mean()
        ratio = frechet_distance(verdict.embeddings, others.embeddings) / halves
        lines.append(f"| {preset} | {settings} | {good:.1%} | {ratio:.2f} | {seconds:.2f} |")
        print(lines[-1], flush=True)
    if given.output:
        text = (
            f"# Presets\n\n{(__doc__ or '').strip()}\n\n{given.clips} clips of {given.model}.\n\n"
        )
        given.output.write_text(text + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
