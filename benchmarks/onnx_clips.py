"""Clips of the exported ONNX files beside those of torch: the distance for the same noise.

    python benchmarks/onnx_clips.py [--model mini] [--weights compact]

It exports the model to a temporary folder, and prints the table of docs/guides/onnx.md: energy of
the difference relative to torch's clip, for some prompts at two durations.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from latentaudio import load
from latentaudio.export.onnx_folder import export_onnx

sys.path.insert(0, str(Path(__file__).parent.parent / "docs" / "examples"))
import onnx_walk

PROMPTS = ("3 bells at A4", "a violin playing A4", "rain", "a dog barking and a car horn")
DURATIONS_S = (5.12, 10.24)
SEED = 7
MAX_DISTANCE_DB = -60


def distance_db(clip, reference):
    """Energy of the difference, relative to the reference."""
    return 20 * np.log10(np.linalg.norm(clip - reference) / np.linalg.norm(reference))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--weights", choices=("compact", "float32"), default="compact")
    parser.add_argument("--folder", type=Path, help="folder of an export; default: a new one")
    args = parser.parse_args()
    model = load(args.model, "cpu", "fp32")
    options = {"preset": "draft", "candidates": 1, "normalize": "none", "seed": SEED}
    worst = -np.inf
    print("| prompt | " + " | ".join(f"{duration:g} s" for duration in DURATIONS_S) + " |")
    print("|---" * (1 + len(DURATIONS_S)) + "|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary) / "onnx"
        if args.folder is None:
            export_onnx(model.codec, folder, weights=args.weights)
        for prompt in PROMPTS:
            cells = [prompt]
            for duration in DURATIONS_S:
                [ours] = model.generate(prompt, duration=duration, **options)
                samples, _ = onnx_walk.generate(folder, prompt, duration, SEED)
                distance = distance_db(samples, ours.samples[0])
                worst = max(worst, distance)
                cells.append(f"{distance:.0f} dB")
            print(f"| {' | '.join(cells)} |", flush=True)
    if worst > MAX_DISTANCE_DB:
        raise SystemExit(f"{worst:.0f} dB from torch; {MAX_DISTANCE_DB} dB are wanted")


if __name__ == "__main__":
    main()
