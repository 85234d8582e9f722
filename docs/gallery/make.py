"""Make the gallery: twelve clips of `mini`, the command of each, and its spectrogram.

    python docs/gallery/make.py [NUMBER ...]

Each command is run in this folder as a user types it. README.md is written from the same commands.
"""

import os
import shlex
import sys
from pathlib import Path

from PIL import Image

from latentaudio.cli.main import main

FOLDER = Path(__file__).parent
NUM_COLORS = 64  # of the spectrograms, to keep their files small
COMMANDS = [
    ("A prompt", 'generate "a dog barking in the rain" --duration 5 --seed 7 -o 01-dog.flac'),
    (
        "Loudness and stereo width",
        'generate "rain on a tin roof" --duration 5 --seed 1 --lufs -22 --stereo-width 0.6 '
        "-o 02-rain.flac",
    ),
    ("A timeline", "generate --timeline timeline.yaml --seed 3 -o 03-timeline.flac"),
    (
        "Morph between two sounds",
        'morph "a dog barking" "a church bell ringing" --duration 8 --seed 1 -o 04-morph.flac',
    ),
    (
        "Transfer a dog to a bell",
        'transfer 01-dog.flac "a church bell ringing" --strength 0.45 --seed 2 -o 05-transfer.flac',
    ),
    ("A variation", "vary 01-dog.flac --strength 0.3 --seed 4 -o 06-vary.flac"),
    (
        "Inpaint a time range",
        'inpaint 02-rain.flac "rain on a tin roof" --time 2:3 --seed 5 -o 07-inpaint.flac',
    ),
    (
        "Audio super-resolution",
        'super-resolve 01-dog.flac "a dog barking in the rain" --cutoff-hz 3500 --seed 6 '
        "-o 08-super-resolve.flac",
    ),
    (
        "Extend by three seconds",
        'extend 02-rain.flac "rain on a tin roof" --after 3 --seed 7 -o 09-extend.flac',
    ),
    (
        "A loop",
        'generate "a helicopter flying" --duration 4 --loop-seam 1 --seed 8 -o 10-loop.flac',
    ),
    ("An audio prompt", "generate --audio-prompt 10-loop.flac --seed 9 -o 11-audio-prompt.flac"),
    (
        "Inpaint a frequency range",
        'inpaint 01-dog.flac "birds chirping" --band 2000:6000 --seed 10 -o 12-band.flac',
    ),
]
"""Title and command line of each clip; the last word of a command is its file."""

INTRODUCTION = """# Gallery

Twelve clips of `mini`, made by `python docs/gallery/make.py` on a CPU. None was selected by ear or
generated again. Generated clips have -23 LUFS, 02-rain -22 by an option. Edits keep the level of
their source: they have -35 to -15 LUFS.

Each picture shows one clip, with time from left to right. Above is the waveform. Below is the mel
spectrogram: the bottom is 0 Hz, the top is 8 kHz, and bright means loud.
"""


def output_file(command: str) -> str:
    """Return the file that a command writes."""
    return shlex.split(command)[-1]


def run(command: str) -> None:
    """Run a command, and reduce the colors of its spectrogram."""
    exit_code = main([*shlex.split(command), "--plot", "--quiet"])
    if exit_code:
        raise SystemExit(f"{command}: exit code {exit_code}")
    image = FOLDER / f"{output_file(command)}.png"
    Image.open(image).convert("RGB").quantize(NUM_COLORS).save(image, optimize=True)


def page() -> str:
    """Return README.md of the gallery."""
    text = INTRODUCTION
    for title, command in COMMANDS:
        file = output_file(command)
        text += f"\n## {title}\n\n```sh\nlatentaudio {command}\n```\n"
        text += f"\n[{file}]({file})\n\n![{title}]({file}.png)\n"
    return text


if __name__ == "__main__":
    os.chdir(FOLDER)
    numbers = sys.argv[1:]
    for _, command in COMMANDS:
        if not numbers or output_file(command)[:2] in numbers:
            run(command)
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")
