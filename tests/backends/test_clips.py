"""Clips of a backend are those of torch in float32, and a second start converts nothing."""

import numpy as np
import pytest
import torch

from latentaudio import load
from latentaudio.config.backends import BACKENDS
from latentaudio.loaders import converted

LIMIT_DB = -60.0
"""Largest energy of the difference to torch, relative to the clip."""
QUICK = {"duration": 0.6, "steps": 3, "seed": 7, "candidates": 1}
OTHERS = list(BACKENDS)[1:]
pytestmark = pytest.mark.filterwarnings("ignore:(converting the|waiting until)")


def difference_db(first, second):
    first, second = first.samples, second.samples
    assert first.shape == second.shape
    return 20 * np.log10(np.linalg.norm(first - second) / np.linalg.norm(second))


def load_with(folder, backend):
    return load(folder, "cpu", "fp32", use_cache=True, backend=backend)


def generate(model):
    return model.generate("a dog", **QUICK)


def edit(model):
    sound = np.sin(np.arange(9600) / 20).astype(np.float32) / 3
    return model.transfer(sound, "rain", strength=0.7, steps=3, seed=3)


def generate_two(model):
    model.batch_size = 2
    prompts = ["a dog and rain and a bell", "door"]
    clips = model.generate(prompts, negative_prompt="rain", **QUICK)
    model.batch_size = 1
    return clips


def reuse_features(model):
    return model.generate("a bell", cache_interval=2, guidance_stop=0.5, **QUICK)


def generate_distilled(model):
    return model.generate("rain", preset="draft", duration=0.6, seed=1)


def generate_long(model):
    """Two windows, of which the second prompt is for the end."""
    cues = [{"start": 0, "text": "rain"}, {"start": 6, "text": "a dog barks"}]
    return model.generate("", timeline=cues, **(QUICK | {"duration": 12.0, "steps": 2}))


REQUESTS = {
    "audioldm": [generate, edit, generate_two, generate_long, generate_distilled, reuse_features],
    "audioldm2": [generate, edit, generate_two],
    "mini": [generate, edit, generate_two],
    "prior": [generate, generate_two, reuse_features],
}


@pytest.mark.slow  # each architecture is converted
@pytest.mark.parametrize("architecture", REQUESTS)
def test_clips_are_those_of_torch(architecture, folders):
    """Networks of FiLM, of two contexts, of both with a prior (mini), and of no FiLM with one."""
    torch_model = load(folders[architecture], "cpu", "fp32")
    expected = {each: each(torch_model) for each in REQUESTS[architecture]}
    for backend in OTHERS:
        model = load_with(folders[architecture], backend)
        for request_of, others in expected.items():
            clips = request_of(model)
            assert len(clips) == len(others) > 0
            for clip, other in zip(clips, others, strict=True):
                assert difference_db(clip, other) < LIMIT_DB, (backend, request_of)
                # another library computed it
                assert not np.array_equal(clip.samples, other.samples)
                assert clip.tags["backend"] == backend and "backend" not in other.tags


@pytest.mark.parametrize("backend", OTHERS)
def test_a_second_start_converts_and_reads_no_unet(backend, folders, loaded, monkeypatch):
    [first] = generate(load_with(folders["audioldm"], backend))
    loaded.clear()
    monkeypatch.setattr(converted, "convert", None)  # a call would fail
    [second] = generate(load_with(folders["audioldm"], backend))
    assert np.array_equal(first.samples, second.samples)
    assert "vae" in loaded and "unet" not in loaded


@pytest.mark.parametrize("backend", OTHERS)
def test_a_stream_and_other_numbers_of_threads(backend, folders):
    model = load_with(folders["audioldm"], backend)
    torch_model = load(folders["audioldm"], "cpu", "fp32")
    settings = {"duration": 0.6, "steps": 2, "seed": 1}
    pieces = [
        np.concatenate(list(each.generate_stream("rain", **settings)), axis=1)
        for each in (model, torch_model)
    ]
    distance = np.linalg.norm(pieces[0] - pieces[1]) / np.linalg.norm(pieces[1])
    assert 20 * np.log10(distance) < LIMIT_DB
    network = model.components.callable("unet")
    assert model.components.callable("unet") is network
    torch.set_num_threads(torch.get_num_threads() + 1)
    assert model.components.callable("unet").num_threads == torch.get_num_threads()
