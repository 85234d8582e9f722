"""Ranking by CLAP, against transformers' own CLAP front end and model."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from transformers import ClapFeatureExtractor

from latentaudio.audio.ops import resample
from latentaudio.conditioning.base import TextEncoders
from latentaudio.errors import UsageError
from latentaudio.generation.ranking import similarity


@torch.no_grad()
def test_it_is_transformers_cosines(tiny):
    rng = np.random.default_rng(0)
    sounds = [0.1 * rng.standard_normal((1, 16000)), 0.3 * np.sin(np.arange(24000) / 9)[None]]
    sounds = [sound.astype(np.float32) for sound in sounds]
    extract = ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc", padding="repeatpad")
    features = [
        extract(
            resample(s[0], 16000, 48000), sampling_rate=48000, return_tensors="pt"
        ).input_features
        for s in sounds
    ]
    clap = tiny.text_encoders.clap
    longer = torch.zeros(2, 1, dtype=torch.bool)
    heard = clap.get_audio_features(
        input_features=torch.cat(features), is_longer=longer
    ).pooler_output
    ids, mask = tiny.text_encoders.clap_tokenizer(["a dog"])
    said = clap.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
    expected = normalize(heard, dim=-1) @ normalize(said, dim=-1)[0]
    np.testing.assert_allclose(
        similarity(tiny.text_encoders, sounds, 16000, ["a dog"])[:, 0], expected, atol=1e-3
    )


def test_sounds_may_differ_in_length_and_channels(tiny):
    rng = np.random.default_rng(1)
    mono = (0.1 * rng.standard_normal((1, 9000))).astype(np.float32)
    texts = ["a dog", "bell", "rain"]
    alone = similarity(tiny.text_encoders, [mono], 16000, texts)
    both = similarity(tiny.text_encoders, [np.repeat(mono, 2, axis=0), mono[0, :5000]], 16000, texts)
    assert both.shape == (2, 3)
    np.testing.assert_allclose(both[0], alone[0], atol=1e-5)
    assert np.abs(both).max() <= 1
    assert np.abs(both[1] - both[0]).max() > 1e-6


def test_a_system_without_clap_says_so(tiny):
    with pytest.raises(UsageError, match="set candidates to 1"):
        similarity(TextEncoders(tiny.config), [np.zeros((1, 100), np.float32)], 16000, ["a dog"])
