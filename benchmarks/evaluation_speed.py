"""Measure what `latentaudio evaluate` costs beside decoding and its network alone.

    python benchmarks/evaluation_speed.py --clips 500 2000

For each number of clips of 10 s, in processor time of one thread:

- network: reading the files, resampling, and YAMNet, nothing else.
- first: `evaluate --generated` with the default protocol and an empty cache.
- second: the same again, with the cache.
- memory: peak of the process after the second run, in MB. It must not grow with the clips.

`--with-reference` measures half of the clips against the other half, with all metrics of the
protocol. It adds what the metrics cost.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from latentaudio.audio.io import read, write
from latentaudio.evaluate.backbones import get_backbone
from latentaudio.evaluate.embeddings_cache import EmbeddingsCache
from latentaudio.evaluate.protocols import PROTOCOLS
from latentaudio.evaluate.request import Request
from latentaudio.evaluate.resampling import prepare
from latentaudio.evaluate.run import evaluate_folders

RATE = 16000
SECONDS = 10
PROTOCOL = PROTOCOLS["recommended"]


def make_clips(folder: Path, count: int) -> list[Path]:
    """Write clips of filtered noise, all unlike, so that none is in the cache of another."""
    rng = np.random.default_rng(0)
    noise = np.cumsum(rng.standard_normal(2 * SECONDS * RATE)).astype(np.float32)
    noise = (noise - np.convolve(noise, np.ones(400) / 400, "same")) * 0.02
    files = []
    for number in range(count):
        start = int(rng.integers(SECONDS * RATE))
        samples = noise[start : start + SECONDS * RATE] * rng.uniform(0.5, 1)
        files.append(folder / f"{number}.wav")
        write(files[-1], samples[None].clip(-1, 1).astype(np.float32), RATE)
    return files


def measure(count: int, with_reference: bool) -> tuple[float, float, float, float]:
    """Return seconds of the network, of the first and of the second run, and MB of memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clips").mkdir()
        files = make_clips(folder / "clips", count)
        reference = None
        if with_reference:
            reference = folder / "reference"
            reference.mkdir()
            for number, file in enumerate(files[count // 2 :]):
                file.rename(reference / f"{number}.wav")
            files = [*(folder / "clips").iterdir(), *reference.iterdir()]
        backbone = get_backbone(PROTOCOL.backbones[0]).load(None)
        start = time.process_time()
        for file in files:
            samples, rate = read(file, mono=False)
            backbone.embed(prepare(samples, rate, backbone.sample_rate, PROTOCOL))
        times = [time.process_time() - start]
        for _ in range(2):
            request = Request(folder / "clips", PROTOCOL, reference, num_workers=1)
            start = time.process_time()
            with EmbeddingsCache(folder / "cache") as cache:
                evaluate_folders(request, cache)
            times.append(time.process_time() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return times[0], times[1], times[2], memory


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--with-reference", action="store_true")
    flags = parser.parse_args()
    print("| clips | network, s | first, s | first / network | second / first | memory, MB |")
    print("|---|---|---|---|---|---|")
    for count in flags.clips:
        network, first, second, memory = measure(count, flags.with_reference)
        print(
            f"| {count} | {network:.1f} | {first:.1f} | {first / network:.2f} | "
            f"{second / first:.1%} | {memory:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
