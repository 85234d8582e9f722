"""Kinds of files that the evaluation reads: clips, captions, features, results, answers."""

import json
import shutil
from dataclasses import replace
from unittest.mock import patch

import numpy as np
from kind import Kind
from mutations import mutate_bytes, mutate_json, mutate_json_lines, mutate_text
from tiny_backbone import TinyBackbone, spec_of

from latentaudio.audio.io import write
from latentaudio.evaluate import backbones
from latentaudio.evaluate.backbones.audiobox_aesthetics import read_settings
from latentaudio.evaluate.clips import find_clips as find_folder
from latentaudio.evaluate.clips import read_captions, read_classes, read_subset, select_clips
from latentaudio.evaluate.compare import compare_evaluations, table
from latentaudio.evaluate.embeddings_cache import EmbeddingsCache
from latentaudio.evaluate.feature_files import read_feature_sets
from latentaudio.evaluate.html_report import render_page
from latentaudio.evaluate.listening.answers import AnswerStore
from latentaudio.evaluate.listening.plan import plan_test
from latentaudio.evaluate.listening.summary import summarize_files
from latentaudio.evaluate.mini.yamnet_benchmark import read_recordings
from latentaudio.evaluate.protocols import PROTOCOLS
from latentaudio.evaluate.report import load_evaluation
from latentaudio.evaluate.request import Request
from latentaudio.evaluate.run import evaluate_features, evaluate_folders

RATE = 8000
NAMES = ("dog", "rain", "bell")
METRICS = ("frechet", "frechet-infinity", "kad", "kid", "kl", "inception-score", "lsd", "ssim",
    "psnr", "control")  # fmt: skip
PROTOCOL = replace(PROTOCOLS["recommended"], backbones=("tiny",), metrics=METRICS)
AXES = {name: {"mean": 5.0, "std": 1.0} for name in ("CE", "CU", "PC", "PQ")}


def evaluate(folder, cache=None, captions=None):
    """Measure the pair of folders, with a network of four bands."""
    backbone = TinyBackbone("tiny")
    backbone.labels = ["low", "middle", "high", "hiss"]
    request = Request(folder / "generated", PROTOCOL, folder / "reference", captions, num_workers=1)
    table_of_networks = {"tiny": spec_of(backbone, has_classes=True)}
    with (
        patch.object(backbones, "BACKBONES", table_of_networks),
        EmbeddingsCache(cache) as features,
    ):
        return evaluate_folders(request, features)


def open_clips(folder):
    str(evaluate(folder))


def open_captions(folder):
    [path] = folder.glob("captions.*")
    read_captions(path)
    read_classes(path)
    select_clips(find_folder(folder / "generated"), read_subset(path))
    str(evaluate(folder, captions=path))


def open_subset(folder):
    select_clips(find_folder(folder / "generated"), read_subset(folder / "subset.txt"))


def open_features(folder):
    pairs = [(folder / f"{kind}0.npy", folder / f"{kind}1.npy") for kind in ("e", "l")]
    sets = read_feature_sets(*pairs)
    names = ("frechet", "frechet-infinity", "kad", "kid", "kl", "inception-score")
    str(evaluate_features(*sets, PROTOCOL, names, ("a", "b")))


def open_result(folder):
    """Read a result, print it, compare it with the undamaged one, and make the page."""
    result = load_evaluation(folder / "result.json")
    str(result)
    render_page([result])
    table(compare_evaluations(load_evaluation(folder / "other.json"), result))


def open_answers(folder):
    str(summarize_files([folder / "answers.json"]))
    AnswerStore(_plan(folder), folder / "answers.json")


def open_listening_clips(folder):
    for trial in _plan(folder).trials:
        trial.samples()


def _plan(folder):
    return plan_test([folder / "generated", folder / "reference"], {"dog": ("a dog",)})


def make_evaluation_seeds(folder):
    """Add the valid files of these kinds."""
    base = folder / "evaluation"
    rng = np.random.default_rng(0)
    for side in ("generated", "reference"):
        (base / side).mkdir(parents=True)
        for name in NAMES:
            samples = 0.1 * rng.standard_normal((1, 1600)).astype(np.float32)
            write(base / side / f"{name}.wav", samples, RATE, {"prompt": f"a {name}"})
    result = evaluate(base)
    # Players of the page take most of the time, and read clips, which have a kind of their own.
    sides = {}
    for side in ("generated", "reference"):
        sides[side] = getattr(result, side).model_copy(update={"path": f"gone/{side}"})
    result = result.model_copy(update=sides)
    rows = [
        {"name": name, "caption": f"a {name}", "class": name, "pitch_hz": 440, "count": 2}
        for name in NAMES
    ]
    columns = list(rows[0])
    lines = [",".join(columns), *(",".join(str(row[c]) for c in columns) for row in rows)]
    texts = {
        "csv": "\n".join(lines),
        "jsonl": "\n".join(map(json.dumps, rows)),
        "json": json.dumps(rows),
    }
    for form, text in texts.items():
        part = folder / f"evaluation-{form}"
        _copy_sides(base, part)
        (part / f"captions.{form}").write_text(text)
    part = folder / "evaluation-other"
    _copy_sides(base, part)
    (part / "subset.txt").write_text("dog\nrain.wav\n")
    for kind, size in (("e", 3), ("l", 4)):
        for side in range(2):
            np.save(part / f"{kind}{side}.npy", rng.standard_normal((7, size)))
    result.save(part / "result.json")
    result.save(part / "other.json")
    store = AnswerStore(_plan(part), part / "answers.json")
    for number in range(6):
        store.put("ann", number, "ovl", 1 + number % 5)
    (part / "config.json").write_text(json.dumps({"proj_num_layer": 3, "target_transform": AXES}))
    (part / "cache").mkdir()
    evaluate(part, part / "cache")
    lines = [json.dumps({"file_name": f"generated/{n}.wav", "kinds": [n]}) for n in NAMES]
    (part / "metadata.jsonl").write_text("\n".join(lines))


def _copy_sides(base, part):
    part.mkdir()
    for side in ("generated", "reference"):
        shutil.copytree(base / side, part / side)  # folders are not followed through links


EVALUATION_KINDS = {
    "evaluated clips": Kind("evaluation", ("*/*.wav",), mutate_bytes, open_clips),
    "listening clips": Kind("evaluation", ("*/*.wav",), mutate_bytes, open_listening_clips),
    "captions.csv": Kind("evaluation-csv", ("captions.csv",), mutate_text, open_captions),
    "captions.jsonl": Kind("evaluation-jsonl", ("*.jsonl",), mutate_json_lines, open_captions),
    "captions.json": Kind("evaluation-json", ("captions.json",), mutate_json, open_captions),
    "subset": Kind("evaluation-other", ("subset.txt",), mutate_text, open_subset),
    "features": Kind("evaluation-other", ("*.npy",), mutate_bytes, open_features),
    "evaluation": Kind("evaluation-other", ("result.json",), mutate_json, open_result),
    "answers": Kind("evaluation-other", ("answers.json",), mutate_json, open_answers),
    "aesthetics": Kind("evaluation-other", ("config.json",), mutate_json, lambda folder:
        read_settings(folder / "config.json")),
    "features cache": Kind("evaluation-other", ("cache/*",), mutate_bytes, lambda folder:
        evaluate(folder, folder / "cache")),
    "recordings": Kind("evaluation-other", ("metadata.jsonl",), mutate_json_lines,
        read_recordings),
}  # fmt: skip
