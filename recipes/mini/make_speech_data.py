"""Make spoken sentences of 200 words for training `mini-speech`.

    apt-get install flite
    python recipes/mini/make_speech_data.py data/speech --clips 20000 --seed 1
    python recipes/mini/make_speech_data.py data/speech_test --clips 50 --seed 6 --split test

The program flite speaks them with its voice slt (Carnegie Mellon University, a free license without
conditions on the sound). Clips have 16 kHz, FLAC, silence at both ends, and a metadata.jsonl with
a caption of the voice and the spoken words. All speech starts at the same time, so that the words
decide what is heard when. Some training sentences are words in any order: a model must then read
each word. One of 20 of the other sentences belongs to the split "test" only, in which all
sentences are different. It also has a prompts.jsonl for `latentaudio evaluate --prompts`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator

RATE = 16000
CLIP_SAMPLES = (int(2.56 * RATE), int(5.12 * RATE))  # a short and a long clip
_LONG_PROBABILITY = 0.15  # of sentences that fit into a short clip
VOICE = "slt"
START_SAMPLES = RATE // 20  # silence before the speech
_ANY_ORDER_PROBABILITY = 0.4  # of training sentences that are words in any order
_TEST_DIVISOR = 20
_MAX_DRAWS = 1000  # of one new test sentence
CAPTIONS = (
    "a woman is speaking",
    "a female voice speaks",
    "a woman says a sentence",
    "a woman talks",
)
LISTS = {
    "who": "i you we they he she",
    "can": "can will must",
    "see": "see hear find follow watch hold",
    "scene": "river mountain ocean moon sun star castle bridge island lake tree village",
    "animal": "dog cat horse bird",
    "place": "garden house forest city castle street kitchen village",
    "opened": "door window book bottle letter box",
    "act": "open close",
    "family": "mother father uncle friend doctor teacher captain brother sister",
    "my": "my your the",
    "switch": "light radio computer engine machine fire",
    "vehicle": "train boat ship car",
    "leave": "leave stop come",
    "when": "today tomorrow tonight now again soon",
    "how": "cold warm dark quiet",
    "given": "key letter book phone money bread paper picture map ring",
    "thing": "door table chair book clock phone car house road sword robot",
    "kind": "red blue green white black old new big small long beautiful broken heavy empty strong "
    "clean expensive",
    "number": "one two three four five six seven eight nine ten",
    "reply": "yes no maybe",
    "go": "go wait come stay walk run sleep",
    "where": "here there home outside inside",
    "part": "morning evening night",
    "feel": "happy tired hungry ready sorry sure afraid",
    "drink": "coffee tea milk water bread fruit",
    "season": "winter summer autumn",
    "people": "people children women men",
    "day": "monday sunday friday saturday",
}  # fmt: skip
PATTERNS = (
    "{act} the {opened}", "please {act} {my} {opened}", "do not {act} the {opened}",
    "the {animal} is in the {place}", "{my} {animal} is in the {place}",
    "{who} {can} {see} the {scene}", "{who} {can} {see} {my} {family}", "where is {my} {family}",
    "where is the {given}", "turn on the {switch}", "turn off the {switch}",
    "the {vehicle} {can} {leave} {when}", "it is very {how} {when}", "it is {how} outside",
    "give me the {given} please", "i want the {given}", "the {thing} is {kind}",
    "this is {my} {kind} {thing}", "{number} and {number}", "it is {number} in the {part}",
    "{reply}, i {can} {see} the {scene}", "we {go} {where} {when}", "please {go} {where}",
    "they sleep in the {place}", "good {part} my friend", "hello my friend",
    "welcome to the {place}", "listen to the {scene}", "look at the {scene}",
    "{my} {family} is in the {place}", "there is a {animal} in the {place}",
    "i have {number} of them", "thank you very much", "{who} {can} not {see} the {scene}",
    "{my} {family} will come {when}", "what is your question", "this is a story about a {animal}",
    "we {can} hear music and a song", "i am very {feel}", "the {people} are {feel}",
    "do you like {drink}", "a cup of {drink} please", "it is {how} in {season}",
    "they will come on {day}", "the {people} want {drink}", "the {people} are in the {place}",
)  # fmt: skip
"""Sentences. The name of a list in braces stands for a word of the list."""


def sentence(rng: Generator, split: str) -> str:
    """Draw a sentence of a split, "train" or "test"."""
    if split == "train" and rng.random() < _ANY_ORDER_PROBABILITY:
        count = rng.integers(1, 7)
        return " ".join(str(word) for word in rng.choice(vocabulary(), count))
    while True:
        pattern = str(rng.choice(PATTERNS))
        text = re.sub(r"\{(\w+)\}", lambda name: str(rng.choice(LISTS[name[1]].split())), pattern)
        is_test = zlib.crc32(text.encode()) % _TEST_DIVISOR == 0
        if is_test == (split == "test"):
            return text


@cache
def vocabulary() -> list[str]:
    """Return all words of the sentences, sorted."""
    words = set()
    for pattern in PATTERNS:
        words.update(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "", pattern)))
        for name in re.findall(r"\{(\w+)\}", pattern):
            words.update(LISTS[name].split())
    return sorted(words)


def speak(text: str) -> np.ndarray:
    """Return a spoken text [N]."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", VOICE, "-t", text, "-o", file.name], check=True)
        samples, sample_rate = soundfile.read(file.name)
    if sample_rate != RATE:
        sys.exit(f"flite's voice {VOICE} has {sample_rate} Hz here, not {RATE}")
    return np.asarray(samples)


def draw_sentences(count: int, seed: int, split: str) -> list[tuple[str, Generator]]:
    """Draw sentences, each with the generator for the rest of its clip."""
    drawn = []
    texts: set[str] = set()
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        text = sentence(rng, split)
        for _ in range(_MAX_DRAWS):
            if split == "train" or text not in texts:
                break
            text = sentence(rng, split)
        else:
            sys.exit(f"there are too few test sentences for {count} clips; ask for fewer")
        texts.add(text)
        drawn.append((text, rng))
    return drawn


def write_clip(folder: Path, number: int, text: str, rng: Generator) -> dict[str, str] | None:
    """Write a clip and return its line of the table, or None if the sentence is too long."""
    samples = speak(text)
    samples = np.pad(samples, (START_SAMPLES, 0))
    short, long = CLIP_SAMPLES
    if len(samples) > long:
        return None
    is_long = len(samples) > short or rng.random() < _LONG_PROBABILITY
    samples = np.pad(samples, (0, (long if is_long else short) - len(samples)))
    name = f"{number:05d}.flac"
    soundfile.write(folder / name, samples, RATE)
    return {"file_name": name, "text": str(rng.choice(CAPTIONS)), "transcript": text}


def as_prompt(row: dict[str, str]) -> dict[str, str]:
    """Return the line of a list of prompts that asks for the clip of a row."""
    name = Path(row["file_name"]).stem
    return {"name": name, "prompt": row["text"], "transcript": row["transcript"]}


def write_table(file: Path, rows: list[dict[str, str]]) -> None:
    """Write rows as JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Write the clips and the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", choices=("train", "test"), default="train")
    flags = parser.parse_args()
    if shutil.which("flite") is None:
        sys.exit("flite is not installed; apt-get install flite")
    if flags.folder.exists():
        sys.exit(f"{flags.folder} exists; name a new folder")
    flags.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=flags.folder.parent) as temporary:
        folder = Path(temporary, "speech")
        folder.mkdir()
        sentences = draw_sentences(flags.clips, flags.seed, flags.split)
        with ThreadPoolExecutor(2) as threads:
            rows = list(
                threads.map(lambda k: write_clip(folder, k, *sentences[k]), range(flags.clips))
            )
        kept = [row for row in rows if row is not None]
        write_table(folder / "metadata.jsonl", kept)
        if flags.split == "test":
            write_table(folder / "prompts.jsonl", [as_prompt(row) for row in kept])
        folder.rename(flags.folder)
    sys.stdout.write(f"{len(kept)} clips, {len(vocabulary())} words\n")


if __name__ == "__main__":
    main()
