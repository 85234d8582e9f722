"""Measure the word error rate of true speech and of speech synthesizers, as `evaluate` does.

    apt-get download asterisk-core-sounds-en-g722 pocketsphinx-testdata flite libflite1
    for file in *.deb; do dpkg-deb -x $file debs; done
    apt-get install espeak-ng
    pip install av
    python benchmarks/word_error_rate.py debs --transcripts core-sounds-en.txt

`core-sounds-en.txt` says what is spoken in the Asterisk sounds; it is in their source package. The
prompts of 4 to 20 words without digits are used. Nothing of it is kept in this repository.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from latentaudio.audio.io import read, write
from latentaudio.evaluate.embeddings_cache import EmbeddingsCache
from latentaudio.evaluate.metrics.word_error_rate import RATE, plain_words
from latentaudio.evaluate.protocols import PROTOCOLS
from latentaudio.evaluate.request import Request
from latentaudio.evaluate.run import evaluate_folders

ALLISON = "usr/share/asterisk/sounds/en_US_f_Allison"
LIBRIVOX = "usr/share/pocketsphinx/test/data/librivox"
VOICES = {
    "allison": "Allison Smith, prompts of Asterisk",
    "librivox": "a reader of LibriVox",
    "flite": "flite, voice slt, the same prompts",
    "espeak": "espeak-ng, en-us, the same prompts",
}
MIN_WORDS = 4
MAX_WORDS = 20


def read_prompts(path: Path) -> dict[str, str]:
    """Return the words of the prompts that are sentences, by name."""
    prompts = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, text = line.partition(": ")
        is_text = text and not re.search(r"[\d\[\](*#]|\.\.\.", text)
        if is_text and MIN_WORDS <= len(plain_words(text).split()) <= MAX_WORDS:
            prompts[name] = text
    return prompts


def read_librivox(folder: Path) -> dict[str, str]:
    """Return the words of the five sentences of pocketsphinx's test data, by name."""
    sentences = {}
    for line in (folder / "transcription").read_text(encoding="utf-8").splitlines():
        text, _, name = line.rpartition(" (")
        sentences[name.rstrip(")")] = text.replace("<s>", "").replace("</s>", "").strip()
    return sentences


def decode(path: Path) -> np.ndarray:
    """Return the samples [1, T] of a G.722 file at 16 kHz."""
    import av

    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1).reshape(1, -1).astype(np.float32) / 32768


def measure(voice: str, texts: dict[str, str], folder: Path) -> str:
    """Return a row of the table for the clips of a folder."""
    table = folder.parent / f"{folder.name}.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "transcript"))
        writer.writerows(texts.items())
    request = Request(
        folder, PROTOCOLS["recommended"], captions=table, metrics=("wer",), num_workers=1
    )
    with EmbeddingsCache(None) as cache:
        [value] = evaluate_folders(request, cache).values
    assert value.interval is not None
    low, high = value.interval
    return (
        f"| {voice} | {value.n} | {value.details['words']} | {value.value:.1%} | "
        f"{low:.1%} to {high:.1%} |"
    )


def make_clip(voice: str, clip: str, text: str, debs: Path, target: Path) -> None:
    """Write one clip of a voice."""
    if voice == "allison":
        write(target, decode(debs / ALLISON / f"{clip}.g722"), RATE)
    elif voice == "librivox":
        write(target, *read(debs / LIBRIVOX / f"{clip}.wav"))
    elif voice == "flite":
        libraries = {"LD_LIBRARY_PATH": str(next(debs.glob("usr/lib/*linux*")))}
        command = [debs / "usr/bin/flite_cmu_us_slt", "-t", text, "-o", target]
        subprocess.run(command, check=True, env={**os.environ, **libraries})
    else:
        subprocess.run(["espeak-ng", "-v", "en-us", "-w", target, text], check=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("debs", type=Path, help="folder with the unpacked packages")
    parser.add_argument("--transcripts", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=40, help="number of prompts of Asterisk")
    parser.add_argument("--voices", nargs="+", choices=VOICES, default=list(VOICES))
    flags = parser.parse_args()
    prompts = {}
    for name, text in read_prompts(flags.transcripts).items():
        if (flags.debs / ALLISON / f"{name}.g722").exists() and len(prompts) < flags.prompts:
            prompts[name] = text
    print("| voice | utterances | words | word error rate | 95 % interval |\n|---|---|---|---|---|")
    for voice in flags.voices:
        texts = read_librivox(flags.debs / LIBRIVOX) if voice == "librivox" else prompts
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "clips"
            folder.mkdir()
            for clip, text in texts.items():
                make_clip(voice, clip, text, flags.debs, folder / f"{clip}.wav")
            print(measure(VOICES[voice], texts, folder), flush=True)


if __name__ == "__main__":
    main()
