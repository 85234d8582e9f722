"""The gallery is what its script says: twelve sounds of mini, each with the tags of the command beside it, and its picture."""

import importlib.util
import shlex
from pathlib import Path

import pytest
from PIL import Image

from latentaudio.audio.io import info
from latentaudio.config.options import Options

HERE = Path(__file__).parent.parent / "docs" / "gallery"
spec = importlib.util.spec_from_file_location("gallery", HERE / "make.py")
gallery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gallery)


def test_the_page_is_the_script():
    assert (HERE / "README.md").read_text() == gallery.page() and len(gallery.LINES) == 12


@pytest.mark.parametrize("line", [line for _, line in gallery.LINES])
def test_a_sound_is_what_its_command_makes(line):
    words = shlex.split(line)
    facts = info(HERE / words[-1])
    asked = Options.from_tags(facts["tags"])
    assert (
        facts["format"] == "FLAC"
        and asked.model == "mini"
        and asked.seed == int(words[words.index("--seed") + 1])
    )
    if asked.edit is not None:
        assert asked.edit.verb == words[0] and asked.edit.sound == words[1]
    with Image.open(HERE / f"{words[-1]}.png") as picture:
        assert picture.width >= 1000
