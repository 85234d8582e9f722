"""The hook for AudioSeal: with a stand-in everywhere, with the package where it is installed."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from latentaudio import load
from latentaudio.audio.watermark import AUDIOSEAL_MESSAGE, VARIABLE, watermark_of_environment
from latentaudio.errors import UsageError


@pytest.fixture(autouse=True)
def asked_for(monkeypatch):
    monkeypatch.setenv(VARIABLE, "audioseal")


def pretend(monkeypatch, load_generator):
    package = SimpleNamespace(AudioSeal=SimpleNamespace(load_generator=load_generator))
    monkeypatch.setitem(sys.modules, "audioseal", package)


class Generator:
    """A generator whose mark is a thousandth, and which notes what it got."""

    def __init__(self):
        self.calls = []

    def eval(self):
        return self

    def get_watermark(self, channels, sample_rate, message):
        self.calls.append((channels.shape, sample_rate, message.tolist()))
        return torch.full_like(channels, 1e-3)


def test_each_channel_is_marked_with_the_same_message(monkeypatch):
    generator = Generator()
    pretend(monkeypatch, lambda card: generator)
    samples = np.zeros((2, 800), np.float32)
    marked = watermark_of_environment().apply(samples, 48000)
    assert np.array_equal(marked, samples + np.float32(1e-3))
    assert generator.calls == [((2, 1, 800), 48000, list(AUDIOSEAL_MESSAGE))]
    assert len(AUDIOSEAL_MESSAGE) == 16


def test_weights_that_cannot_be_loaded_are_one_line(monkeypatch):
    def fail(card):
        raise OSError("no network\nand more")

    pretend(monkeypatch, fail)
    with pytest.raises(UsageError, match="cannot load its weights \\(no network\\)") as problem:
        watermark_of_environment()
    assert "\n" not in str(problem.value)


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "audioseal", None)
    with pytest.raises(UsageError, match="audioseal is not installed"):
        watermark_of_environment()


def random_generator(card):
    """The network of the package with random weights, because its weights are on the network."""
    from audioseal.builder import AudioSealWMConfig, create_generator
    from audioseal.loader import AudioSeal, load_local_model_config
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(load_local_model_config(card))
    torch.manual_seed(0)
    return create_generator(AudioSeal.parse_config(config, AudioSealWMConfig))


def test_the_network_of_the_package_marks_clips_and_equal_requests_stay_equal(
    monkeypatch, tiny_folder
):
    audioseal = pytest.importorskip("audioseal", reason="needs pip install audioseal")
    monkeypatch.setattr(audioseal.AudioSeal, "load_generator", random_generator)
    options = {"duration": 1, "steps": 2, "seed": 3, "stereo_width": 0.5}
    clips = []
    for _ in range(2):  # as two processes: AudioSeal would draw a message for each
        [clip] = load(tiny_folder, device="cpu", precision="fp32").generate("a bell", **options)
        clips.append(clip)
    monkeypatch.delenv(VARIABLE)
    [plain] = load(tiny_folder, device="cpu", precision="fp32").generate("a bell", **options)
    assert clips[0].tags["watermark"] == "audioseal"
    assert np.array_equal(clips[0].samples, clips[1].samples)
    assert clips[0].samples.shape == plain.samples.shape
    assert np.isfinite(clips[0].samples).all()
    assert not np.array_equal(clips[0].samples, plain.samples)
    assert np.abs(clips[0].samples).max() <= 1
