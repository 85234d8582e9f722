"""Memory of pre-encoding: the peak for 3,000 clips is that for 100.

The clips are short files of noise. The encoder writes random numbers of the shapes of AudioLDM 2.
So all but the networks is measured: the check of the sounds, chunks, files of the data set. The
script fails if the peak grows by more than a tenth of what is written. Batches map these files: the
pages that they touch are the system's cache, and are not measured.

    python benchmarks/encoding_memory.py [--numbers 100 3000 12000]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch

from latentaudio.config.registry import MODELS
from latentaudio.data.pre_encoded import pack_captions
from latentaudio.train import pre_encode as module

NUM_CLIPS = (100, 3000)
CAPTIONS = 3
RATE = 16000
MAX_GROWTH = 0.1  # of the bytes that are written
MEGABYTE = 2**20


class RandomEncoder:
    """Arrays of the shapes of AudioLDM 2, without networks."""

    def encode_rows(self, rows, num_frames):
        num_rows = len(rows)
        generator = torch.Generator().manual_seed(num_rows)
        arrays = {}
        for name in ("latent", "latent_logvar"):
            shape = (num_rows, 8, num_frames // 4, 16)
            arrays[name] = torch.randn(shape, generator=generator).half()
        loa = torch.randn((num_rows, num_frames // 16, 768), generator=generator)
        arrays["audio/language_of_audio.tokens"] = loa.half()
        num_captions = num_rows * CAPTIONS
        tokens = torch.randn((num_captions, 15, 1024), generator=generator).half()
        vectors = torch.randn((num_captions, 512), generator=generator).half()
        captions = {"t5.tokens": tokens, "t5.mask": torch.ones(num_captions, 15)}
        return arrays | pack_captions({**captions, "clap.vector": vectors})

    def encode_empty_caption(self):
        return {}

    def zero_conditioners(self):
        return ()


def write_clips(folder, num_clips):
    rng = np.random.default_rng(0)
    lines = []
    for index in range(num_clips):
        soundfile.write(folder / f"{index}.wav", rng.normal(scale=0.1, size=RATE // 8), RATE)
        captions = [f"sound {index}, {word}" for word in ("near", "far", "loud")]
        lines.append(json.dumps({"file_name": f"{index}.wav", "captions": captions}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))


def peak_megabytes():
    """Return the largest memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def measure(num_clips):
    """Encode clips in this process; return the peak in MB and the bytes that were written."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ["LATENTAUDIO_CACHE"] = str(root / "cache")
        (root / "data").mkdir()
        write_clips(root / "data", num_clips)
        module.encoder_fingerprint = lambda folder, config: "random"
        module._encoder.cache_clear()
        PreEncoder = type("PreEncoder", (RandomEncoder,), {"__init__": lambda self, *a: None})
        module.PreEncoder = PreEncoder
        module.CLIPS_PER_WORKER = 10**9  # one process
        config = MODELS["audioldm2-full"].config
        folder = module.pre_encode((root / "data",), root / "run" / "model", config)
        peak = peak_megabytes()
        written = sum(file.stat().st_size for file in folder.iterdir())
    print(json.dumps([peak, written / MEGABYTE]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, help="measure so many clips in this process")
    parser.add_argument("--numbers", type=int, nargs="+", default=NUM_CLIPS)
    arguments = parser.parse_args()
    if arguments.clips:
        measure(arguments.clips)
        return 0
    peaks = []
    sizes = []
    for num_clips in arguments.numbers:
        command = [sys.executable, __file__, "--clips", str(num_clips)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peak, written = json.loads(output.splitlines()[-1])
        peaks.append(peak)
        sizes.append(written)
        print(f"{num_clips} clips: peak {peak:.0f} MB, {written:.0f} MB written", flush=True)
    growth = (peaks[-1] - peaks[0]) / (sizes[-1] - sizes[0])
    print(f"growth of the peak: {100 * growth:.1f} % of what is written")
    return int(growth > MAX_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
