"""A folder with one valid file or folder of every kind that the package reads."""

import json
import math
from dataclasses import replace
from pathlib import Path

import conftest
import numpy as np
import torch
from other_kinds import make_other_seeds
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from latentaudio.audio.io import write
from latentaudio.config.architecture import VocoderConfig
from latentaudio.config.options import GenerationOptions
from latentaudio.data.pre_encoded import FORMAT_VERSION
from latentaudio.loaders.convert import convert
from latentaudio.loaders.resolve import resolve_model
from latentaudio.train import checkpoint
from latentaudio.train.loop import Trainable
from latentaudio.train.optim import Ema, build_optimizer
from latentaudio.train.recipe import Recipe
from latentaudio.train.run_folder import prepare_run_folder
from latentaudio.train.sessions import record_session, this_session
from latentaudio.train.unconditional import UNCONDITIONAL_FILE

RATE = 16000
NUM_SAMPLES = 4000
CLASSIFIER = Path(__file__).parents[2] / "benchmarks/classifier"
SOUNDS = ("wav", "flac", "ogg", "mp3", "aiff", "opus")
DIFFUSERS = replace(
    conftest.TINY,
    vocoder=VocoderConfig(channels=32),
    unet=replace(conftest.TINY.unet, contexts=(None,), film_dim=8, use_prior=False),
    t5=None,
    latent_prior=None,
    translator=None,
    audiomae=None,
)
RECIPE = """\
stage: vae
steps: 10
batch_size: 2
precision: fp32
device: cpu
optim: {lr: 1.0e-3, warmup_steps: 2, betas: [0.9, 0.99]}
options: {crop_frames: 32, latent_stats_crops: 2}
"""
TIMELINE = """\
steps: 1
duration: 4
crossfade: 0.5
timeline:
- {start: 0, text: a dog, weight: 1}
- {start: 2.5, text: rain, weight: 0.5}
"""
LISTS = {
    "rows.csv": 'prompt,name,duration,seed,steps\na dog,dog,1,2,1\n"rain, far",rain,2.5,,3\n',
    "rows.jsonl": '{"prompt": "a dog", "duration": 1, "seed": 2}\n'
    '{"prompt": "rain", "negative_prompt": "wind", "guidance": 3.5, "candidates": 2}\n',
    "rows.txt": "a dog\nrain on a roof | rain\n\nwind\n",
    "timeline.yaml": TIMELINE,
    "recipe.yaml": RECIPE,
}


def make_seeds(folder):
    """Fill a folder with files and folders of every kind."""
    torch.manual_seed(0)
    _write_sounds(folder / "sounds")
    for name, text in LISTS.items():
        (folder / name).write_text(text)
    pixels = np.zeros((16, 40), np.uint8)
    pixels[4:9, 10:20] = 255
    Image.fromarray(pixels).save(folder / "mask.png")
    conftest.write_model(folder / "model", conftest.TINY, "mini")
    conftest.write_model(folder / "plain", DIFFUSERS, "tiny")
    convert(resolve_model(folder / "plain"), folder / "diffusers", "diffusers")
    (folder / "original").mkdir()
    state = {"a.weight": torch.ones(2, 3), "b": torch.ones(4)}
    torch.save({"state_dict": state, "epoch": 3}, folder / "original" / "model.ckpt")
    _write_data(folder / "data")
    _write_batch(folder / "batch")
    _write_encoded(folder / "encoded")
    _write_run(folder)
    _write_shards(folder / "shards")
    make_other_seeds(folder)
    classifier = folder / "classifier"
    classifier.mkdir()
    for file in CLASSIFIER.iterdir():
        (classifier / file.name).symlink_to(file)
    return folder


def noise():
    t = np.arange(NUM_SAMPLES) / RATE
    return (0.1 * np.sin(880 * math.pi * t)).astype(np.float32)[None]


def tags(**options):
    """Tags of a generated clip."""
    request = GenerationOptions(prompt="a dog", seed=3, steps=1, duration=0.64, **options)
    return {"made": "AI generated", **request.to_tags(), "threads": "1", "precision": "fp32"}


def trainables():
    """The parts of a run that a checkpoint restores."""
    recipe = Recipe(stage="vae", steps=10)
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    module.weight.grad = torch.ones(2, 3)
    module.bias.grad = torch.ones(2)
    optimizer = build_optimizer(module, recipe.optim)
    optimizer.step()
    return {"vae": Trainable(module, optimizer, Ema(module, recipe.ema_decay))}


def _write_sounds(folder):
    folder.mkdir()
    for extension in SOUNDS:
        rate = 48000 if extension == "opus" else RATE
        write(folder / f"a.{extension}", noise(), rate, tags())


def _write_data(folder):
    folder.mkdir()
    lines = []
    for index in range(3):
        name = f"{index}.wav"
        write(folder / name, noise() * (1 + index), RATE, {})  # a copy would be left out
        record = {"file_name": name, "text": f"tone {index}", "captions": ["a", "b"]}
        if index:
            record |= {"rate": RATE, "seconds": NUM_SAMPLES / RATE}
        lines.append(json.dumps(record))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def _write_batch(folder):
    folder.mkdir()
    lines = []
    for index, name in enumerate(("dog.wav", "rain.wav")):
        request = {"prompt": name, "seed": index, "steps": 1}
        record = {"name": name, "first_seed": 5, "request": request, "sha256": "0" * 64}
        lines.append(json.dumps(record))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")


def _write_encoded(folder):
    folder.mkdir()
    buckets = [{"frames": 128, "count": 3}, {"frames": 256, "count": 2}]
    index = {"format": FORMAT_VERSION, "encoder": "x", "captions": 2, "buckets": buckets}
    (folder / "index.json").write_text(json.dumps(index))
    for bucket in buckets:
        count = bucket["count"]
        arrays = {
            "latent": torch.zeros(count, 4, 16, 8),
            "audio/clap.embedding": torch.zeros(count, 8),
            "caption/clap.embedding": torch.zeros(2 * count, 8),
            "caption/t5.tokens": torch.zeros(6 * count, 4),
            "caption/t5.ends": torch.arange(1, 2 * count + 1) * 3,
        }
        save_file(arrays, folder / f"frames_{bucket['frames']}.safetensors")
    empty = {"clap.vector": torch.zeros(8), "prior.zeros": torch.tensor(True)}
    save_file(empty, folder / UNCONDITIONAL_FILE)


def _write_run(folder):
    from latentaudio.train.recipe import read_recipe

    run = folder / "run"
    prepare_run_folder(read_recipe(folder / "recipe.yaml"), (folder / "data",), run, ())
    checkpoint.save(run, 4, {name: part.state_dict() for name, part in trainables().items()})
    record_session(run, this_session(0, 1, torch.device("cpu")))
    lines = [json.dumps({"step": step, "loss": 0.5}) for step in range(1, 7)]
    (run / "log.jsonl").write_text("\n".join(lines) + "\n")


def _write_shards(folder):
    folder.mkdir()
    save_file({"a": torch.ones(2, 3)}, folder / "part-1.safetensors")
    save_file({"b": torch.ones(4)}, folder / "part-2.safetensors")
    files = {"a": "part-1.safetensors", "b": "part-2.safetensors"}
    index = {"metadata": {"total_size": 40}, "weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
