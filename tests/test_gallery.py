"""The gallery has twelve clips of mini with the tags of their commands, and their spectrograms."""

import importlib.util
import shlex
from pathlib import Path

import pytest
from PIL import Image

from latentaudio.audio.io import info
from latentaudio.config.options import GenerationOptions

FOLDER = Path(__file__).parent.parent / "docs" / "gallery"
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
