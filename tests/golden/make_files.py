"""Write tests/golden/files with today's code, once, before a redesign: files of users, which must go on to replay.

    PYTHONPATH=src:tests HF_HUB_OFFLINE=1 python tests/golden/make_files.py

A score (FLAC), an edit (WAV), a clip with candidates and a stereo finish (OGG), and the folder of a batch.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from golden.common import GOLDEN, RATE, sound

from latentaudio.audio.io import write
from latentaudio.cli.main import main

FILES = GOLDEN / "files"
MADE = (
    ["generate", "--score", "score.yaml", "--seconds", "1.3", "--steps", "3", "--seed", "7", "-o", "score.flac"],
    ["inpaint", "given.wav", "a church bell ringing", "--time", "0.3:0.6", "--steps", "3", "--seed", "8", "-o", "edit.wav"],
    [
        "generate", "a dog barking", "--candidates", "2", "--seconds", "1.3", "--steps", "2", "--seed", "9", "--stereo", "0.5",
        "--lufs", "-20", "--fade-out", "0.1", "-o", "finish.ogg",
    ],
    ["batch", "list.csv", "batch", "--steps", "2", "--seconds", "1.3", "--seed", "40", "--format", "ogg"],
)  # fmt: skip
HOW = ["--precision", "fp32", "--device", "cpu", "--quiet"]


def make() -> int:
    """All of them; the folder must not hold any yet."""
    torch.set_num_threads(1)
    FILES.mkdir(exist_ok=True)
    os.chdir(FILES)
    write("given.wav", sound(0.9), RATE)
    (FILES / "score.yaml").write_text(
        "score:\n- {at: 0, text: light rain}\n- {at: 0.6, text: a church bell ringing}\ncrossfade: 0.4\n"
    )
    (FILES / "list.csv").write_text('prompt,name,seed,lufs\n"a dog, barking",bark,7,-20\nrain on a roof,,,\n')
    return max(main([*tokens, *HOW]) for tokens in MADE)


if __name__ == "__main__":
    sys.exit(make())
