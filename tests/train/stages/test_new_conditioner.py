"""New conditioners, each a class and a row, are pre-encoded, trained and generated with."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, write_model

import latentaudio
from latentaudio import conditioning
from latentaudio.conditioning import encode_prompts
from latentaudio.conditioning.encodings import Consumers, Encoding
from latentaudio.config import registry
from latentaudio.data.manifest import read_manifest
from latentaudio.data.pre_encoded import PreEncodedDataset
from latentaudio.loaders.model_folder import load_component
from latentaudio.train.pre_encode import bucket_by_length, pre_encode
from latentaudio.types import Context

VOWELS = "aeiou"
CONFIG = replace(
    TINY,
    unet=replace(TINY.unet, contexts=(None, 16, 24, 5, 3), film_dim=8 + 5),
    translator=replace(TINY.translator, source_dims=(8, 24, 5)),
)


def count_vowels(texts):
    """How many of each vowel a text has, [B, 5]."""
    return torch.tensor([[float(text.count(vowel)) for vowel in VOWELS] for text in texts])


class VowelConditioner:
    """Reads the caption. FiLM, the UNet and the translator read it."""

    name = "vowels"
    components = ()
    frozen_components = ()
    consumers = Consumers(film=True, context_position=2, source_position=2)

    def is_used_by(self, config):
        return 5 in config.unet.cross_attention_dims

    def clip_inputs(self, config):
        return ("text",)

    def encode(self, encoders, inputs, encodings):
        results = []
        for batch in inputs:
            vector = count_vowels(batch.texts)
            tokens = torch.stack([vector, 2 * vector], dim=1)
            results.append(Encoding(vector=vector, context=Context.unmasked(tokens)))
        return results


class LoudnessConditioner:
    """Reads the sound: the levels of its thirds. A prompt has none, which is zeros."""

    name = "loudness"
    components = ()
    frozen_components = ()
    consumers = Consumers(context_position=3)

    def is_used_by(self, config):
        return 3 in config.unet.cross_attention_dims

    def clip_inputs(self, config):
        return ("audio",)

    def encode(self, encoders, inputs, encodings):
        zeros = [torch.zeros(len(batch.texts), 1, 3) for batch in inputs]
        return [Encoding(context=Context.unmasked(tokens)) for tokens in zeros]

    def encode_audio(self, encoders, audio):
        thirds = np.array_split(audio.samples, 3, axis=1)
        levels = np.stack([np.abs(third).mean(axis=1) for third in thirds], axis=1)
        return Encoding(context=Context.unmasked(torch.from_numpy(levels)[:, None].float()))


@pytest.fixture(autouse=True)
def table_with_new_rows(monkeypatch, tiny_models):
    """Add both rows to the table, and a model that uses them to the registry."""
    *others, translator = conditioning.CONDITIONERS
    rows = (*others, VowelConditioner(), translator, LoudnessConditioner())
    monkeypatch.setattr(conditioning, "CONDITIONERS", rows)
    monkeypatch.setitem(registry.MODELS, "mini", replace(registry.MODELS["mini"], config=CONFIG))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A model that uses the new conditioners, as the run of another stage left it."""
    folder = tmp_path_factory.mktemp("new") / "run" / "model"
    write_model(folder, CONFIG, "mini")
    return folder


def test_new_conditioners_are_pre_encoded(model_folder, data):
    dataset = PreEncodedDataset(pre_encode((data,), model_folder, CONFIG))
    clips = bucket_by_length(read_manifest(data), CONFIG)
    for bucket in dataset.buckets:
        members = clips[bucket.num_frames]
        captions = [caption for clip in members for caption in clip.captions]
        rows = bucket.caption_rows(list(range(len(captions))))
        assert torch.equal(rows["caption/vowels.vector"], count_vowels(captions))
        assert torch.equal(rows["caption/vowels.tokens"][:, 0], count_vowels(captions))
        levels = bucket.clip_rows(list(range(len(members))))["audio/loudness.tokens"]
        assert levels.shape == (len(members), 1, 3)
        assert levels.any()


def test_training_conditions_the_unet_as_generation_does(model_folder, tiny_stage, data):
    stage = tiny_stage("diffusion", {"frames_per_batch": 512}, model_folder, config=CONFIG)
    clip = read_manifest(data)[0]
    [bucket] = [
        b for b in stage.dataset.buckets if b.num_frames == 128 * round(clip.duration / 1.28)
    ]
    index = bucket_by_length(read_manifest(data), CONFIG)[bucket.num_frames].index(clip)
    first_caption = stage.dataset.captions_per_clip * index
    batch = bucket.clip_rows([index]) | bucket.caption_rows([first_caption])
    generated = encode_prompts(
        latentaudio.load(model_folder, "cpu", "fp32").encoders,
        [clip.captions[0]],
        batch["audio/language_of_audio.tokens"].shape[1],
        batch["latent"].shape[2],
    )
    # the prompt's language of audio is the translator's, and it has no loudness
    encodings = stage.complete_encodings(batch, generated.contexts[0].tokens)
    trained = encodings.conditioning(CONFIG.unet)
    torch.testing.assert_close(trained.film, generated.film, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(trained.prior, generated.prior, atol=2e-3, rtol=2e-3)
    for position in range(3):
        expected = generated.contexts[position]
        torch.testing.assert_close(
            trained.contexts[position].tokens, expected.tokens, atol=5e-3, rtol=0
        )
        assert torch.equal(trained.contexts[position].mask, expected.mask)
    assert trained.contexts[3].tokens.any()
    assert not generated.contexts[3].tokens.any()


def test_a_dropped_caption_is_the_empty_one_and_dropped_sound_is_zeros(model_folder, tiny_stage):
    options = {"frames_per_batch": 512, "cfg_dropout_prob": 1.0}
    stage = tiny_stage("diffusion", options, model_folder, config=CONFIG)
    batch = stage.batch(0)
    encodings = stage.complete_encodings(batch, stage.select_loa(batch, torch.Generator()))
    dropped = stage.drop_conditions(encodings, torch.Generator().manual_seed(0))
    conditioning = dropped.conditioning(CONFIG.unet)
    assert torch.equal(conditioning.film[:, 8:], torch.zeros(len(batch["latent"]), 5))
    loa, text, vowels, loudness = conditioning.contexts
    for context in (loa, vowels, loudness):
        assert not context.tokens.any()
        assert context.mask.all()
    assert text.mask.sum(1).max() < batch["caption/t5.mask"].sum(1).min()


def test_diffusion_trains_on_new_conditioners_and_the_model_generates(run_stage, model_folder):
    options = {"frames_per_batch": 512}
    run_folder, log = run_stage("diffusion", model_folder, options=options)
    assert np.isfinite(log[-1]["unet/mse"])
    before = load_component(model_folder, "unet", CONFIG).state_dict()
    after = load_component(run_folder / "model", "unet", CONFIG).state_dict()
    changed = {
        value.shape[1]
        for key, value in after.items()
        if not torch.equal(value, before[key]) and value.ndim == 2
    }
    # the matrices that read the contexts, of widths 5 and 3, and FiLM's
    assert {5, 3, 13} <= changed
    model = latentaudio.load(run_folder, "cpu", "fp32")
    prompts = ["a dog", "a bell rings"]
    first, second = model.generate(prompts, duration=0.6, steps=2, seed=1)
    assert first.samples.shape == second.samples.shape == (1, 9600)


@pytest.mark.parametrize(
    ("stage", "trainable", "options"),
    [
        ("translator", "translator", {}),
        ("latent_prior", "latent_prior", {}),
        ("latent_prior", "latent_prior", {"concat_fraction": 0.5}),
        ("joint", "model", {}),
        ("distillation", "unet", {"teacher_substeps": 2}),
    ],
)
def test_every_stage_on_latents_trains_with_new_conditioners(
    stage, trainable, options, tiny_stage, model_folder
):
    built = tiny_stage(stage, {"frames_per_batch": 1024, **options}, model_folder, config=CONFIG)
    losses = built.losses(built.batch(0), trainable, torch.Generator().manual_seed(0))
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
    gradients = [p.grad for p in built.trainables[trainable].parameters() if p.grad is not None]
    assert any(gradient.any() for gradient in gradients)
