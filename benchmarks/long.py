"""Long clips from the shell: time to the file and memory at the fullest, by length.

    python benchmarks/long.py [--seconds 30 60 300] --output benchmarks/long.md

audioldm2-full with random weights, a float32 folder of 4.4 GB in a temporary place, preset `fast`, windows of 10.24 s.
"""

import argparse
import tempfile
from pathlib import Path

from latentaudio.evaluate.invented import write_invented
from latentaudio.evaluate.speed import cold_clip
from latentaudio.evaluate.timing import PROMPT

MODEL = "audioldm2-full"


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--seconds", type=float, nargs="+", default=[30, 60, 300])
    words.add_argument("--output", type=Path)
    given = words.parse_args()
    lines = ["| length | time | memory |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as place:
        write_invented(Path(place, MODEL), MODEL)
        for seconds in given.seconds:
            cost = cold_clip(str(Path(place, MODEL)), PROMPT, seconds, more=("--preset", "fast"))
            lines.append(f"| {seconds:g} s | {cost.seconds:.0f} s | {cost.gigabytes:.2f} GB |")
            print(lines[-1], flush=True)
    if given.output:
        given.output.write_text(f"# Long clips\n\n{(__doc__ or '').strip()}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
