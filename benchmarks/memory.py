"""Memory at the fullest (Linux), by length of the clip and over a hundred prompts, beside what `--estimate` says beforehand.

    python benchmarks/memory.py [--seconds 10.24 30 60 300] --output benchmarks/memory.md

audioldm2-full with random weights, a float32 folder of 4.4 GB in a temporary place, windows of 10.24 s; from the shell.
A hundred prompts in one process: mini's student with clips of 10.24 s, and audioldm2-full with clips of 2.56 s, preset `draft`.
Of half a minute and of ten minutes, mini in four steps: what is generated, and what is made anew in white noise.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from latentaudio import load
from latentaudio.audio.io import write
from latentaudio.benchmark.latency import PROMPT
from latentaudio.benchmark.process_cost import COMMAND, cold_clip, cost_of
from latentaudio.benchmark.random_weights import write_invented

MODEL, EVERY = "audioldm2-full", (1, 10, 50, 100)


def estimated(folder: Path, seconds: float, *more: str) -> float:
    """Gigabytes that the shell command would tell."""
    words = (
        *COMMAND,
        "generate",
        PROMPT,
        "--model",
        str(folder),
        "--seconds",
        str(seconds),
        "--estimate",
        "--json",
        *more,
    )
    return float(
        json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["gigabytes"]
    )


def greatest() -> float:
    """Gigabytes of this process at its fullest. (What getrusage says begins with the size of whoever started it.)"""
    [line] = [
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    ]
    return int(line.split()[1]) * 1024 / 1e9


def hundred(model: str, seconds: float) -> None:
    """Print the greatest size so far after some of a hundred prompts."""
    system = load(model, lean=True)
    prompts = [f"{PROMPT}, take {k}" for k in range(EVERY[-1])]
    for done, _ in enumerate(
        system.stream(system.requests(prompts, {"seconds": seconds, "preset": "draft"})), 1
    ):
        if done in EVERY:
            print(f"{greatest():.2f}", flush=True)


def by_length(folder: Path, lengths: list[float]) -> Iterator[tuple[str, ...]]:
    """Rows of the first table."""
    yield "length", "preset", "time", "memory", "estimate"
    for seconds, preset, precision in [
        *((length, "fast", "auto") for length in lengths),
        (lengths[0], "draft", "fp32"),
    ]:
        how = ("--precision", precision)
        cost = cold_clip(str(folder), PROMPT, seconds, more=("--preset", preset, *how))
        told = estimated(folder, seconds, *how)
        yield (
            f"{seconds:g} s",
            f"{preset}, {precision}",
            f"{cost.seconds:.0f} s",
            f"{cost.gigabytes:.2f} GB",
            f"{told:.1f} GB",
        )


def by_number(folder: Path) -> Iterator[tuple[str, ...]]:
    """Rows of the second."""
    yield "model", *(f"after {k}" for k in EVERY)
    for model, seconds in (("mini", "10.24"), (str(folder), "2.56")):
        asked = (sys.executable, __file__, "--hundred", model, seconds)
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
        yield Path(model).name, *(f"{peak} GB" for peak in told)


def of_edits(lengths: list[float]) -> Iterator[tuple[str, ...]]:
    """Rows of the third."""
    yield "mini", *(f"{length:g} s" for length in lengths)
    with tempfile.TemporaryDirectory() as place:
        given, made = Path(place, "noise.wav"), Path(place, "made.wav")
        for verb, *words in (
            ["generate"],
            ["inpaint", "--time", "10:12"],
            ["inpaint", "--band", "2000:4000"],
        ):
            sizes = []
            for length in lengths:
                if verb == "generate":
                    what = [PROMPT, "--seconds", f"{length:g}"]
                else:
                    dice = np.random.default_rng(0)
                    write(
                        given,
                        0.1 * dice.standard_normal(round(length * 16000)).astype(np.float32),
                        16000,
                    )
                    what = [str(given), PROMPT]
                cost = cost_of(
                    (
                        *COMMAND,
                        verb,
                        *what,
                        *words,
                        "--steps",
                        "4",
                        "--seed",
                        "0",
                        "-o",
                        str(made),
                        "--quiet",
                    )
                )
                sizes.append(f"{cost.gigabytes:.2f} GB")
            yield " ".join((verb, *words)), *sizes


def table(rows: Iterator[tuple[str, ...]]) -> str:
    """Markdown; each row is shown as soon as it is known."""
    lines = []
    for row in rows:
        lines += [f"| {' | '.join(row)} |"] + ["|---" * len(row) + "|"] * (not lines)
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--seconds", type=float, nargs="+", default=[10.24, 30, 60, 300])
    words.add_argument(
        "--hundred", nargs=2, metavar=("MODEL", "SECONDS"), help="only this, in this process"
    )
    words.add_argument("--output", type=Path)
    given = words.parse_args()
    if given.hundred:
        hundred(given.hundred[0], float(given.hundred[1]))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, MODEL)
        write_invented(folder, MODEL)
        tables = [
            table(by_length(folder, given.seconds)),
            table(by_number(folder)),
            table(of_edits([30.0, 600.0])),
        ]
    if given.output:
        given.output.write_text(
            "\n\n".join(["# Memory", (__doc__ or "").strip(), *tables]) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
