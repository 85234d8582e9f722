"""Record checksums of rendered audio and of generated texts, for `test_checksums.py`.

    PYTHONPATH=src python tests/procedural_audio/record_checksums.py

writes `checksums.json`. Record anew only when `procedural_audio.spec.VERSION` is raised on
purpose: the file proves that a (seed, index) renders the same bytes in every release.

The bytes depend on the processor, the kernels of OpenBLAS, and the versions of numpy, scipy and
soxr, so the file names them. Elsewhere the test compares levels and texts instead of bytes.
"""

import hashlib
import json
import platform
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import threadpoolctl

from latentaudio.train.text_distillation import lexicon
from procedural_audio.captions.grammar import describe
from procedural_audio.captions.ood_prompts import has_novel_wording, ood_prompts
from procedural_audio.registry import get_classes
from procedural_audio.scene import render_scene
from procedural_audio.spec import CorpusSpec
from procedural_audio.synth import RenderContext

CHECKSUMS = Path(__file__).with_name("checksums.json")
SAMPLE_RATE = 16000
CLASS_TAKES = ((0, 2.56), (1, 1.28))  # (seed, duration in seconds)
NUM_ITEMS = 20  # of each split
CORPUS_SEED = 6
NUM_CAPTION_SCENES = 100  # two captions each
SAME_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # of OpenBLAS; their results are equal


def blas_kernels():
    """Kernels that OpenBLAS multiplies matrices with, by the name of the oldest equal ones."""
    names = {library.get("architecture", "") for library in threadpoolctl.threadpool_info()}
    return sorted({"SkylakeX" if name in SAME_KERNELS else name for name in names if name})


def environment():
    """What the bytes depend on: processor flags, matrix kernels and library versions."""
    flags = set()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        line = next((row for row in cpuinfo.read_text().splitlines() if row[:5] == "flags"), "")
        flags = set(line.split()) & {"avx2", "fma", "avx512f", "avx512_skx", "avx512_spr"}
    packages = {name: version(name) for name in ("numpy", "scipy", "soxr", "espeakng-loader")}
    hardware = {"machine": platform.machine(), "cpu_flags": sorted(flags), "blas": blas_kernels()}
    return {**hardware, **packages}


def plain(value):
    """The value with tuples as lists and numpy numbers as Python's."""
    return json.loads(json.dumps(value, default=float))


def fingerprint(samples):
    """Checksum of the sample bytes, and their level for other machines."""
    digest = hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()
    return {"sha256": digest, "rms": float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))}


def class_takes(sound_class):
    """Two takes of one sound class: samples and annotations."""
    takes = []
    for seed, duration in CLASS_TAKES:
        ctx = RenderContext(np.random.default_rng([31, seed]), SAMPLE_RATE, duration)
        take = sound_class.render(ctx)
        record = {"seed": seed, "duration": duration, **fingerprint(take.samples)}
        takes.append({**record, "annotations": plain(take.annotations)})
    return takes


def corpus_item(split, index):
    """One clip of a corpus of all classes: samples, scene and captions."""
    classes = get_classes()
    spec = CorpusSpec(hours=1.0, seed=CORPUS_SEED, split=split)
    rng = spec.clip_generator(index)
    duration = spec.draw_duration(rng)
    samples, scene = render_scene(
        classes, rng, 16000, duration, spec.main_class(classes, index), spec.mix_probabilities
    )
    captions = [describe(scene, rng, split) for _ in range(3)]
    events = []
    for event in scene.events:
        place = [event.start_s, event.stop_s, event.distance, event.room, event.loudness]
        events.append([event.sound_class.name, *place, event.annotations])
    record = {"relation": scene.relation, "captions": captions, "events": plain(events)}
    return {**record, **fingerprint(samples)}


def grammar_captions():
    """A training and a test caption of many scenes."""
    classes = get_classes()
    captions = []
    for index in range(NUM_CAPTION_SCENES):
        rng = np.random.default_rng([23, index])
        _, scene = render_scene(classes, rng, 8000, 2.56, classes[index % len(classes)])
        captions += [describe(scene, rng, "train"), describe(scene, rng, "test")]
    return captions


def ood_rows():
    """The out-of-distribution prompts, and whether their wording is new to training."""
    return [[name, prompt, has_novel_wording(name, prompt)] for name, prompt in ood_prompts()]


def lexicon_rows():
    """Sentences of the lexicon with their plain counterparts."""
    pairs = islice(lexicon.generate_sentences(3), 40)
    words = islice(lexicon.common_word_texts(3, ["anvil", "bishop", "cloud"]), 20)
    return [[pair.text, pair.canonical] for pair in [*pairs, *words]]


def record():
    """Everything that `checksums.json` holds."""
    items = {}
    for split in ("train", "test"):
        for index in range(NUM_ITEMS):
            items[f"{split}/{index}"] = corpus_item(split, index)
    return {
        "environment": environment(),
        "class_order": [each.name for each in get_classes()],
        "classes": {each.name: class_takes(each) for each in get_classes()},
        "items": items,
        "captions": grammar_captions(),
        "ood_prompts": ood_rows(),
        "lexicon": lexicon_rows(),
    }


if __name__ == "__main__":
    CHECKSUMS.write_text(json.dumps(record(), indent=1, sort_keys=True) + "\n")
