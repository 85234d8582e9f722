"""Damaged files and random command lines: every one ends well, or in one line.

python tests/fuzz/run.py --files 10000 --commands 10000 --seed 1
python tests/fuzz/run.py --only mask:17 --seed 1
"""

import argparse
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from commands import check_command  # noqa: E402
from isolation import run_cases  # noqa: E402
from kinds import KINDS, check_file  # noqa: E402
from seeds import make_seeds  # noqa: E402

COMMAND = "command"
"""Name of the cases that are command lines."""


def check_case(seeds, seed, case):
    """Return what is wrong with a case (name, number), or None."""
    name, number = case
    rng = Random(f"{seed}/{name}/{number}")
    with TemporaryDirectory() as folder:
        if name == COMMAND:
            return check_command(seeds, Path(folder), rng, number)
        return check_file(name, seeds, Path(folder), rng)


def make_cases(num_files, num_commands, names, first_command=0, first_file=0):
    """Return cases of all kinds in turn, then command lines, both from a number on."""
    indices = range(first_file, first_file + num_files)
    cases = [(names[index % len(names)], index // len(names)) for index in indices]
    numbers = range(first_command, first_command + num_commands)
    return cases + [(COMMAND, number) for number in numbers]


def run(cases, seeds, seed, on_failure):
    """Run cases on the valid files of a folder, which are made if it does not exist."""
    if not seeds.exists():
        seeds.mkdir()
        make_seeds(seeds)
    run_cases(cases, partial(check_case, seeds, seed), on_failure)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--commands", type=int, default=1000)
    parser.add_argument("--first-file", type=int, default=0, help="to go on with a long run")
    parser.add_argument("--first-command", type=int, default=0, help="to go on with a long run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--only", nargs="+", help="cases, as KIND:NUMBER")
    parser.add_argument("--seeds", type=Path, help="folder to keep the valid files in")
    options = parser.parse_args()
    first = (options.first_command, options.first_file)
    cases = make_cases(options.files, options.commands, options.kinds, *first)
    if options.only:
        cases = []
        for text in options.only:
            name, _, number = text.rpartition(":")
            cases.append((name, int(number)))
    failed = Counter()

    def report(case, reason):
        name, number = case
        failed[name] += 1
        print(f"--only '{name}:{number}' --seed {options.seed}: {reason}", flush=True)  # noqa: T201

    with TemporaryDirectory() as folder:
        run(cases, options.seeds or Path(folder) / "seeds", options.seed, report)
    for name, count in Counter(name for name, _ in cases).items():
        print(f"{name:<28}{count:>7} run{failed[name]:>6} failed")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
