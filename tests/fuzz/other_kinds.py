"""Kinds of files that others than this package write or keep: data, the hub, results, adapters."""

import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from unittest.mock import patch

import conftest
import hub_server
import huggingface_hub
import torch
from evaluation_kinds import EVALUATION_KINDS, make_evaluation_seeds
from kind import Kind
from mutations import mutate_bytes, mutate_json, mutate_text
from PIL import Image

from latentaudio.benchmark.end_to_end import EndToEndCost
from latentaudio.benchmark.process_cost import ProcessCost
from latentaudio.benchmark.report import BenchmarkResults
from latentaudio.benchmark.results import LatencyResults
from latentaudio.data.dataset import read_crop, seeded_generator
from latentaudio.data.manifest import read_manifest
from latentaudio.editing.drawn_mask import load_mask
from latentaudio.evaluate.mini.report import Metric, Report
from latentaudio.loaders import hub_download
from latentaudio.loaders.adapter_files import read_adapter, write_adapter
from latentaudio.loaders.adapters import AdapterCard
from latentaudio.loaders.components import build_on_meta
from latentaudio.loaders.hub import fetch
from latentaudio.loaders.tokenizers import read_tokenizer
from latentaudio.models.low_rank import LowRankUpdate
from latentaudio.train.text_distillation.dataset import TEACHER_WIDTH, DistillationSet

sys.path.append(str(Path(__file__).parents[1] / "data"))
from test_sources import BUILDERS

FORMS = {
    "metadata.csv": (("*.csv", "*/*.csv"), mutate_text),
    "audioldm": (("*.json", "*/*.json"), mutate_json),
    "audiocaps": (("*.csv",), mutate_text),
    "clotho": (("*.csv",), mutate_text),
    "musiccaps": (("*.csv",), mutate_text),
    "wavcaps": (("*.json",), mutate_json),
    "webdataset": (("*.tar",), mutate_bytes),
    "sidecar": (("*/*.txt", "*/*.json"), mutate_text),
    "tags": (("*/*.flac",), mutate_bytes),
}
"""Forms of data: files to damage, and how."""
IMAGES = ("jpg", "bmp", "gif", "tiff", "webp")
RATE = 16000


def open_data(folder):
    for clip in read_manifest(folder):
        read_crop(clip, RATE, 1000, seeded_generator(0))


def open_pair(folder):
    tokenizer = read_tokenizer(folder, 24)
    tokenizer(["a dog barks 3 times", "", "\u00e9" * 40])


def open_listing(path):
    """Download from a hub that answers with a damaged list of files."""
    data = path.read_bytes()
    constants = huggingface_hub.constants
    with (
        tempfile.TemporaryDirectory() as folder,
        hub_server.serving() as hub,
        patch.object(hub_server.Answer, "listing", lambda self: data),
        patch.dict(os.environ, {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": folder}),
        patch.object(constants, "HF_HUB_OFFLINE", False),
        patch.object(constants, "HF_HUB_DISABLE_TELEMETRY", True),
        patch.object(hub_download, "PAUSES_S", (0.0, 0.0)),
    ):
        os.environ.pop("HF_HUB_OFFLINE", None)
        try:
            fetch("o/r", to=Path(folder) / "model")
            names = [path.name for path in Path(folder).iterdir()]
            assert names == ["model"], names
        finally:
            huggingface_hub.close_session()


def open_cache(folder):
    """Find a model in the cache of the hub, without a request."""
    fetch("o/r", cache=folder, is_offline=True)


def open_adapter(path):
    read_adapter(path, conftest.TINY)


def make_other_seeds(folder):
    """Add the valid files of these kinds to a folder that has `mask.png`."""
    for name in FORMS:
        (folder / "forms" / name).mkdir(parents=True)
        BUILDERS[name](folder / "forms" / name)
    with Image.open(folder / "mask.png") as mask:
        for extension in IMAGES:
            mask.save(folder / f"mask.{extension}")
    _write_pair(folder / "pair")
    _write_hub(folder)
    Report("mini", [Metric("accuracy", 0.5, "%", 8, 0, target=0.4)], {"dog": 1.0}).save(
        folder / "report.json"
    )
    latency = LatencyResults("mini", 1.0, 1, {"ours": {"step": [0.1]}}, {"fp32": 1.0})
    latency.cold_start["fast"] = ProcessCost(1.0, 2.0)
    results = BenchmarkResults([latency], [EndToEndCost("mini", 1.0, 2.0, 3.0, 4.0)])
    (folder / "speed.json").write_text(json.dumps(asdict(results)))
    DistillationSet(("a", "b"), torch.zeros(2, TEACHER_WIDTH).half()).save(
        folder / "texts.safetensors"
    )
    _write_adapter(folder / "adapter.safetensors")
    make_evaluation_seeds(folder)


def _write_adapter(path):
    """An adapter of the attention layers of the tiny UNet."""
    updates = {}
    for name, weight in build_on_meta("unet", conftest.TINY).state_dict().items():
        if name.endswith("to_q.weight"):
            rows, columns = weight.shape
            updates[name] = LowRankUpdate(torch.ones(2, columns), torch.ones(rows, 2))
    assert updates
    write_adapter(path, {"unet": updates}, AdapterCard(rank=2), conftest.TINY)


def _write_pair(folder):
    """RoBERTa's pair of files, with single bytes and one merge."""
    from tokenizers.pre_tokenizers import ByteLevel

    folder.mkdir()
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "do"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\nd o\n")


def _write_hub(folder):
    """A list of files, and the cache of a repository."""
    (folder / "listing.json").write_bytes(hub_server.Answer.listing(None))
    repository = folder / "cache" / "models--o--r"
    snapshot = repository / "snapshots" / hub_server.COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_bytes(hub_server.FILES["model_index.json"])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(hub_server.COMMIT)


def other_kinds(damage_header):
    """Return these kinds; `damage_header` damages a .safetensors file."""
    forms = {}
    for name, (files, damage) in FORMS.items():
        forms[f"data: {name}"] = Kind(f"forms/{name}", files, damage, open_data)
    masks = {}
    for extension in IMAGES:
        masks[f"mask.{extension}"] = Kind(
            f"mask.{extension}", (), mutate_bytes, lambda path: load_mask(str(path))
        )
    return {
        **forms,
        **masks,
        "vocab.json": Kind("pair", ("vocab.json",), mutate_json, open_pair),
        "merges.txt": Kind("pair", ("merges.txt",), mutate_text, open_pair),
        "hub listing": Kind("listing.json", (), mutate_json, open_listing),
        "hub ref": Kind("cache", ("*/refs/main",), mutate_text, open_cache),
        "report": Kind("report.json", (), mutate_json, lambda path: str(Report.load(path))),
        "speeds": Kind("speed.json", (), mutate_json, BenchmarkResults.load),
        "texts": Kind("texts.safetensors", (), damage_header, DistillationSet.load),
        "adapter": Kind("adapter.safetensors", (), damage_header, open_adapter),
        **EVALUATION_KINDS,
    }
