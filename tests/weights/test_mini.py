"""What ships: the embedded model is whole, small, and answers."""

import json

import numpy as np

import latentaudio
from latentaudio.variants import MINI
from latentaudio.weights.folder import parts_of
from latentaudio.weights.load import ASSETS

FOLDER = ASSETS / "mini"


def test_it_is_whole_and_at_most_60_megabytes():
    files = {file.name for file in FOLDER.iterdir()}
    assert {f"{part}.safetensors" for part in parts_of(MINI)} | {"model.json", "tokenizer.json", "README.md"} == files
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 60e6
    card = json.loads((FOLDER / "model.json").read_text())["card"]
    assert card, "nobody can say how it was made"


def test_it_answers():
    bell, rain = latentaudio.load("mini", "cpu").generate(["a church bell ringing", "heavy rain"], seconds=0.5, steps=4, seed=1)
    assert bell.samples.shape == rain.samples.shape == (1, 8000)

    def flatness(clip):
        power = np.abs(np.fft.rfft(clip.samples[0])) ** 2 + 1e-12
        return np.exp(np.log(power).mean()) / power.mean()

    assert flatness(rain) > 3 * flatness(bell), "rain is noise, a bell is tones"
