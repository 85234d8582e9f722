"""Loading audioldm2-full at full width in bf16: peak memory over the weights' bytes, time over reading the files.

    python benchmarks/loading.py --output benchmarks/loading.md

Random weights in a diffusers folder, as float32 (cast while loading) and as bfloat16 (mapped). Each load runs in a process
of its own; its memory before loading is taken off. Load: all parts, then one byte of every page of every tensor, so that
what is mapped is read too. Read: the same files read once into a buffer of 16 MiB, just before. Cold: the files are put out
of the page cache before each; warm: they are in it. Medians of 5. Memory is measured before the pages are touched, the
largest of all; what is mapped belongs to the cache, and goes when memory is short.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

REPEATS = 5


def memory(kind):
    """Bytes of one kind (RssAnon, VmRSS) of this process."""
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind)
    )
    return int(line.split()[1]) * 1024


def child(folder):
    import torch
    import transformers  # noqa: F401
    from transformers import ClapModel, GPT2Model, T5EncoderModel  # noqa: F401

    from latentaudio.loaders.model_folder import build, parts_of
    from latentaudio.loaders.resolve import find

    found = find(folder, how="diffusers")
    with torch.device("meta"):
        for name in parts_of(found.config):
            build(name, found.config)
    before, peak, done = (
        {kind: memory(kind) for kind in ("RssAnon", "VmRSS")},
        {"RssAnon": 0, "VmRSS": 0},
        False,
    )

    def watch():
        while not done:
            for kind in peak:
                peak[kind] = max(peak[kind], memory(kind))
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    parts = [found.part(name, dtype=torch.bfloat16) for name in parts_of(found.config)]
    done, loading = True, time.perf_counter() - began
    watcher.join()
    tensors = [value for part in parts for value in part.state_dict().values()]
    began = time.perf_counter()
    for value in tensors:
        value.contiguous().view(-1).view(torch.uint8)[::4096].sum()
    seconds = loading + time.perf_counter() - began
    held = sum(value.nbytes for value in tensors)
    print(
        json.dumps(
            {"seconds": seconds, "held": held, **{kind: peak[kind] - before[kind] for kind in peak}}
        )
    )


def forget(folder):
    """Put a folder's files out of the page cache."""
    for file in folder.rglob("*.safetensors"):
        with file.open("rb") as stream:
            os.fdatasync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def reading(folder):
    began = time.perf_counter()
    buffer = bytearray(16 << 20)
    for file in folder.rglob("*.safetensors"):
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass
    return time.perf_counter() - began


def model(folder, half):
    """Write audioldm2-full with random weights as diffusers lays it out: in float32 and, at `half`, in bf16."""
    import torch
    from safetensors.torch import save_file

    from latentaudio.config.registry import VARIANTS
    from latentaudio.loaders import diffusers_configs, diffusers_format, key_mapping
    from latentaudio.loaders.convert import FILES
    from latentaudio.loaders.model_folder import build, parts_of

    config = VARIANTS["audioldm2-full"].config
    for name, content in {
        **diffusers_configs.components(config),
        diffusers_format.INDEX: diffusers_format.index(config),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    files = {}
    for part in parts_of(config):
        with torch.device("meta"):
            state = build(part, config).state_dict()
        real = {k: torch.zeros_like(v, device="cpu") for k, v in state.items()}
        for value in real.values():
            if value.is_floating_point():
                value.normal_()
        for name, value in key_mapping.write(
            key_mapping.slots(part, config, state, "diffusers"), real
        ):
            where, _, inner = (
                name.rpartition("/")
                if "/" in name
                else (diffusers_format.COMPONENTS[part], "", name)
            )
            files.setdefault(where, {})[inner] = value.contiguous()
    shutil.copytree(folder, half)
    for where, tensors in files.items():
        for place, dtype in ((folder, torch.float32), (half, torch.bfloat16)):
            stored = {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}
            save_file(stored, place / where / f"{FILES.get(where, 'model')}.safetensors")


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--child", type=Path)
    words.add_argument("--output", type=Path)
    given = words.parse_args()
    if given.child:
        return child(given.child)
    home = Path(tempfile.mkdtemp())
    try:
        folder, half = home / "float32", home / "bfloat16"
        model(folder, half)
        lines = [
            "| stored as | cache | weights held | peak RSS / held | peak anonymous / held | load | read | ratio |"
        ]
        lines.append("|---|---|---|---|---|---|---|---|")
        for place, cold in ((folder, True), (folder, False), (half, True), (half, False)):
            reads, runs = [], []
            for _ in range(REPEATS):
                if cold:
                    forget(place)
                reads.append(reading(place))
                if cold:
                    forget(place)
                out = subprocess.run(
                    [sys.executable, __file__, "--child", place],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                runs.append(json.loads(out.stdout.splitlines()[-1]))
            held, load, read = runs[0]["held"], median(r["seconds"] for r in runs), median(reads)
            rss, anonymous = (max(r[kind] for r in runs) / held for kind in ("VmRSS", "RssAnon"))
            cells = (
                place.name,
                "cold" if cold else "warm",
                f"{held / 1e9:.2f} GB",
                f"{rss:.2f}",
                f"{anonymous:.2f}",
            )
            lines.append(
                f"| {' | '.join(cells)} | {load:.2f} s | {read:.2f} s | {load / read:.2f} |"
            )
            print(lines[-1], flush=True)
        if given.output:
            head = (__doc__ or "").strip()
            given.output.write_text(
                f"# Loading audioldm2-full in bf16\n\n{head}\n\n" + "\n".join(lines) + "\n"
            )
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
