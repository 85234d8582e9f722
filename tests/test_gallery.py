"""The gallery has twelve clips of mini with the tags of their commands, and their spectrograms."""

import importlib.util
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentaudio.audio.io import info, read
from latentaudio.audio.mel import vae_mel
from latentaudio.cli.main import main
from latentaudio.config.architecture import MelSpec
from latentaudio.config.options import GenerationOptions

FOLDER = Path(__file__).parent.parent / "docs" / "gallery"
MAX_LOG_MEL_DISTANCE_DB = 3.0

spec = importlib.util.spec_from_file_location("gallery", FOLDER / "make.py")
gallery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gallery)


def test_the_page_is_the_one_that_the_script_writes():
    assert (FOLDER / "README.md").read_text() == gallery.page()
    assert len(gallery.COMMANDS) == 12


@pytest.mark.parametrize("command", [command for _, command in gallery.COMMANDS])
def test_a_clip_has_the_tags_of_its_command(command):
    words = shlex.split(command)
    facts = info(FOLDER / words[-1])
    options = GenerationOptions.from_tags(facts["tags"])
    assert facts["format"] == "FLAC" and options.model == "mini"
    assert options.seed == int(words[words.index("--seed") + 1])
    if options.edit is not None:
        assert options.edit.kind == words[0].replace("-", "_")
        assert options.edit.source_path == words[1]
    with Image.open(FOLDER / f"{words[-1]}.png") as image:
        assert image.width >= 1000


def log_mel(samples):
    """Log-mel in dB [T, F] of the mean of the channels."""
    mono = torch.from_numpy(samples.mean(axis=0, keepdims=True))
    return vae_mel(mono, MelSpec())[0, 0].numpy() * 20 / np.log(10)


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for _, command in gallery.COMMANDS])
def test_a_command_generates_the_clip_of_the_gallery(command, tmp_path, monkeypatch):
    """Samples are equal on one machine; elsewhere rounding moves them, and the mel hardly."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)
    for word in words[:-1]:
        if (FOLDER / word).is_file():
            shutil.copy(FOLDER / word, tmp_path)
    assert main([*words, "--quiet"]) == 0
    expected, rate = read(FOLDER / words[-1], mono=False)
    generated, generated_rate = read(words[-1], mono=False)
    assert (generated.shape, generated_rate) == (expected.shape, rate)
    distance = np.abs(log_mel(generated) - log_mel(expected)).mean()
    assert distance < MAX_LOG_MEL_DISTANCE_DB
