"""Golden outcomes of the renderer: every sound class, whole corpora, captions and prompts."""

from __future__ import annotations

import json
from functools import cache, partial
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
from golden.common import RATE, Outcome, Value, fresh

from latentaudio.data.concat_augment import CONJUNCTIONS, join_captions
from latentaudio.data.dataset import batch_indices, read_crop, seeded_generator
from latentaudio.data.manifest import METADATA, manifest_fingerprint, read_manifest
from latentaudio.evaluate.mini.attributes import ATTRIBUTE_CHECKS
from latentaudio.evaluate.mini.prompts import attribute_prompts, class_prompts, order_prompts
from latentaudio.train.text_distillation import lexicon
from procedural_audio.captions.grammar import Split, describe, split_of
from procedural_audio.captions.handwritten import handwritten_captions
from procedural_audio.captions.ood_prompts import has_novel_wording, ood_prompts
from procedural_audio.captions.sentences import SENTENCES
from procedural_audio.corpus import render_clip, render_corpus
from procedural_audio.registry import get_classes
from procedural_audio.scene import render_scene
from procedural_audio.sound_class import SoundClass
from procedural_audio.spec import CorpusSpec

TRAIN: Split = "train"
TEST: Split = "test"
EVENTS = "events"  # a key of manifests
CORPUS_FILE = "corpus.json"
DURATION = 2.56
CLIPS = ((0, 0), (0, 7), (1, 3), (5, 123), (42, 1000), (7, 31))
"""(seed, index) of clips of a corpus; the last is rendered at 48 kHz as WAV."""


def rendered(sound_class: SoundClass) -> Value:
    """A clip of one sound class, seed 0, index 0.

    Samples, 16-bit samples, annotations, and captions of both splits.
    """
    rng = np.random.default_rng([0, 0])
    samples, scene = render_scene((sound_class,), rng, RATE, DURATION)
    event = scene.events[0]
    annotations = sorted(repr(value) for value in event.annotations.values())
    position = [event.start_s, event.stop_s, event.distance, event.room, event.loudness]
    captions = [describe(scene, rng, split) for split in (TRAIN, TRAIN, TEST)]
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    return [samples, pcm, position, annotations, captions]


def corpus_clip(seed: int, index: int) -> Value:
    """A clip of a corpus: its file's samples, and the values of its line, sorted."""
    is_last = (seed, index) == CLIPS[-1]
    spec = CorpusSpec(
        hours=1.0,
        seed=seed,
        sample_rate=48000 if is_last else RATE,
        file_type="wav" if is_last else "flac",
    )
    folder = fresh("corpus")
    path = folder / spec.file_name(index)
    path.parent.mkdir(parents=True)
    line = render_clip(spec, get_classes(spec.classes), folder, index)
    samples, rate = soundfile.read(path, dtype="int16")
    events = []
    for event in line.pop(EVENTS):
        events.append(sorted(json.dumps(value, default=float) for value in event.values()))
    values = sorted(json.dumps(value, default=float) for value in line.values())
    return [samples, rate, values, events]


@cache
def corpus(split: Split) -> Path:
    """Render a small corpus of all sound classes."""
    folder = fresh(split)
    render_corpus(
        folder,
        hours=12 / 3600,
        seed=11,
        durations=(1.28, 2.56),
        duration_weights=(1, 1),
        split=split,
        num_workers=1,
    )
    return folder


def manifest_text(split: Split) -> Value:
    """The corpus's manifest as text: the format of folders that users keep."""
    return (corpus(split) / METADATA).read_text()


def corpus_text(split: Split) -> Value:
    """The corpus's own description as text."""
    return (corpus(split) / CORPUS_FILE).read_text()


def corpus_files(split: Split) -> Value:
    """Bytes of its audio files, in order."""
    files = sorted((corpus(split) / "clips").rglob("*.flac"))
    return [[str(file.relative_to(corpus(split))), file.read_bytes()] for file in files]


def manifest_read() -> Value:
    """The manifest as training reads it."""
    clips = []
    for clip in read_manifest(corpus(TRAIN)):
        clips.append([clip.path.name, list(clip.captions), clip.sample_rate, clip.num_samples])
    return [manifest_fingerprint(corpus(TRAIN)), clips]


def batches() -> Value:
    """Indices of the clips of batches, and crops."""
    clips = read_manifest(corpus(TRAIN))
    return [
        [batch_indices(len(clips), 4, 3, step) for step in range(4)],
        read_crop(clips[0], RATE, 8000, seeded_generator(3, 1)),
        read_crop(clips[1], 22050, 40000, seeded_generator(3, 2)),
    ]


def captions_of(split: Split) -> Value:
    """Captions of thirty scenes."""
    captions = []
    for index in range(30):
        rng = np.random.default_rng([13, index])
        _, scene = render_scene(get_classes(), rng, RATE, 2.6)
        captions.append([scene.relation, describe(scene, rng, split)])
    return captions


def common_word_texts() -> Value:
    """Short texts about words of a vocabulary."""
    texts = lexicon.common_word_texts(0, lexicon.list_words()[:50])
    return [pair.text for pair in islice(texts, 40)]


def lexicon_sentences() -> Value:
    """Sentences of the lexicon and their canonical forms."""
    return [[pair.text, pair.canonical] for pair in islice(lexicon.generate_sentences(0), 60)]


def out_of_distribution_prompts() -> Value:
    """Out-of-distribution prompts, and whether their words are in no caption."""
    return [[name, prompt, has_novel_wording(name, prompt)] for name, prompt in ood_prompts()]


def prompts_by_class() -> Value:
    """Held-out prompts for a single sound."""
    values = []
    for prompt in class_prompts(6, 1, DURATION):
        values.append([prompt.prompt, list(prompt.class_names), prompt.ground_truth])
    return values


def prompts_by_order() -> Value:
    """Held-out prompts for one sound and then another."""
    values = []
    for prompt in order_prompts(2, 1, DURATION):
        values.append([prompt.prompt, list(prompt.class_names), prompt.ground_truth])
    return values


def prompts_by_attribute() -> Value:
    """Held-out prompts that state an attribute, and whether their renders have it."""
    values = []
    for check in ATTRIBUTE_CHECKS.values():
        for item in attribute_prompts(check, 2, 1, DURATION):
            class_name = item.class_names[0]
            passed = check.is_satisfied(item.ground_truth, RATE, class_name, item.annotations)
            values.append([check.name, item.prompt, class_name, passed])
    return values


def joined_captions() -> Value:
    """Two captions joined by every conjunction."""
    return [join_captions("A dog barks.", "Rain falls.", word) for word in CONJUNCTIONS]


def captions_by_hand() -> Value:
    """Handwritten captions of every sound class."""
    return [[name, list(texts)] for name, texts in handwritten_captions().items()]


SPLITS: tuple[Split, ...] = (TRAIN, TEST)
OUTCOMES: dict[str, Outcome] = {
    **{f"render/{each.name}": partial(rendered, each) for each in get_classes()},
    **{f"corpus/item/seed-{s}-index-{i}": partial(corpus_clip, s, i) for s, i in CLIPS},
    **{f"corpus/{split}/manifest-text": partial(manifest_text, split) for split in SPLITS},
    **{f"corpus/{split}/about-text": partial(corpus_text, split) for split in SPLITS},
    **{f"corpus/{split}/files": partial(corpus_files, split) for split in SPLITS},
    "corpus/manifest-read": manifest_read,
    "corpus/batches": batches,
    "words/captions-train": lambda: captions_of(TRAIN),
    "words/captions-test": lambda: captions_of(TEST),
    "words/foreign-prompts": out_of_distribution_prompts,
    "words/sentences-spoken": lambda: list(SENTENCES),
    "words/wordings": captions_by_hand,
    "words/lexicon": lexicon.list_words,
    "words/lexicon-sentences": lexicon_sentences,
    "words/everyday": common_word_texts,
    "words/splits": lambda: [split_of(text) for text in SENTENCES],
    "words/links-of-pairs": joined_captions,
    "ask/of-every-kind": prompts_by_class,
    "ask/in-order": prompts_by_order,
    "ask/in-numbers": prompts_by_attribute,
}
