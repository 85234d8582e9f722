"""Quantities are extracted from texts, as the corpus and as other people write them."""

import numpy as np
import pytest
import torch

from latentaudio.train.text_distillation.dataset import DistillationSet, extract_quantities
from procedural_audio.captions import verbalize


@pytest.mark.parametrize(
    ("text", "quantities"),
    [
        ("a bell ringing at 440 Hz", {"pitch_hz": 440}),
        ("A flute, on the note A4.", {"pitch_hz": 440}),
        ("a tone at 1.2 khz", {"pitch_hz": 1200}),
        ("a bell at 440 Hz, then a flute at 300 Hz", {}),
        ("a dog barking three times", {"count": 3}),
        ("a dog barking once, then thunder twice", {}),
        ("a clock ticking twice a second", {"rate_hz": 2}),
        ("a drip falling once every four seconds", {"rate_hz": 0.25}),
        ("drums at 120 bpm", {"bpm": 120}),
        ("a concert in Vienna", {}),
        ("", {}),
    ],
)
def test_quantities_that_a_text_names_once_are_extracted(text, quantities):
    assert extract_quantities(text) == pytest.approx(quantities, rel=0.008)


def test_pitches_and_tempi_of_corpus_captions_are_extracted():
    rng = np.random.default_rng(0)
    for pitch_hz in np.geomspace(60, 3000, 40):
        pitch_caption = f"a bell {verbalize.pitch_phrase(pitch_hz, rng)}"
        extracted = extract_quantities(pitch_caption)["pitch_hz"]
        assert extracted == pytest.approx(pitch_hz, rel=0.025)
        bpm = 40 + pitch_hz / 20
        tempo_caption = f"a band playing {verbalize.tempo_phrase(bpm, rng)}"
        assert extract_quantities(tempo_caption)["bpm"] == pytest.approx(bpm, rel=0.025)


def test_counts_of_corpus_captions_are_extracted():
    rng = np.random.default_rng(0)
    for count in range(1, 13):
        caption = f"a dog barking {verbalize.count_phrase(count, rng)}"
        assert extract_quantities(caption) == {"count": count}


def test_rates_of_corpus_captions_are_extracted_or_left_out():
    rng = np.random.default_rng(0)
    num_extracted = 0
    for rate_hz in np.geomspace(0.3, 16, 40):
        quantities = extract_quantities(f"a clock ticking {verbalize.rate_phrase(rate_hz, rng)}")
        if quantities:
            num_extracted += 1
            assert quantities == {"rate_hz": pytest.approx(rate_hz, rel=0.035)}
    assert num_extracted > 25


def test_a_distillation_set_survives_a_file(tmp_path):
    texts = DistillationSet(("a dog", 'rain, "heavy"'), torch.randn(2, 384).half())
    texts.save(tmp_path / "set.safetensors")
    loaded = DistillationSet.load(tmp_path / "set.safetensors")
    assert loaded.texts == texts.texts
    assert torch.equal(loaded.targets, texts.targets)
