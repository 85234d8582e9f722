"""Measure peak memory (Linux) by duration and by number of prompts, beside the estimate.

    python benchmarks/memory.py [--durations 10.24 30 60 300] --output benchmarks/memory.md

The first table runs `generate` for audioldm2-full with random weights, from a float32 folder of
4.4 GB, in windows of 10.24 s. "estimate" is the result of `--estimate-memory`. The second table has
100 prompts in one process: the distilled UNet of mini with clips of 10.24 s, and audioldm2-full
with clips of 2.56 s, preset `draft`. The third table has clips of half a minute and of ten minutes
of mini, in four steps: generated, and inpainted in white noise.
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
from latentaudio.benchmark.implementations import PROMPT
from latentaudio.benchmark.process_cost import COMMAND, measure_cold_start, measure_command
from latentaudio.benchmark.random_weights import write_random_model

MODEL = "audioldm2-full"
PROMPT_COUNTS = (1, 10, 50, 100)
EDIT_DURATIONS = (30.0, 600.0)  # s
EDIT_RATE = 16000  # Hz
EDIT_COMMANDS = (
    ("generate",),
    ("inpaint", "--time", "10:12"),
    ("inpaint", "--band", "2000:4000"),
)
Row = tuple[str, ...]


def estimate_memory_gb(folder: Path, duration: float, *flags: str) -> float:
    """Return the result of `--estimate-memory` in GB."""
    command = [*COMMAND, "generate", PROMPT, "--model", str(folder), "--duration", str(duration)]
    command += ["--estimate-memory", "--json", *flags]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    return float(json.loads(output)["required_gb"])


def peak_rss_gb() -> float:
    """Return the peak memory of this process in GB.

    getrusage cannot be used: its value starts from the memory of the parent process.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e9
    raise KeyError("VmHWM")


def print_peaks(model: str, duration: float) -> None:
    """Generate 100 prompts in this process, and print the peak memory on the way."""
    system = load(model, low_memory=True)
    prompts = [f"{PROMPT}, take {k}" for k in range(PROMPT_COUNTS[-1])]
    requests = system.resolve_requests(prompts, duration=duration, preset="draft")
    for count, _ in enumerate(system.run(requests), 1):
        if count in PROMPT_COUNTS:
            print(f"{peak_rss_gb():.2f}", flush=True)


def rows_by_duration(folder: Path, durations: list[float]) -> Iterator[Row]:
    """Yield the rows of the first table."""
    yield "duration", "preset", "time", "peak RSS", "estimate"
    cases = [(duration, "fast", "auto") for duration in durations]
    cases.append((durations[0], "draft", "fp32"))
    for duration, preset, precision in cases:
        flags = ("--precision", precision)
        cost = measure_cold_start(str(folder), PROMPT, duration, flags=("--preset", preset, *flags))
        estimate = estimate_memory_gb(folder, duration, *flags)
        yield (
            f"{duration:g} s",
            f"{preset}, {precision}",
            f"{cost.seconds:.0f} s",
            f"{cost.peak_rss_gb:.2f} GB",
            f"{estimate:.1f} GB",
        )


def rows_by_prompt_count(folder: Path) -> Iterator[Row]:
    """Yield the rows of the second table."""
    yield "model", *(f"after prompt {count}" for count in PROMPT_COUNTS)
    for model, duration in (("mini", "10.24"), (str(folder), "2.56")):
        command = (sys.executable, __file__, "--prompts", model, duration)
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        yield Path(model).name, *(f"{peak} GB" for peak in output.split())


def rows_by_edit(folder: Path) -> Iterator[Row]:
    """Yield the rows of the third table; audio files are written to `folder`."""
    yield "mini", *(f"{duration:g} s" for duration in EDIT_DURATIONS)
    source = folder / "noise.wav"
    for name, *flags in EDIT_COMMANDS:
        peaks = []
        for duration in EDIT_DURATIONS:
            arguments = [PROMPT, "--duration", f"{duration:g}"]
            if name != "generate":
                rng = np.random.default_rng(0)
                noise = 0.1 * rng.standard_normal(round(duration * EDIT_RATE)).astype(np.float32)
                write(source, noise, EDIT_RATE)
                arguments = [str(source), PROMPT]
            command = [*COMMAND, name, *arguments, *flags, "--steps", "4", "--seed", "0"]
            command += ["-o", str(folder / "clip.wav"), "--quiet"]
            peaks.append(f"{measure_command(command).peak_rss_gb:.2f} GB")
        yield " ".join((name, *flags)), *peaks


def to_table(rows: Iterator[Row]) -> str:
    """Return a Markdown table; each row is printed as soon as it is measured."""
    lines: list[str] = []
    for row in rows:
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
        if len(lines) == 1:
            lines.append("|---" * len(row) + "|")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--durations", type=float, nargs="+", default=[10.24, 30, 60, 300])
    parser.add_argument(
        "--prompts",
        nargs=2,
        metavar=("MODEL", "DURATION"),
        help="only 100 prompts of this model, in this process",
    )
    parser.add_argument("--output", type=Path)
    flags = parser.parse_args()
    if flags.prompts:
        print_peaks(flags.prompts[0], float(flags.prompts[1]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, MODEL)
        write_random_model(folder, MODEL)
        tables = [
            to_table(rows_by_duration(folder, flags.durations)),
            to_table(rows_by_prompt_count(folder)),
            to_table(rows_by_edit(Path(temporary))),
        ]
    if flags.output:
        text = "\n\n".join(["# Memory", (__doc__ or "").strip(), *tables])
        flags.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
