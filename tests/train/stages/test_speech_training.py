"""Speech models train on the transcripts of clips; clips without speech have none."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from conftest import TINY, write_model

from latentaudio import load
from latentaudio.conditioning.phonemes import empty_transcripts, encode_transcripts
from latentaudio.config.architecture import PhonemesConfig
from latentaudio.train.stages.base import build_stage

SPEECH = replace(
    TINY,
    unet=replace(TINY.unet, contexts=(None, 16), use_prior=False),
    t5=None,
    latent_prior=None,
    phonemes=PhonemesConfig(
        hidden_size=12, num_layers=1, num_heads=2, ffn_dim=16, max_length=20, window_size=2
    ),
    translator=replace(TINY.translator, source_dims=(8, 12), time_pool=4, freq_pool=8),
)
TRANSCRIPTS = ("hello", "good day", None)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Clips, two of them with a transcript, and a model folder of random weights."""
    root = tmp_path_factory.mktemp("speech")
    lines = []
    for index, transcript in enumerate(TRANSCRIPTS):
        noise = np.random.default_rng(index).normal(scale=0.1, size=20480)
        soundfile.write(root / f"{index}.wav", noise, 16000)
        line = {"file_name": f"{index}.wav", "text": f"speaker {index}"}
        lines.append(json.dumps(line if transcript is None else line | {"transcript": transcript}))
    (root / "metadata.jsonl").write_text("\n".join(lines))
    write_model(root / "runs" / "run" / "model", SPEECH, "mini")
    return root


@pytest.mark.parametrize(("stage", "trainable"), [("translator", "translator"), ("joint", "model")])
def test_a_speech_model_trains_on_transcripts(stage, trainable, speech, stage_recipe):
    recipe = stage_recipe(stage, options={"frames_per_batch": 128 * len(TRANSCRIPTS)})
    built = build_stage(recipe, SPEECH, (speech,), speech / "runs" / "run" / "model")
    batch = built.batch(0)
    assert batch["audio/language_of_audio.tokens"].shape[1] == 2  # of half the usual pooling
    losses = built.losses(batch, trainable, torch.Generator().manual_seed(0))
    sum(losses.values()).backward()
    gradient = dict(built.trainables[trainable].named_parameters())
    [weight] = [value for name, value in gradient.items() if name.endswith("projections.1.weight")]
    assert weight.grad.any()


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_true_vectors_are_replaced_by_predictions_of_the_translator(
    fraction, speech, stage_recipe, monkeypatch
):
    options = {"frames_per_batch": 128 * len(TRANSCRIPTS), "own_prediction_prob": fraction}
    recipe = stage_recipe("translator", options=options)
    built = build_stage(recipe, SPEECH, (speech,), speech / "runs" / "run" / "model")
    passes = []
    predict = built.translator.teacher_forced

    def recorded(sources, tokens):
        passes.append((tokens, predict(sources, tokens)))
        return passes[-1][1]

    monkeypatch.setattr(built.translator, "teacher_forced", recorded)
    replaced = []
    for seed in range(20):
        passes.clear()
        batch = built.batch(seed)
        built.losses(batch, "translator", torch.Generator().manual_seed(seed))
        true = batch["audio/language_of_audio.tokens"]
        used, predictions = passes[-1]
        assert len(passes) == (2 if fraction else 1)
        assert predictions.requires_grad
        own = passes[0][1]
        is_own = (used == own).all(-1)
        assert torch.equal(used, torch.where(is_own[..., None], own, true))
        replaced.append(is_own.float().mean().item())
    assert np.mean(replaced) == pytest.approx(fraction, abs=0.15)
    passes.clear()
    monkeypatch.setattr(built, "is_validating", True)
    batch = built.batch(0)
    built.losses(batch, "translator", torch.Generator().manual_seed(0))
    [(used, _)] = passes
    assert torch.equal(used, batch["audio/language_of_audio.tokens"])


def test_as_many_passes_as_vectors_equal_generation(speech, stage_recipe, monkeypatch):
    own = {"own_prediction_prob": 1.0, "own_prediction_passes": 2}
    recipe = stage_recipe("translator", options={"frames_per_batch": 128 * len(TRANSCRIPTS), **own})
    built = build_stage(recipe, SPEECH, (speech,), speech / "runs" / "run" / "model")
    inputs = []
    predict = built.translator.teacher_forced
    monkeypatch.setattr(
        built.translator,
        "teacher_forced",
        lambda sources, tokens: inputs.append((sources, tokens)) or predict(sources, tokens),
    )
    built.losses(built.batch(0), "translator", torch.Generator().manual_seed(0))
    sources, tokens = inputs[-1]
    assert (len(inputs), tokens.shape[1]) == (3, 2)
    with torch.no_grad():
        generated = built.translator.generate(sources, 2).tokens
    torch.testing.assert_close(tokens, generated, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_stored_states_are_those_of_generation(speech, stage_recipe):
    recipe = stage_recipe("translator", options={"frames_per_batch": 128})
    stage = build_stage(recipe, SPEECH, (speech,), speech / "runs" / "run" / "model")
    encoders = load(speech / "runs" / "run" / "model", "cpu", "fp32").encoders
    [bucket] = stage.dataset.buckets
    rows = stage.caption_encodings(bucket.caption_rows(list(range(len(TRANSCRIPTS)))))
    states = rows["phonemes"].context
    for index, transcript in enumerate(TRANSCRIPTS):
        expected = empty_transcripts(encoders, 1)
        if transcript is not None:
            expected = encode_transcripts(encoders, [transcript])
        length = int(expected.mask.sum())
        assert int(states.mask[index].sum()) == length
        torch.testing.assert_close(
            states.tokens[index, :length], expected.tokens[0, :length], atol=5e-3, rtol=5e-3
        )
    assert not states.mask[TRANSCRIPTS.index(None)].any()
