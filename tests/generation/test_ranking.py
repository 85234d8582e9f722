"""Ranking by CLAP, against transformers' own CLAP front end and model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from transformers import ClapFeatureExtractor

from latentaudio import AudioLDM
from latentaudio.audio.ops import resample
from latentaudio.errors import UsageError


@torch.no_grad()
def test_similarities_are_those_of_transformers(tiny):
    rng = np.random.default_rng(0)
    clips = [0.1 * rng.standard_normal((1, 16000)), 0.3 * np.sin(np.arange(24000) / 9)[None]]
    clips = [clip.astype(np.float32) for clip in clips]
    extract = ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc", padding="repeatpad")
    features = []
    for clip in clips:
        samples = resample(clip[0], 16000, 48000)
        extracted = extract(samples, sampling_rate=48000, return_tensors="pt")
        features.append(extracted.input_features)
    clap = tiny.encoders.clap
    audio_embeds = clap.get_audio_features(
        input_features=torch.cat(features), is_longer=torch.zeros(2, 1, dtype=torch.bool)
    ).pooler_output
    ids, mask = tiny.encoders.tokenizers["clap"](["a dog"])
    text_embeds = clap.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
    expected = normalize(audio_embeds, dim=-1) @ normalize(text_embeds, dim=-1)[0]
    actual = tiny.similarity(clips, ["a dog"])[:, 0]
    np.testing.assert_allclose(actual, expected, atol=1e-3)


def test_clips_may_differ_in_length_and_channels(tiny):
    rng = np.random.default_rng(1)
    mono = (0.1 * rng.standard_normal((1, 9000))).astype(np.float32)
    texts = ["a dog", "bell", "rain"]
    clips = [np.repeat(mono, 2, axis=0), mono[0, :5000]]
    alone = tiny.similarity([mono], texts)
    both = tiny.similarity(clips, texts)
    assert both.shape == (2, 3)
    np.testing.assert_allclose(both[0], alone[0], atol=1e-5)
    assert np.abs(both).max() <= 1
    assert np.abs(both[1] - both[0]).max() > 1e-6


def test_a_model_without_clap_cannot_rank(tiny):
    clap = replace(tiny.config.clap, audio_depths=())
    config = replace(tiny.config, clap=clap, audiomae=None)
    source = replace(tiny.source, spec=replace(tiny.source.spec, config=config))
    without_clap = AudioLDM(source, "cpu", "fp32")
    with pytest.raises(UsageError, match="set candidates to 1"):
        without_clap.similarity([np.zeros((1, 100), np.float32)], ["a dog"])
