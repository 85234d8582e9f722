"""What the renderer makes: every kind, whole corpora, captions and sentences."""

from __future__ import annotations

import json
from functools import cache, partial
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
from golden.common import RATE, Outcome, Value, fresh

from latentaudio.train.text_distillation import lexicon
from latentaudio.data.dataset import dice, draw, read_crop
from latentaudio.data.manifest import METADATA, digest, read_manifest
from latentaudio.data.concat_augment import LINKS, linked
from procedural_audio.corpus import render_clip, render_corpus
from procedural_audio.captions.ood_prompts import foreign_prompts
from procedural_audio.captions.ood_prompts import fresh as unheard_of
from procedural_audio.captions.grammar import Split, belongs, describe
from procedural_audio.sound_class import Kind
from procedural_audio.spec import Order
from procedural_audio.scene import play
from procedural_audio.captions.sentences import SENTENCES
from procedural_audio.registry import find
from procedural_audio.captions.handwritten import wordings
from latentaudio.evaluate.mini.attributes import QUESTIONS
from latentaudio.evaluate.mini.prompts import in_order, of_every_kind, spelling_out

TRAIN: Split = "train"
TEST: Split = "test"
EVENTS, ABOUT = "events", "corpus.json"  # a key of manifests and a file of corpora, which users keep
SECONDS = 2.56
ITEMS = ((0, 0), (0, 7), (1, 3), (5, 123), (42, 1000), (7, 31))
"""(seed, index) of whole items; the last is rendered at 48 kHz as WAV."""


def rendered(kind: Kind) -> Value:
    """A clip of one kind alone, seed 0, index 0: samples, 16-bit samples, facts and captions of both splits."""
    rng = np.random.default_rng([0, 0])
    samples, scene = play((kind,), rng, RATE, SECONDS)
    event = scene.events[0]
    facts = sorted(repr(value) for value in event.facts.values())
    placed = [event.start_s, event.stop_s, event.distance, event.room, event.loudness]
    captions = [describe(scene, rng, TRAIN), describe(scene, rng, TRAIN), describe(scene, rng, TEST)]
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    return [samples, pcm, placed, facts, captions]


def item(seed: int, index: int) -> Value:
    """A whole item of a corpus: its file's samples and the values of its line, sorted (keys may be renamed)."""
    last = (seed, index) == ITEMS[-1]
    order = Order(hours=1.0, seed=seed, rate=48000 if last else RATE, file_type="wav" if last else "flac")
    folder = fresh("corpus")
    (folder / order.file_name(index)).parent.mkdir(parents=True)
    line = render_clip(order, find(order.kinds), folder, index)
    samples, rate = soundfile.read(folder / order.file_name(index), dtype="int16")
    values = sorted(json.dumps(value, default=float) for key, value in line.items() if key != EVENTS)
    events = [sorted(json.dumps(value, default=float) for value in event.values()) for event in line[EVENTS]]
    return [samples, rate, values, events]


@cache
def corpus(split: Split) -> Path:
    """A small corpus of all kinds."""
    folder = fresh(split)
    render_corpus(folder, hours=12 / 3600, seed=11, seconds=(1.28, 2.56), weights=(1, 1), split=split, workers=1)
    return folder


def manifest_text(split: Split) -> Value:
    """The corpus's own table, to the letter: the format of folders that users keep."""
    return (corpus(split) / METADATA).read_text()


def corpus_text(split: Split) -> Value:
    """What the folder says of itself, to the letter."""
    return (corpus(split) / ABOUT).read_text()


def corpus_files(split: Split) -> Value:
    """Bytes of its sound files, in order."""
    files = sorted((corpus(split) / "clips").rglob("*.flac"))
    return [[str(file.relative_to(corpus(split))), file.read_bytes()] for file in files]


def manifest_read() -> Value:
    """The table as training reads it."""
    clips = read_manifest(corpus(TRAIN))
    return [digest(corpus(TRAIN)), [[clip.path.name, list(clip.captions), clip.rate, clip.samples] for clip in clips]]


def batches() -> Value:
    """Which clips a batch holds, and a crop of one."""
    clips = read_manifest(corpus(TRAIN))
    drawn = [draw(len(clips), 4, 3, step) for step in range(4)]
    return [drawn, read_crop(clips[0], RATE, 8000, dice(3, 1)), read_crop(clips[1], 22050, 40000, dice(3, 2))]


def captions(split: Split) -> Value:
    """What the grammar says of thirty scenes."""
    said = []
    for index in range(30):
        rng = np.random.default_rng([13, index])
        _, scene = play(find(), rng, RATE, 2.6)
        said.append([scene.relation, describe(scene, rng, split)])
    return said


def everyday_lines() -> Value:
    """Short texts on words of a vocabulary."""
    return [line.text for line in islice(lexicon.everyday(0, lexicon.words()[:50]), 40)]


def asked_of_every_kind() -> Value:
    """Held-out prompts for one sound alone."""
    return [[asked.prompt, list(asked.kinds), asked.truth] for asked in of_every_kind(6, 1, SECONDS)]


def asked_in_order() -> Value:
    """Held-out prompts for one sound and then another."""
    return [[asked.prompt, list(asked.kinds), asked.truth] for asked in in_order(2, 1, SECONDS)]


def asked_in_numbers() -> Value:
    """Held-out prompts that spell out a fact, and whether their renders keep it."""
    found = []
    for question in QUESTIONS.values():
        for asked in spelling_out(question, 2, 1, SECONDS):
            right = question.right(asked.truth, RATE, asked.kinds[0], asked.facts)
            found.append([question.name, asked.prompt, asked.kinds[0], right])
    return found


OUTCOMES: dict[str, Outcome] = {
    **{f"render/{kind.name}": partial(rendered, kind) for kind in find()},
    **{f"corpus/item/seed-{seed}-index-{index}": partial(item, seed, index) for seed, index in ITEMS},
    **{f"corpus/{split}/manifest-text": partial(manifest_text, split) for split in (TRAIN, TEST)},
    **{f"corpus/{split}/about-text": partial(corpus_text, split) for split in (TRAIN, TEST)},
    **{f"corpus/{split}/files": partial(corpus_files, split) for split in (TRAIN, TEST)},
    "corpus/manifest-read": manifest_read,
    "corpus/batches": batches,
    "words/captions-train": lambda: captions(TRAIN),
    "words/captions-test": lambda: captions(TEST),
    "words/foreign-prompts": lambda: [[kind, prompt, unheard_of(kind, prompt)] for kind, prompt in foreign_prompts()],
    "words/sentences-spoken": lambda: list(SENTENCES),
    "words/wordings": lambda: [[kind, list(texts)] for kind, texts in wordings().items()],
    "words/lexicon": lambda: lexicon.words(),
    "words/lexicon-sentences": lambda: [[line.text, line.plain] for line in islice(lexicon.sentences(0), 60)],
    "words/everyday": everyday_lines,
    "words/splits": lambda: [belongs(text) for text in SENTENCES],
    "words/links-of-pairs": lambda: [linked("A dog barks.", "Rain falls.", link) for link in LINKS],
    "ask/of-every-kind": asked_of_every_kind,
    "ask/in-order": asked_in_order,
    "ask/in-numbers": asked_in_numbers,
}
