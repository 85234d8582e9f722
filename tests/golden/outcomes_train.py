"""Every stage of training, tiny: weights, averages and optimiser after two steps, and after a resumed run of three.

Tensors are fingerprinted without their names (`Nameless`): of the newest checkpoint all of them, of the model folder all parts.
Losses are the log's values, sorted within a step, because names of losses and players may change.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import torch
from golden.common import Nameless, Outcome, Value, fresh, heard, in_table, states_in, tensors_of, write_tiny, write_tokenizer
from golden.outcomes_mini import DRAFT
from golden.outcomes_tiny import tiny_of
from PIL import Image

from latentaudio import load
from latentaudio.config.architecture import AudioMAEConfig
from procedural_audio.corpus import render_corpus
from latentaudio.train import checkpoint
from latentaudio.train.recipe import Optim, Recipe, StageName
from latentaudio.train.pre_encode import encoded_folder
from latentaudio.train.text_distillation.dataset import Lessons
from latentaudio.train.loop import read_log, train
from latentaudio.train.optim import rate_at
from latentaudio.config.registry import VARIANTS, Variant
from latentaudio.loaders.model_folder import TOKENIZER_FILE, read_config

# Stages and their own options; strings, which no tool renames.
RUNS: dict[str, tuple[StageName, Literal["bf16", "fp32"], dict[str, Any]]] = {
    "vae": ("vae", "fp32", {"frames": 32, "adversarial": 0.1, "patch_channels": 4, "statistics_over": 4}),
    "vae-in-bf16": ("vae", "bf16", {"frames": 32, "statistics_over": 4}),
    "vae-decoder-only": ("vae", "fp32", {"frames": 32, "decoder_only": True}),
    "vocoder": ("vocoder", "fp32", {"frames": 20, "adversarial": 1.0, "critic_channels": 2}),
    "vocoder-decoded": ("vocoder", "fp32", {"frames": 32, "decoded": 0.5, "pitch": 3.0}),
    "clap": ("clap", "fp32", {}),
    "audiomae": ("audiomae", "fp32", {"frames": 128}),
    "translator": ("translator", "fp32", {"frames": 512}),
    "draft": ("draft", "fp32", {"frames": 512, "dropout": 0.1}),
    "draft-of-pairs": ("draft", "fp32", {"frames": 1024, "pairs": 0.5}),
    "diffusion": ("diffusion", "fp32", {"frames": 512}),
    "diffusion-in-bf16": ("diffusion", "bf16", {"frames": 512, "truth": 0.25}),
    "diffusion-logit-normal": ("diffusion", "fp32", {"frames": 512, "logit_normal": [-0.3, 1.0], "audible": 0.5}),
    "joint": ("joint", "fp32", {"frames": 512}),
    "student": ("student", "fp32", {"frames": 512, "stops": [999, 499], "substeps": 2}),
    "text": ("text", "fp32", {"sentences": 40, "everyday": 20}),
}
SPEED = "speed"
"""What of a line of the log is time."""
FILM = "film-diffusion"
KINDS = ("dog", "bell", "rain")


def row(name: str, of: str) -> Variant:
    """A tiny row of the table that can be trained: AudioMAE has its decoder."""
    config = tiny_of(replace(VARIANTS[of].config, student=None))
    if config.audiomae is not None:
        ear = AudioMAEConfig(width=16, depth=1, heads=2, decoder_width=16, decoder_depth=1, decoder_heads=2, average_last=1)
        config = replace(config, audiomae=ear)
    return replace(VARIANTS[of], name=name, config=config, embedded=False)


@cache
def data() -> Path:
    """A corpus of a few clips."""
    folder = fresh("corpus")
    render_corpus(folder, hours=24 / 3600, seed=3, kinds=KINDS, seconds=(1.28, 2.56), weights=(1, 1), workers=1)
    return folder


@cache
def begin(of: str, name: str) -> Path:
    """Weights to begin with."""
    return write_tiny(fresh("model"), row(name, of).config, name)


@cache
def words_alone() -> Path:
    """A model folder of a tokenizer alone: both text encoders then begin as the teacher has it."""
    folder = fresh("words")
    folder.mkdir()
    write_tokenizer(folder / TOKENIZER_FILE)
    return folder


@cache
def runs() -> Path:
    """Where runs lie side by side, and share what is encoded."""
    return fresh("runs")


@cache
def run(name: str) -> dict[str, Value]:
    """Two steps, then the same command with three: what there is after each."""
    of, called = ("mini-film", "tiny-film") if name == FILM else ("mini", "tiny")
    stage, precision, options = RUNS["diffusion" if name == FILM else name]

    def recipe(steps: int) -> Recipe:
        return Recipe(
            stage=stage, model=called, seed=5, steps=steps, batch=4, accumulate=2, precision=precision, device="cpu",
            optim=Optim(lr=3e-3, warmup=1), save_every=100, preview_every=100, log_every=1, options=options,
        )  # fmt: skip

    out, source = runs() / name, words_alone() if stage == "text" else begin(of, called)
    found: dict[str, Value] = {}
    with in_table(row(called, of)):
        train(recipe(2), (data(),), out, (source,))
        found["two-steps"] = state(out)
        train(recipe(3), (data(),), out)
        found["resumed"] = state(out)
    found["preview"] = previews(out)
    if stage != "text":
        with in_table(row(called, of)):
            m = load(out, "cpu", "fp32")
            taught = stage == "student"
            preset, steps = (DRAFT, None) if taught else (None, 2)
            found["sounds"] = heard(m.generate("a dog barking", seconds=0.6, steps=steps, seed=1, preset=preset))
    return found


def state(out: Path) -> Value:
    """Steps done, all that a checkpoint holds, the published parts, latent statistics, and every loss."""
    done, held = checkpoint.latest(out) or (0, {})
    losses = [sorted(value for key, value in entry.items() if key != SPEED) for entry in read_log(out)]
    _, config, _ = read_config(out / "model")
    scales = [sorted(config.latent_mean), sorted(config.latent_std)]
    return [done, Nameless(tuple(tensors_of(held))), states_in(out / "model"), scales, losses]


def previews(out: Path) -> Value:
    """Pixels and samples of what a stage shows of itself."""
    pictures = [torch.from_numpy(np.array(Image.open(file))) for file in sorted((out / "previews").glob("*.png"))]
    sounds = [torch.from_numpy(soundfile.read(file)[0]) for file in sorted((out / "previews").glob("*.flac"))]
    return [len(pictures), len(sounds), Nameless((*pictures, *sounds))]


def lessons() -> Value:
    """What the text stage teaches: texts, and the teacher's vectors of them."""
    made = Lessons.prepare(5, 12, 6, ["a dog barking three times", "rain"])
    return [list(made.texts), made.targets]


def encoded() -> Value:
    """A corpus as the diffusion stages read it from disk: latents and what texts say."""
    model = fresh("run") / "model"
    shutil.copytree(begin("mini", "tiny"), model)
    return states_in(encoded_folder((data(),), model, row("tiny", "mini").config))


def rates() -> Value:
    """Learning rates over a run."""
    settings = Optim(lr=1e-3, warmup=10, final=0.1)
    return [rate_at(step, 100, settings) for step in range(0, 100, 7)]


def _part(name: str, what: str) -> Value:
    return run(name)[what]


OUTCOMES: dict[str, Outcome] = {
    **{
        f"train/{name}/{what}": partial(_part, name, what)
        for name in (*RUNS, FILM)
        for what in ("two-steps", "resumed", "preview", "sounds")
        if name != "text" or what != "sounds"
    },
    "train/lessons": lessons,
    "train/encoded": encoded,
    "train/learning-rates": rates,
}
