"""Measure clips a minute by threads and processes, and how two unbounded processes share a machine.

    python benchmarks/threads.py [--models mini audioldm2-full] --output benchmarks/threads.md

Every process holds a model that is loaded, has generated one clip, and then generates clips while
the others do. In the rows "pinned", each process has processors of its own (as taskset gives them)
and as many threads. In the rows "all threads", every process uses all processors, as several
programs do that know nothing of each other. mini: clips of 10.24 s, preset `quality`.
audioldm2-full: random weights in float32 files, clips of 2.56 s, preset `draft`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = {
    "mini": ("--duration", "10.24", "--preset", "quality", "--clips", "12"),
    "audioldm2-full": ("--duration", "2.56", "--preset", "draft", "--clips", "6"),
}
PROMPT = "a church bell ringing in the distance"
COLUMNS = ("model", "threads of each", "processes", "processors", "clips a minute", "of the first")


def generate_clips(model, duration, preset, clips):
    """Run one process: print "ready", wait for a line, generate clips, print "done"."""
    from latentaudio.cli.process_settings import prepare_process

    prepare_process()  # before torch is imported, as in a command
    from latentaudio import load

    loaded = load(model, "cpu")
    settings = {"duration": duration, "preset": preset, "candidates": 1}
    loaded.generate(PROMPT, seed=0, **settings)
    print("ready", flush=True)
    sys.stdin.readline()
    for seed in range(clips):
        loaded.generate(PROMPT, seed=seed, **settings)
    print("done", flush=True)


def clips_per_minute(words, num_processes, num_threads, is_pinned):
    """Return the clips of all processes together in a minute."""
    processors = sorted(os.sched_getaffinity(0))
    environment = {**os.environ, "OMP_NUM_THREADS": str(num_threads)}
    running = []
    for k in range(num_processes):
        own = processors[k * num_threads : (k + 1) * num_threads] if is_pinned else processors
        command = [sys.executable, __file__, "--child", *words]
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        os.sched_setaffinity(process.pid, own)
        running.append(process)
    for process in running:
        assert process.stdout.readline() == "ready\n", "a process has failed"
    start = time.perf_counter()
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        assert process.stdout.readline() == "done\n", "a process has failed"
    seconds = time.perf_counter() - start
    for process in running:
        process.wait()
    return num_processes * int(words[-1]) / seconds * 60


def measure(model, source):
    """Yield the rows of a model, which is loaded from `source`."""
    num_processors = len(os.sched_getaffinity(0))
    words = (str(source), *CASES[model])
    cases = []
    num_threads = 1
    while num_threads <= num_processors:
        for num_processes in {1, num_processors // num_threads}:
            cases.append((num_threads, num_processes, True))
        num_threads *= 2
    cases.append((num_processors, 2, False))
    first = None
    for num_threads, num_processes, is_pinned in cases:
        rate = clips_per_minute(words, num_processes, num_threads, is_pinned)
        first = first or rate
        shared = "pinned" if is_pinned else "all threads"
        cells = (model, str(num_threads), str(num_processes), shared)
        yield (*cells, f"{rate:.1f}", f"{rate / first:.2f}")


def rows_of(models, folder):
    """Yield the rows of all models; weights of audioldm2-full are written to a folder."""
    from latentaudio.benchmark.random_weights import write_random_model

    for model in models:
        if model == "mini":
            yield from measure(model, model)
            continue
        if not folder.exists():
            write_random_model(folder, model)
        yield from measure(model, folder)


def to_table(rows):
    """Return a Markdown table; each row is printed as soon as it is measured."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    print("\n".join(lines), flush=True)
    for row in rows:
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def machine():
    """Return the processor's name, and how many of them this process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{name}, {len(os.sched_getaffinity(0))} processors."


def main():
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--folder", type=Path, help="a folder of audioldm2-full, to be kept")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--duration", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--preset", help=argparse.SUPPRESS)
    parser.add_argument("--clips", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.child:
        generate_clips(flags.child, flags.duration, flags.preset, flags.clips)
        return
    with tempfile.TemporaryDirectory() as temporary:
        table = to_table(rows_of(flags.models, flags.folder or Path(temporary, "model")))
    if flags.output:
        introduction = (__doc__ or "").strip()
        flags.output.write_text(
            f"# Threads and processes\n\n{introduction}\n\n{machine()}\n\n{table}\n"
        )


if __name__ == "__main__":
    main()
