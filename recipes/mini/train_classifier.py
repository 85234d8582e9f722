"""Make the judge of `mini`: a classifier trained on renders only, shown to be right on renders it never saw.

    python recipes/mini/judge.py --out runs/judge                      # about 8 minutes
    python recipes/mini/judge.py --out runs/judge --facts              # and how often the signal analysis is right on renders
    python recipes/mini/judge.py --out runs/judge --model runs/joint   # and what it thinks of a model: `latentaudio bench`

A judge that lies in the folder already is kept; remove it to train another.
"""

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from latentaudio.evaluate.mini.attributes import QUESTIONS
from latentaudio.evaluate.mini.classifier import Judge, load_judge, mel_of, save_judge, train
from latentaudio.evaluate.mini.prompts import RATE, render, spelling_out
from procedural_audio.registry import table

SECONDS, ODDS = (1.28, 2.56, 5.12, 10.24), (0.15, 0.45, 0.3, 0.1)
TRAINING, TEST = 21, 22  # dice apart from each other, from every corpus and from the bench


def say(line: str) -> None:
    """A line for whoever waits."""
    sys.stderr.write(line + "\n")


def one(seed: int, purpose: int, index: int) -> np.ndarray:
    """Half-precision log-mel [L, F] of render `index`; kinds take turns."""
    kinds = tuple(table().values())
    length = float(np.random.default_rng([seed, purpose, index, 1]).choice(SECONDS, p=ODDS))
    return mel_of(render(kinds[index % len(kinds)], length, seed, purpose, index)[0]).numpy()


def renders(count: int, seed: int, purpose: int) -> list[torch.Tensor]:
    """`count` log-mels, made by all cores."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        return [
            torch.from_numpy(mel)
            for mel in pool.map(partial(one, seed, purpose), range(count), chunksize=32)
        ]


def examined(judge: Judge, each: int, seed: int) -> float:
    """Share of held-out renders that the judge names right, with every kind below 95 % and what it was taken for."""
    kinds = judge.kinds
    mels = renders(each * len(kinds), seed, TEST)
    with torch.inference_mode():
        heard = [kinds[int(judge(mel.float()[None, None])[0].argmax())] for mel in mels]
    taken: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for index, name in enumerate(heard):
        taken[kinds[index % len(kinds)]][name] += 1
    for kind, names in taken.items():
        if names[kind] < 0.95 * each:
            wrong = ", ".join(
                f"{name} {times}" for name, times in names.most_common() if name != kind
            )
            say(f"  {kind}: {names[kind]} of {each}; also heard as {wrong}")
    return sum(names[kind] for kind, names in taken.items()) / len(mels)


def facts(each: int, seed: int) -> None:
    """How often signal analysis agrees with the renderer, by question, naming kinds below nine in ten."""
    for question in QUESTIONS.values():
        right: defaultdict[str, list[bool]] = defaultdict(list)
        for asked in spelling_out(question, each * len(question.kinds), seed, 5.12):
            right[asked.kinds[0]].append(
                question.right(asked.truth, RATE, asked.kinds[0], asked.facts)
            )
        every = [r for rs in right.values() for r in rs]
        weak = ", ".join(
            f"{kind} {np.mean(rs):.0%}" for kind, rs in right.items() if np.mean(rs) < 0.9
        )
        say(
            f"{question.name}: {np.mean(every):.1%} of {len(every)} renders, {len(right)} kinds; below 90 %: {weak or 'none'}"
        )


def main() -> None:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--each", type=int, default=150, help="training renders of every kind")
    words.add_argument("--steps", type=int, default=2000)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--facts", action="store_true")
    words.add_argument("--model")
    given = words.parse_args()
    torch.set_num_threads(given.threads)
    kinds = tuple(table())
    if not (given.out / "classifier.json").exists():
        began = time.perf_counter()
        mels = renders(given.each * len(kinds), given.seed, TRAINING)
        say(
            f"{len(mels)} renders, {sum(map(len, mels)) / 360_000:.1f} h, in {time.perf_counter() - began:.0f} s"
        )
        labels = [index % len(kinds) for index in range(len(mels))]

        def progress(step: int, steps: int, loss: float) -> None:
            if step % 50 == 0:
                say(f"step {step} of {steps}, loss {loss:.3f}, {time.perf_counter() - began:.0f} s")

        judge = train(mels, labels, kinds, given.steps, seed=given.seed, progress=progress)
        share = examined(judge, 20, given.seed)
        how = {
            "clips": len(mels),
            "steps": given.steps,
            "seed": given.seed,
            "seconds": round(time.perf_counter() - began),
        }
        save_judge(
            judge,
            given.out,
            {**how, "top1_on_held_out_renders": share, "held_out": 20 * len(kinds)},
        )
        say(f"top-1 on {20 * len(kinds)} held-out renders: {share:.1%}")
    else:
        say(f"top-1 on held-out renders: {examined(load_judge(given.out), 20, given.seed + 1):.1%}")
    if given.facts:
        facts(20, given.seed)
    if given.model:
        from latentaudio.cli.evaluate import bench

        bench(given.model, judge=given.out)


if __name__ == "__main__":
    main()
