"""The text stage learns: on a handful of lessons a student finds the teacher's vectors, and batches repeat by step."""

from dataclasses import replace

import pytest
import torch

from latentaudio.conditioning.tokenizer import build
from latentaudio.config.architecture import CLAPConfig, ModelConfig, T5Config
from latentaudio.errors import ConfigError
from latentaudio.train.recipe import Recipe
from latentaudio.train.stages.text import TextStage, fourier
from latentaudio.train.text_distillation import lexicon
from latentaudio.train.text_distillation.dataset import Lessons

CONFIG = ModelConfig(
    clap=CLAPConfig(
        projection=32, text_width=32, text_layers=1, text_heads=2, text_hidden=32, text_positions=18, vocabulary=1400,
        text_length=16, audio_width=8, audio_depths=(1, 1, 1, 1), audio_heads=(1, 1, 2, 2),
    ),
    t5=T5Config(width=32, head_width=16, heads=2, layers=1, hidden=32, vocabulary=1400, length=16),
)  # fmt: skip
TEXTS = (
    "a dog",
    "a dog barking three times",
    "rain",
    "a bell at 440 hz",
    "a tone on A3",
    "drums at 90 bpm",
    "wind",
    "a cat",
)


@pytest.fixture
def stage(tmp_path, monkeypatch):
    torch.manual_seed(0)
    (tmp_path / "model").mkdir()
    build(lexicon.words(), 1400).save(str(tmp_path / "model" / "tokenizer.json"))
    targets = torch.nn.functional.normalize(torch.randn(len(TEXTS), 384), dim=-1)
    monkeypatch.setattr(Lessons, "prepare", lambda *asked: Lessons(TEXTS, targets.half()))
    monkeypatch.setattr(
        "latentaudio.train.stages.base.text.ask", lambda texts: torch.randn(len(texts), 384)
    )
    return TextStage(Recipe(stage="text", steps=9, batch=8, seed=3), CONFIG, (), tmp_path / "model")


def test_lessons_are_kept_for_who_asks_the_same(stage, tmp_path, monkeypatch):
    [kept] = tmp_path.glob("lessons_*.safetensors")
    monkeypatch.setattr(Lessons, "prepare", lambda *asked: pytest.fail("prepared again"))
    TextStage(stage.recipe, CONFIG, (), tmp_path / "model")
    assert list(tmp_path.glob("lessons_*.safetensors")) == [kept]
    with pytest.raises(pytest.fail.Exception, match="prepared again"):
        TextStage(stage.recipe.model_copy(update={"seed": 4}), CONFIG, (), tmp_path / "model")


def test_batches_repeat_by_step_and_pool_only_real_tokens(stage):
    first, again, other = stage.batch(5), stage.batch(5), stage.batch(6)
    assert all(torch.equal(first[k].nan_to_num(), again[k].nan_to_num()) for k in first)
    assert not torch.equal(first["target"], other["target"])
    assert (first["pool"] <= first["mask"]).all()
    assert (first["pool"].sum(1) >= 1).all()


def test_facts_ride_with_their_texts(stage):
    pitches = stage.octaves[:, 0]
    assert sorted(pitches[~pitches.isnan()].tolist()) == pytest.approx([7.7814, 8.7814], abs=0.011)
    assert stage.counts.max() == 3


def test_students_learn(stage):
    optim = torch.optim.Adam([p for p in stage.students.parameters() if p.requires_grad], lr=1e-2)
    history = []
    for step in range(60):
        losses = stage.losses(stage.batch(step), "model", torch.Generator())
        total = sum(stage.weights[name] * loss for name, loss in losses.items())
        optim.zero_grad()
        total.backward()
        optim.step()
        history.append({name: float(loss.detach()) for name, loss in losses.items()})
    for name in ("t5/cosine", "clap/cosine", "t5/quantity"):
        assert history[-1][name] < 0.5 * history[0][name], name
    assert set(stage.weights) == set(history[0])
    assert all(p.grad is None for p in stage.students.clap.audio_model.parameters())


def test_fourier_has_the_asked_period():
    same, other = fourier(torch.tensor([3.0, 67.0])), fourier(torch.tensor([3.0, 4.0]))
    torch.testing.assert_close(same[0], same[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(
        other[0, 5], other[1, 5], atol=1e-5, rtol=0
    )  # the last sine: one octave
    assert (other[0] - other[1]).abs().max() > 0.1


def test_two_vocabularies_are_refused(tmp_path):
    config = replace(CONFIG, t5=replace(CONFIG.t5, vocabulary=1500))
    with pytest.raises(ConfigError, match="one vocabulary"):
        TextStage(Recipe(stage="text", steps=9), config, (), tmp_path)
