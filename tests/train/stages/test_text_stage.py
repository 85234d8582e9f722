"""The text stage: students learn the teacher's vectors, and batches repeat by step."""

from dataclasses import replace

import pytest
import torch

from latentaudio.conditioning.tokenizer import build_tokenizer
from latentaudio.config.architecture import CLAPConfig, ModelConfig, T5Config
from latentaudio.errors import ConfigError
from latentaudio.train.recipe import Recipe
from latentaudio.train.stages import text as text_stage
from latentaudio.train.stages.text import TextStage, fourier_features
from latentaudio.train.text_distillation import lexicon
from latentaudio.train.text_distillation.dataset import DistillationSet

VOCAB_SIZE = 1400
CONFIG = ModelConfig(
    clap=CLAPConfig(
        projection_dim=32,
        text_hidden_size=32,
        text_num_layers=1,
        text_num_heads=2,
        text_ffn_dim=32,
        text_max_positions=18,
        vocab_size=VOCAB_SIZE,
        text_max_length=16,
        audio_hidden_size=8,
        audio_depths=(1, 1, 1, 1),
        audio_num_heads=(1, 1, 2, 2),
    ),
    t5=T5Config(
        hidden_size=32,
        head_dim=16,
        num_heads=2,
        num_layers=1,
        ffn_dim=32,
        vocab_size=VOCAB_SIZE,
        max_length=16,
    ),
)
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
    """A text stage with random vectors in the place of the teacher's."""
    torch.manual_seed(0)
    model_folder = tmp_path / "model"
    model_folder.mkdir()
    tokenizer = build_tokenizer(lexicon.list_words(), VOCAB_SIZE)
    tokenizer.save(str(model_folder / "tokenizer.json"))
    targets = torch.nn.functional.normalize(torch.randn(len(TEXTS), 384), dim=-1)
    prepared = DistillationSet(TEXTS, targets.half())
    monkeypatch.setattr(DistillationSet, "prepare", lambda *arguments: prepared)
    monkeypatch.setattr(text_stage, "teacher_embed", lambda texts, *_: torch.randn(len(texts), 384))
    recipe = Recipe(stage="text", steps=9, batch_size=8, seed=3)
    return TextStage(recipe, CONFIG, (), model_folder)


def test_targets_are_stored_and_used_again_with_the_same_settings(stage, tmp_path, monkeypatch):
    [path] = tmp_path.glob("distillation_set_*.safetensors")

    def prepare(*arguments):
        pytest.fail("prepared again")

    monkeypatch.setattr(DistillationSet, "prepare", prepare)
    TextStage(stage.recipe, CONFIG, (), tmp_path / "model")
    assert list(tmp_path.glob("distillation_set_*.safetensors")) == [path]
    other_seed = stage.recipe.model_copy(update={"seed": 4})
    with pytest.raises(pytest.fail.Exception, match="prepared again"):
        TextStage(other_seed, CONFIG, (), tmp_path / "model")


def test_batches_repeat_by_step_and_pool_only_real_tokens(stage):
    batch = stage.batch(5)
    repeated = stage.batch(5)
    assert all(torch.equal(batch[k].nan_to_num(), repeated[k].nan_to_num()) for k in batch)
    assert not torch.equal(batch["target"], stage.batch(6)["target"])
    assert (batch["pool"] <= batch["mask"]).all()
    assert (batch["pool"].sum(1) >= 1).all()


def test_quantities_are_those_of_the_texts(stage):
    pitches = stage.octaves[:, 0]
    octaves = sorted(pitches[~pitches.isnan()].tolist())
    assert octaves == pytest.approx([7.7814, 8.7814], abs=0.011)
    assert stage.counts.max() == 3


def test_students_learn(stage):
    parameters = [p for p in stage.students.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    history = []
    for step in range(60):
        losses = stage.losses(stage.batch(step), "model", torch.Generator())
        total = sum(stage.loss_weights[name] * loss for name, loss in losses.items())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append({name: float(loss.detach()) for name, loss in losses.items()})
    for name in ("t5/cosine", "clap/cosine", "t5/quantity"):
        assert history[-1][name] < 0.5 * history[0][name], name
    assert set(stage.loss_weights) == set(history[0])
    assert all(p.grad is None for p in stage.students.clap.audio_model.parameters())


def test_fourier_features_have_periods_of_1_to_64_octaves():
    same = fourier_features(torch.tensor([3.0, 67.0]))
    other = fourier_features(torch.tensor([3.0, 4.0]))
    torch.testing.assert_close(same[0], same[1], atol=1e-4, rtol=0)
    # The last sine has a period of one octave.
    torch.testing.assert_close(other[0, 5], other[1, 5], atol=1e-5, rtol=0)
    assert (other[0] - other[1]).abs().max() > 0.1


def test_two_vocabularies_are_an_error(tmp_path):
    config = replace(CONFIG, t5=replace(CONFIG.t5, vocab_size=1500))
    with pytest.raises(ConfigError, match="one vocabulary"):
        TextStage(Recipe(stage="text", steps=9), config, (), tmp_path)
