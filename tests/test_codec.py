"""The codec: long clips are encoded in windows without a break."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from clips import RATE

from latentaudio import load
from latentaudio.audio.mel import vae_mel
from latentaudio.codec import WINDOW_OVERLAP_FRACTION, AudioCodec
from latentaudio.models.tiling import window_starts


def test_a_long_clip_is_encoded_without_a_break(tiny_folder):
    model = load(tiny_folder, "cpu", "fp32")
    window = model.codec.max_window
    frames = 2 * window * model.config.vae.downsampling
    noise = np.random.default_rng(1).standard_normal(997).astype(np.float32) * 0.1
    z = model.codec.encode(np.resize(noise, (1, frames * model.config.mel.hop_length)), frames)
    assert z.shape[2] == 2 * window
    changes = (z[:, :, 1:] - z[:, :, :-1]).abs().mean(dim=(0, 1, 3))
    assert changes[window - 4 : window + 4].max() <= 1.5 * changes[4:-4].median()


@pytest.mark.parametrize("framing", ["vocoder", "centered"])
def test_windows_read_the_mel_of_the_whole_clip(tiny, framing, monkeypatch):
    spec = tiny.config.mel
    factor = tiny.config.vae.downsampling
    rng = np.random.default_rng(0)
    clip = 0.1 * rng.standard_normal((1, 24 * RATE)).astype(np.float32)
    reference = replace(tiny.source.reference, mel_framing=framing)
    codec = AudioCodec(replace(tiny.source, reference=reference), tiny.components)
    mels = []
    encode = tiny.vae.encode

    def recorded(mel):
        mels.append(mel)
        return encode(mel)

    monkeypatch.setattr(tiny.vae, "encode", recorded)
    codec.encode(clip)
    frames = factor * math.ceil(clip.shape[1] / (spec.hop_length * factor))
    full = vae_mel(torch.from_numpy(clip), spec, framing)[:, :, :frames]
    overlap = codec.max_window // WINDOW_OVERLAP_FRACTION
    starts = window_starts(frames // factor, codec.max_window, overlap)
    assert len(mels) == len(starts) > 1
    for mel, start in zip(mels, starts, strict=True):
        expected = full[:, :, start * factor : start * factor + mel.shape[2]]
        torch.testing.assert_close(mel, expected, atol=1e-5, rtol=0)
