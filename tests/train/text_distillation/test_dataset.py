"""Quantities that sentences state, read back from the corpus's own way of saying them."""

import numpy as np
import pytest

from latentaudio.train.text_distillation.dataset import Lessons, stated
from procedural_audio.captions import verbalize


@pytest.mark.parametrize(
    ("text", "facts"),
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
def test_stated(text, facts):
    assert stated(text) == pytest.approx(facts, rel=0.008)


def test_what_the_corpus_says_is_read_back():
    rng = np.random.default_rng(0)
    for pitch in np.geomspace(60, 3000, 40):
        assert stated(f"a bell {verbalize.pitch(pitch, rng)}")["pitch_hz"] == pytest.approx(
            pitch, rel=0.025
        )
        tempo = 40 + pitch / 20
        assert stated(f"a band playing {verbalize.tempo(tempo, rng)}")["bpm"] == pytest.approx(
            tempo, rel=0.025
        )
    for count in range(1, 13):
        assert stated(f"a dog barking {verbalize.times(count, rng)}") == {"count": count}
    rates = [
        (rate, stated(f"a clock ticking {verbalize.rate(rate, rng)}"))
        for rate in np.geomspace(0.3, 16, 40)
    ]
    told = [(rate, facts) for rate, facts in rates if facts]
    assert len(told) > 25
    assert all(facts == {"rate_hz": pytest.approx(rate, rel=0.035)} for rate, facts in told)


def test_lessons_survive_a_file(tmp_path):
    import torch

    lessons = Lessons(("a dog", 'rain, "heavy"'), torch.randn(2, 384).half())
    lessons.save(tmp_path / "lessons.safetensors")
    again = Lessons.load(tmp_path / "lessons.safetensors")
    assert again.texts == lessons.texts
    assert torch.equal(again.targets, lessons.targets)
