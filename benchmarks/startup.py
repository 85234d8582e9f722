"""Measure the start of Python imports and of `--help`: processor time and wall-clock time.

    python benchmarks/startup.py --output benchmarks/startup.md

Every row is a process of its own, which runs ten times; the least time counts, because other work
on the machine only adds to it. Processor time is that of the user and of the system. Targets:
`--help` of every command 0.3 s, `import latentaudio` 0.1 s.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from latentaudio.cli.main import COMMANDS

NUM_RUNS = 10
PYTHON = {
    "python -c pass": ["-c", "pass"],
    "import cyclopts": ["-c", "import cyclopts"],
    "import latentaudio": ["-c", "import latentaudio"],
}
COLUMNS = ("process", "processor time", "wall-clock time")


def measure(arguments):
    """Return the least processor time and the least wall-clock time of some runs, in seconds."""
    processor = []
    wall = []
    for _ in range(NUM_RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        wall.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        user = after.ru_utime - before.ru_utime
        processor.append(user + after.ru_stime - before.ru_stime)
    return min(processor), min(wall)


def report():
    """Return the table."""
    cases = {**PYTHON, "latentaudio --help": ["-m", "latentaudio", "--help"]}
    for command in COMMANDS:
        words = ["-m", "latentaudio", command.name, "--help"]
        cases[f"latentaudio {command.name} --help"] = words
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for name, arguments in cases.items():
        processor, wall = measure(arguments)
        lines.append(f"| `{name}` | {processor:.3f} s | {wall:.3f} s |")
    return "\n".join(lines)


def main():
    """Print the table, or write it with its description."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    output = parser.parse_args().output
    title, _, details = __doc__.partition("\n")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}."
    table = report()
    print(table)
    if output is not None:
        output.write_text(f"# Startup\n\n{title}\n{details}\n{machine}\n\n{table}\n")


if __name__ == "__main__":
    main()
