"""Record golden outcomes, or compare with the recorded ones.

    PYTHONPATH=src:tests HF_HUB_OFFLINE=1 python tests/golden/record.py [PREFIX ...] [--check]

Without `--check` it writes golden.json: all outcomes, or those whose names begin with a prefix.
With `--check` it compares and writes nothing. Bits depend on the processor, on the number of
threads (one, set here) and on the versions of torch and numpy, all of which the file names. On
another machine the summaries are compared with a tolerance, in place of the fingerprints.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import random
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

if __name__ == "__main__":  # before torch is imported; as a module it must not change the process
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np
import torch
from golden.common import GOLDEN, fingerprint, summary

RECORD_FILE = GOLDEN / "golden.json"
CPU_FLAGS = (
    "avx2", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni", "amx_bf16",
    "amx_tile", "amx_int8", "bf16",
)  # fmt: skip
PACKAGES = (
    "torch", "numpy", "scipy", "transformers", "tokenizers", "safetensors", "diffusers",
    "soundfile", "soxr", "pillow",
)  # fmt: skip
TOLERANCE = 2e-2

Comparison = Literal["same", "near", "differs", "new", "failed"]


def machine() -> dict[str, Any]:
    """Return what decides the bits of an outcome."""
    path = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text().split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            fields[key.strip()] = value.strip()
    flags = fields.get("flags", fields.get("Features", "")).split()
    return {
        "processor": fields.get("model name", platform.processor()),
        "model": fields.get("model", ""),
        "flags": [flag for flag in CPU_FLAGS if flag in flags],
        "system": platform.machine(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def compute(name: str) -> dict[str, Any]:
    """Return fingerprint and summary of an outcome, or its error; leaves no global state."""
    from golden.outcomes import OUTCOMES

    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    folder = Path.cwd()
    try:
        with (
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            value = OUTCOMES[name]()
        return {"sha256": fingerprint(value), "summary": summary(value)}
    except Exception as error:  # reported with the others at the end
        return {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    finally:
        os.chdir(folder)


def is_near(first: Any, second: Any) -> bool:
    """Return whether two summaries agree within the tolerance."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(is_near(first[k], second[k]) for k in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_near, first, second))
    if isinstance(first, float) and isinstance(second, float | int):
        return abs(first - second) <= TOLERANCE * max(1.0, abs(first), abs(second))
    return bool(first == second)


def compare(recorded: dict[str, Any] | None, outcome: dict[str, Any]) -> Comparison:
    """Return how an outcome compares with its record."""
    if recorded is None:
        return "new"
    if "error" in outcome:
        return "failed"
    if recorded["sha256"] == outcome["sha256"]:
        return "same"
    return "near" if is_near(recorded["summary"], outcome["summary"]) else "differs"


def load_record(path: Path = RECORD_FILE) -> dict[str, Any]:
    """Return the recorded outcomes and the machine that computed them."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def compute_all(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Compute outcomes and print the processor time of each."""
    outcomes: dict[str, dict[str, Any]] = {}
    for name in names:
        start = time.process_time()
        outcome = outcomes[name] = compute(name)
        seconds = time.process_time() - start
        text = outcome["sha256"][:12] if "sha256" in outcome else outcome["error"][:60]
        sys.stdout.write(f"{seconds:7.2f} s  {name}  {text}\n")
        sys.stdout.flush()
    for name, outcome in outcomes.items():
        if "error" in outcome:
            sys.stdout.write(f"\n{name}\n{outcome['trace']}")
    return outcomes


def check(record: dict[str, Any], outcomes: dict[str, dict[str, Any]]) -> int:
    """Print the outcomes that differ from the record; return 1 if there are any."""
    current = machine()
    is_same_machine = record["machine"] == current
    if not is_same_machine:
        changed = [key for key in current if record["machine"].get(key) != current[key]]
        sys.stdout.write(f"another machine ({', '.join(changed)}): summaries are compared\n")
    num_good = 0
    for name, outcome in outcomes.items():
        recorded = record["outcomes"].get(name)
        comparison = compare(recorded, outcome)
        if comparison == "same" or (comparison == "near" and not is_same_machine):
            num_good += 1
            continue
        sys.stdout.write(f"{comparison:8} {name}\n")
        if comparison == "differs" and recorded is not None:
            for label, each in (("was", recorded), ("is", outcome)):
                sys.stdout.write(f"  {label:3} {json.dumps(each['summary'])[:300]}\n")
    sys.stdout.write(f"{num_good} of {len(outcomes)} as recorded\n")
    return int(num_good < len(outcomes))


def main() -> int:
    """Compute the named outcomes, then compare or record them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prefixes", nargs="*", help="beginnings of names; default: all outcomes")
    parser.add_argument("--check", action="store_true", help="compare with the record")
    parser.add_argument("--reverse", action="store_true", help="in reverse order")
    parser.add_argument("--out", type=Path, default=RECORD_FILE, help="the record")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    from golden.outcomes import OUTCOMES

    prefixes = tuple(flags.prefixes)
    names = [name for name in OUTCOMES if not prefixes or name.startswith(prefixes)]
    outcomes = compute_all(names[::-1] if flags.reverse else names)
    good = {name: outcome for name, outcome in outcomes.items() if "error" not in outcome}
    if flags.check:
        return check(load_record(flags.out), outcomes)
    before = {}
    if flags.out.is_file() and prefixes:
        before = load_record(flags.out)["outcomes"]
    record = {"machine": machine(), "outcomes": dict(sorted({**before, **good}.items()))}
    text = json.dumps(record, indent=1, ensure_ascii=False)
    flags.out.write_text(text + "\n", encoding="utf-8")
    return int(len(good) < len(outcomes))


if __name__ == "__main__":
    sys.exit(main())
