"""The same (seed, index) renders the same bytes in every release, and the texts are the same.

`record_checksums.py` wrote `checksums.json` before the package was renamed. The bytes are
compared on the processor and the library versions that the file names; elsewhere levels are.
"""

import json

import pytest
from record_checksums import (
    CHECKSUMS,
    class_takes,
    corpus_item,
    environment,
    grammar_captions,
    lexicon_rows,
    ood_rows,
)

from procedural_audio.registry import get_registry

RECORDED = json.loads(CHECKSUMS.read_text())
IS_SAME_MACHINE = environment() == RECORDED["environment"]
NEEDS_SPEECH = ("male speech", "female speech")


def assert_same(actual, recorded, path=""):
    """Equal values; numbers within 1e-6 and no checksums where the machine is another."""
    if isinstance(recorded, dict):
        assert actual.keys() == recorded.keys(), path
        for key, value in recorded.items():
            assert_same(actual[key], value, f"{path}/{key}")
    elif isinstance(recorded, list):
        assert len(actual) == len(recorded), path
        for index, value in enumerate(recorded):
            assert_same(actual[index], value, f"{path}/{index}")
    elif not IS_SAME_MACHINE and path.endswith("sha256"):
        return
    elif not IS_SAME_MACHINE and isinstance(recorded, float):
        assert actual == pytest.approx(recorded, rel=1e-4), path
    else:
        assert actual == recorded, path


def test_the_registry_holds_the_recorded_classes_in_order():
    available = [name for name in RECORDED["class_order"] if name in get_registry()]
    assert list(get_registry()) == available
    assert set(RECORDED["class_order"]) - set(available) <= set(NEEDS_SPEECH)


@pytest.mark.parametrize("name", list(RECORDED["classes"]))
def test_a_sound_class_renders_the_recorded_bytes(name):
    if name in NEEDS_SPEECH and name not in get_registry():
        pytest.skip("espeak-ng is not installed")
    assert_same(class_takes(get_registry()[name]), RECORDED["classes"][name])


needs_all_classes = pytest.mark.skipif(
    NEEDS_SPEECH[0] not in get_registry(), reason="espeak-ng is not installed"
)


@needs_all_classes
@pytest.mark.parametrize("name", list(RECORDED["items"]))
def test_a_corpus_item_has_the_recorded_bytes_scene_and_captions(name):
    split, index = name.split("/")
    assert_same(corpus_item(split, int(index)), RECORDED["items"][name])


@needs_all_classes
def test_captions_are_the_recorded_ones():
    assert grammar_captions() == RECORDED["captions"]


def test_ood_prompts_are_the_recorded_ones():
    assert ood_rows() == RECORDED["ood_prompts"]


def test_lexicon_sentences_are_the_recorded_ones():
    assert lexicon_rows() == RECORDED["lexicon"]
