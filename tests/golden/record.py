"""Record golden outcomes, or compare with those recorded: `record.py [PREFIX ...] [--check] [--reverse] [--out FILE]`.

    PYTHONPATH=src:tests HF_HUB_OFFLINE=1 python tests/golden/record.py            writes golden.json (all, or those named)
    PYTHONPATH=src:tests HF_HUB_OFFLINE=1 python tests/golden/record.py --check    compares, writes nothing

Bits depend on the processor, on the number of threads (one, set here) and on the versions of torch and numpy: the file says
which. On another machine `--check` compares the summaries with a tolerance instead of the fingerprints.
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
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np
import torch
from golden.common import GOLDEN, fingerprint, summary

RECORDED = GOLDEN / "golden.json"
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_tile", "amx_int8", "bf16")
PACKAGES = ("torch", "numpy", "scipy", "transformers", "tokenizers", "safetensors", "diffusers", "soundfile", "soxr", "pillow")
TOLERANCE = 2e-2


def machine() -> dict[str, Any]:
    """What decides the bits."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    fields = dict(line.split(":", 1) for line in info.split("\n\n")[0].splitlines() if ":" in line)
    known = {key.strip(): value.strip() for key, value in fields.items()}
    flags = known.get("flags", known.get("Features", "")).split()
    return {
        "processor": known.get("model name", platform.processor()), "model": known.get("model", ""),
        "flags": [flag for flag in FLAGS if flag in flags], "system": platform.machine(), "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES}, "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }  # fmt: skip


def computed(name: str) -> dict[str, Any]:
    """Fingerprint and summary of an outcome, or what went wrong. Nothing global leaks from one to the next."""
    from golden.outcomes import OUTCOMES

    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    here = Path.cwd()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = OUTCOMES[name]()
        return {"sha256": fingerprint(value), "summary": summary(value)}
    except Exception as problem:  # told with the others at the end
        return {"error": f"{type(problem).__name__}: {problem}", "trace": traceback.format_exc()}
    finally:
        os.chdir(here)


def near(first: Any, second: Any) -> bool:
    """Whether two summaries agree, numbers within the tolerance of what is usual beside them."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(near(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(near(a, b) for a, b in zip(first, second, strict=True))
    if isinstance(first, float) and isinstance(second, float | int):
        return abs(first - second) <= TOLERANCE * max(1.0, abs(first), abs(second))
    return bool(first == second)


def main() -> int:
    """Run what was asked for and tell how long each took."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("prefixes", nargs="*", help="beginnings of names; all where none is given")
    asked.add_argument("--check", action="store_true", help="compare with what is recorded")
    asked.add_argument("--reverse", action="store_true", help="in reverse order: no outcome may depend on others")
    asked.add_argument("--out", type=Path, default=RECORDED, help="the record")
    told = asked.parse_args()
    torch.set_num_threads(1)
    from golden.outcomes import OUTCOMES

    names = [name for name in OUTCOMES if not told.prefixes or name.startswith(tuple(told.prefixes))]
    found: dict[str, dict[str, Any]] = {}
    began, worked = time.perf_counter(), time.process_time()
    for name in reversed(names) if told.reverse else names:
        start = time.process_time()
        found[name] = computed(name)
        took, verdict = time.process_time() - start, found[name].get("sha256", found[name].get("error", ""))[:60]
        sys.stdout.write(f"{took:7.2f} s  {name}  {verdict[:12] if 'sha256' in found[name] else verdict}\n")
        sys.stdout.flush()
    wrong = [name for name in names if "error" in found[name]]
    for name in wrong:
        sys.stdout.write(f"\n{name}\n{found[name]['trace']}")
    sys.stdout.write(
        f"{len(names)} outcomes, {len(wrong)} failed, {time.process_time() - worked:.0f} s of work in "
        f"{time.perf_counter() - began:.0f} s\n"
    )
    if told.check:
        return compare(json.loads(told.out.read_text()), found, names) or bool(wrong)
    before = json.loads(told.out.read_text())["outcomes"] if told.out.is_file() and told.prefixes else {}
    good = {name: found[name] for name in names if name not in wrong}
    record = {"machine": machine(), "outcomes": dict(sorted({**before, **good}.items()))}
    told.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return bool(wrong)


def compare(record: dict[str, Any], found: dict[str, dict[str, Any]], names: list[str]) -> int:
    """Tell which outcomes differ from the record; by summaries where the machine is another."""
    here, same = machine(), 0
    alike = record["machine"] == here
    if not alike:
        told = [key for key in here if record["machine"].get(key) != here[key]]
        sys.stdout.write(f"another machine ({', '.join(told)}): summaries are compared, not bits\n")
    for name in names:
        known, now = record["outcomes"].get(name), found[name]
        if known is None:
            sys.stdout.write(f"new      {name}\n")
        elif "error" in now:
            sys.stdout.write(f"failed   {name}: {now['error']}\n")
        elif known["sha256"] == now["sha256"]:
            same += 1
        elif near(known["summary"], now["summary"]):
            sys.stdout.write(f"{'DIFFERS' if alike else 'near   '}  {name} (its summary agrees)\n")
            same += not alike
        else:
            sys.stdout.write(
                f"DIFFERS  {name}\n  was {json.dumps(known['summary'])[:300]}\n  is  {json.dumps(now['summary'])[:300]}\n"
            )
    sys.stdout.write(f"{same} of {len(names)} as recorded\n")
    return int(same < len(names))


if __name__ == "__main__":
    sys.exit(main())
