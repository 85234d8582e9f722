"""The bundled model: its files, its size, its output."""

import json

import numpy as np

import latentaudio
from latentaudio.config.model_shapes import MINI
from latentaudio.loaders.components import component_names
from latentaudio.loaders.resolve import ASSETS

FOLDER = ASSETS / "mini"


def test_the_bundled_model_is_complete_and_at_most_65_megabytes():
    files = {file.name for file in FOLDER.iterdir()}
    components = {*component_names(MINI), "distilled_unet"}
    assert {f"{component}.safetensors" for component in components} | {
        "model.json",
        "tokenizer.json",
        "README.md",
    } == files
    distilled_bytes = (FOLDER / "distilled_unet.safetensors").stat().st_size
    assert (
        distilled_bytes <= 13e6
        and sum(file.stat().st_size for file in FOLDER.iterdir()) - distilled_bytes <= 65e6
    )
    card = json.loads((FOLDER / "model.json").read_text())["card"]
    assert card, "the card is empty"


def test_the_distilled_unet_agrees_with_the_unet():
    model = latentaudio.load("mini", "cpu", "fp32")
    assert (
        model.config.distilled_unet is not None and len(model.config.distilled_unet.timesteps) == 4
    )
    [clip] = model.generate("heavy rain", preset="draft", duration=1.28, seed=1)
    assert (clip.options.sampler, clip.options.steps) == ("distilled", 4)
    latents = {}
    for preset in ("quality", "draft"):
        steps = []
        model.generate(
            "a church bell ringing", preset=preset, duration=1.28, seed=2, on_step=steps.append
        )
        latents[preset] = steps[-1].z
    difference = (latents["quality"] - latents["draft"]).std() / latents["quality"].std()
    assert difference < 0.6, "both must sample nearly the same latent from the same noise"


def test_the_bundled_model_generates_tones_and_noise():
    bell, rain = latentaudio.load("mini", "cpu").generate(
        ["a church bell ringing", "heavy rain"], duration=0.5, steps=4, seed=1
    )
    assert bell.samples.shape == rain.samples.shape == (1, 8000)

    def flatness(clip):
        power = np.abs(np.fft.rfft(clip.samples[0])) ** 2 + 1e-12
        return np.exp(np.log(power).mean()) / power.mean()

    assert flatness(rain) > 3 * flatness(bell), "rain is noise, a bell is tones"
