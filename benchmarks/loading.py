"""Measure loading of audioldm2-full in bf16: peak memory relative to the weights, time to reading.

    python benchmarks/loading.py --output benchmarks/loading.md

The model has random weights in a diffusers folder: as float32 (cast while loading) and as bfloat16
(memory-mapped). Each load runs in a process of its own, and its memory before loading is
subtracted.

* load: all components, then one byte of every page of every tensor, so that mapped files are read.
* read: the same files read once into a buffer of 16 MiB, just before.
* cold: the files are removed from the page cache before each load. warm: they are in it.
* peak RSS and peak anonymous memory are measured before the pages are touched, relative to the size
  of the weights. They are the maximum of five runs. Mapped memory belongs to the page cache and is
  released if memory is short.

Times are medians of five runs.
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

MODEL = "audioldm2-full"
NUM_RUNS = 5
MEMORY_KINDS = ("RssAnon", "VmRSS")
POLL_S = 0.002
PAGE_BYTES = 4096
COLUMNS = (
    "stored as", "page cache", "weights", "peak RSS / weights", "peak anonymous / weights",
    "load", "read", "load / read",
)  # fmt: skip


def memory_bytes(kind):
    """Return the memory of this process of one kind: RssAnon or VmRSS."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) * 1024
    raise KeyError(kind)


class PeakMemory(threading.Thread):
    """Follows the memory of this process until `stop` is called."""

    def __init__(self):
        super().__init__()
        self.before = {kind: memory_bytes(kind) for kind in MEMORY_KINDS}
        self.peak = dict.fromkeys(MEMORY_KINDS, 0)
        self._stopped = threading.Event()

    def run(self):
        """Poll."""
        while not self._stopped.is_set():
            for kind in MEMORY_KINDS:
                self.peak[kind] = max(self.peak[kind], memory_bytes(kind))
            time.sleep(POLL_S)

    def stop(self):
        """Return the increase of each kind in bytes."""
        self._stopped.set()
        self.join()
        return {kind: self.peak[kind] - self.before[kind] for kind in MEMORY_KINDS}


def measure_load(folder):
    """Load the model of a folder in this process, and print the measurements as JSON."""
    import torch
    import transformers  # noqa: F401
    from transformers import ClapModel, GPT2Model, T5EncoderModel  # noqa: F401

    from latentaudio.loaders.components import build_component, component_names
    from latentaudio.loaders.resolve import resolve_model

    source = resolve_model(folder, reference="diffusers")
    names = component_names(source.config)
    with torch.device("meta"):  # imports all modules before the clock starts
        for name in names:
            build_component(name, source.config)
    memory = PeakMemory()
    memory.start()
    start = time.perf_counter()
    components = [source.load_component(name, dtype=torch.bfloat16) for name in names]
    load_seconds = time.perf_counter() - start
    increase = memory.stop()
    tensors = []
    for component in components:
        tensors += component.state_dict().values()
    start = time.perf_counter()
    for tensor in tensors:
        tensor.contiguous().view(-1).view(torch.uint8)[::PAGE_BYTES].sum()
    load_seconds += time.perf_counter() - start
    weight_bytes = sum(tensor.nbytes for tensor in tensors)
    print(json.dumps({"seconds": load_seconds, "weight_bytes": weight_bytes, **increase}))


def drop_from_page_cache(folder):
    """Remove the weights of a folder from the page cache."""
    for file in folder.rglob("*.safetensors"):
        with file.open("rb") as stream:
            os.fdatasync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_seconds(folder):
    """Return the time to read the weights of a folder once."""
    start = time.perf_counter()
    buffer = bytearray(16 << 20)
    for file in folder.rglob("*.safetensors"):
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass
    return time.perf_counter() - start


def random_state(name, config):
    """Return the tensors of a component in diffusers' layout, with random weights."""
    import torch

    from latentaudio.loaders.components import COMPONENTS, build_component
    from latentaudio.loaders.layouts import LAYOUTS

    with torch.device("meta"):
        shapes = build_component(name, config).state_dict()
    state = {}
    for key, value in shapes.items():
        state[key] = torch.zeros_like(value, device="cpu")
        if value.is_floating_point():
            state[key].normal_()
    return LAYOUTS["diffusers"].to_foreign(COMPONENTS[name], state, config)


def write_model(float32, bfloat16):
    """Write the model in diffusers' layout to two folders."""
    import torch
    from safetensors.torch import save_file

    from latentaudio.config.registry import MODELS
    from latentaudio.loaders import diffusers_format
    from latentaudio.loaders.components import COMPONENTS, component_names

    config = MODELS[MODEL].config
    contents = diffusers_format.component_configs(config)
    contents[diffusers_format.INDEX] = diffusers_format.model_index(config)
    for name, content in contents.items():
        (float32 / name).parent.mkdir(parents=True, exist_ok=True)
        (float32 / name).write_text(json.dumps(content))
    shutil.copytree(float32, bfloat16)
    stems = {}
    tensors = {}
    for name in component_names(config):
        folders = COMPONENTS[name].diffusers.folders
        stems.update({folder.name: folder.file_stem for folder in folders})
        for key, value in random_state(name, config).items():
            subfolder, _, inner = key.rpartition("/")
            tensors.setdefault(subfolder or folders[0].name, {})[inner] = value.contiguous()
    for subfolder, state in tensors.items():
        for root, dtype in ((float32, torch.float32), (bfloat16, torch.bfloat16)):
            stored = {}
            for key, value in state.items():
                stored[key] = value.to(dtype) if value.is_floating_point() else value
            save_file(stored, root / subfolder / f"{stems[subfolder]}.safetensors")


def measure_folder(folder, is_cold):
    """Return the cells of one row of the table."""
    reads = []
    loads = []
    for _ in range(NUM_RUNS):
        if is_cold:
            drop_from_page_cache(folder)
        reads.append(read_seconds(folder))
        if is_cold:
            drop_from_page_cache(folder)
        command = [sys.executable, __file__, "--measure", folder]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        loads.append(json.loads(output.splitlines()[-1]))
    weight_bytes = loads[0]["weight_bytes"]
    load = median(run["seconds"] for run in loads)
    read = median(reads)
    peak_rss = max(run["VmRSS"] for run in loads) / weight_bytes
    peak_anonymous = max(run["RssAnon"] for run in loads) / weight_bytes
    return (
        folder.name,
        "cold" if is_cold else "warm",
        f"{weight_bytes / 1e9:.2f} GB",
        f"{peak_rss:.2f}",
        f"{peak_anonymous:.2f}",
        f"{load:.2f} s",
        f"{read:.2f} s",
        f"{load / read:.2f}",
    )


def measure_all():
    """Return the rows of the table; each is printed as soon as it is measured."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    root = Path(tempfile.mkdtemp())
    try:
        folders = (root / "float32", root / "bfloat16")
        write_model(*folders)
        for folder in folders:
            for is_cold in (True, False):
                lines.append(f"| {' | '.join(measure_folder(folder, is_cold))} |")
                print(lines[-1], flush=True)
    finally:
        shutil.rmtree(root)
    return lines


def main():
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", type=Path, help="load this folder in this process, once")
    parser.add_argument("--output", type=Path)
    flags = parser.parse_args()
    if flags.measure:
        measure_load(flags.measure)
        return
    table = "\n".join(measure_all())
    if flags.output:
        introduction = (__doc__ or "").strip()
        flags.output.write_text(f"# Loading {MODEL} in bf16\n\n{introduction}\n\n{table}\n")


if __name__ == "__main__":
    main()
