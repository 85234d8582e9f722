"""Sentences of the data of `mini-speech`."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "recipes" / "mini" / "make_speech_data.py"


@pytest.fixture(scope="module")
def speech_data():
    spec = spec_from_file_location("make_speech_data", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_test_sentences_are_different_and_never_trained_on(speech_data):
    test = [text for text, _ in speech_data.draw_sentences(50, seed=2, split="test")]
    train = {text for text, _ in speech_data.draw_sentences(5000, seed=1, split="train")}
    assert len(set(test)) == 50
    assert not train & set(test)


def test_sentences_have_200_words(speech_data):
    words = set()
    for split in ("train", "test"):
        for text, _ in speech_data.draw_sentences(100, seed=3, split=split):
            words.update(text.replace(",", "").split())
    assert words <= set(speech_data.vocabulary())
    assert len(speech_data.vocabulary()) == 200


def test_more_test_sentences_than_there_are_end_in_one_line(speech_data, monkeypatch):
    monkeypatch.setattr(speech_data, "PATTERNS", ("do not {act} the {opened}",))
    with pytest.raises(SystemExit, match="too few test sentences for 50"):
        speech_data.draw_sentences(50, seed=2, split="test")
