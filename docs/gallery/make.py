"""The gallery: twelve sounds of `mini`, the command of each, and its picture. `python docs/gallery/make.py [NUMBER ...]`.

Each line is a command as a user types it; it is run in this folder, and README.md is written from the same lines.
"""

import shlex
import sys
from pathlib import Path

from PIL import Image

from latentaudio.cli.main import main

HERE = Path(__file__).parent
LINES = [
    ("A prompt", 'generate "a dog barking in the rain" --seconds 5 --seed 7 -o 01-dog.flac'),
    ("Loud and wide", 'generate "rain on a tin roof" --seconds 5 --seed 1 --lufs -22 --stereo 0.6 -o 02-rain.flac'),
    ("A score", "generate --score score.yaml --seed 3 -o 03-score.flac"),
    ("One thing becomes another", 'morph "a dog barking" "a church bell ringing" --seconds 8 --seed 1 -o 04-morph.flac'),
    ("A dog as a bell", 'transfer 01-dog.flac "a church bell ringing" --strength 0.45 --seed 2 -o 05-transfer.flac'),
    ("Another take", "vary 01-dog.flac --amount 0.3 --seed 4 -o 06-vary.flac"),
    ("A hole filled", 'inpaint 02-rain.flac "rain on a tin roof" --time 2:3 --seed 5 -o 07-inpaint.flac'),
    ("The heights given back", 'upsample 01-dog.flac "a dog barking in the rain" --cutoff 3500 --seed 6 -o 08-upsample.flac'),
    ("Three seconds more", 'extend 02-rain.flac "rain on a tin roof" --right 3 --seed 7 -o 09-extend.flac'),
    ("A loop", 'generate "a helicopter flying" --seconds 4 --loop 1 --seed 8 -o 10-loop.flac'),
    ("Like a recording", "generate --sound 10-loop.flac --seed 9 -o 11-like.flac"),
    ("A band made anew", 'inpaint 01-dog.flac "birds chirping" --band 2000:6000 --seed 10 -o 12-band.flac'),
]  # fmt: skip


def made(line: str) -> None:
    """Run a line, and draw what it made."""
    code = main([*shlex.split(line), "--plot", "--quiet"])
    if code:
        raise SystemExit(f"{line}: exit code {code}")
    picture = HERE / f"{shlex.split(line)[-1]}.png"
    Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)


def page() -> str:
    """README.md of the gallery."""
    parts = [
        "# Gallery",
        "",
        "Twelve sounds of `mini`, made by `python docs/gallery/make.py` on a CPU. Nothing was chosen by ear or retried.",
    ]
    for name, line in LINES:
        file = shlex.split(line)[-1]
        parts += [
            "",
            f"## {name}",
            "",
            "```sh",
            f"latentaudio {line}",
            "```",
            "",
            f"[{file}]({file})",
            "",
            f"![{name}]({file}.png)",
        ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    import os

    os.chdir(HERE)
    wanted = sys.argv[1:] or [f"{k:02}" for k in range(1, len(LINES) + 1)]
    for _, line in LINES:
        if shlex.split(line)[-1][:2] in wanted:
            made(line)
    (HERE / "README.md").write_text(page(), encoding="utf-8")
