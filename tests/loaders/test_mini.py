"""What ships: the embedded model is whole, small, and answers."""

import json

import numpy as np

import latentaudio
from latentaudio.config.registry import MINI
from latentaudio.loaders.components import component_names
from latentaudio.loaders.resolve import ASSETS

FOLDER = ASSETS / "mini"


def test_it_is_whole_and_at_most_60_megabytes():
    files = {file.name for file in FOLDER.iterdir()}
    parts = {*component_names(MINI), "distilled_unet"}
    assert {f"{part}.safetensors" for part in parts} | {
        "model.json",
        "tokenizer.json",
        "README.md",
    } == files
    student = (FOLDER / "distilled_unet.safetensors").stat().st_size
    assert (
        student <= 13e6 and sum(file.stat().st_size for file in FOLDER.iterdir()) - student <= 60e6
    )
    card = json.loads((FOLDER / "model.json").read_text())["card"]
    assert card, "nobody can say how it was made"


def test_its_student_draws_what_it_draws():
    model = latentaudio.load("mini", "cpu", "fp32")
    assert model.config.student is not None and len(model.config.student.timesteps) == 4
    [draft] = model.generate("heavy rain", preset="draft", duration=1.28, seed=1)
    assert (draft.options.sampler, draft.options.steps) == ("lcm", 4)
    walks = {}
    for preset in ("quality", "draft"):
        steps = []
        model.generate(
            "a church bell ringing", preset=preset, duration=1.28, seed=2, on_step=steps.append
        )
        walks[preset] = steps[-1].z
    apart = (walks["quality"] - walks["draft"]).std() / walks["quality"].std()
    assert apart < 0.6, "from one noise both come to nearly one place"


def test_it_answers():
    bell, rain = latentaudio.load("mini", "cpu").generate(
        ["a church bell ringing", "heavy rain"], duration=0.5, steps=4, seed=1
    )
    assert bell.samples.shape == rain.samples.shape == (1, 8000)

    def flatness(clip):
        power = np.abs(np.fft.rfft(clip.samples[0])) ** 2 + 1e-12
        return np.exp(np.log(power).mean()) / power.mean()

    assert flatness(rain) > 3 * flatness(bell), "rain is noise, a bell is tones"
