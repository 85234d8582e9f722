"""Front ends against librosa, transformers and Kaldi's definition (spec 1.1, 1.3, 1.4)."""

import warnings

import librosa
import numpy as np
import pytest
import torch
from transformers import ClapFeatureExtractor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from latentaudio.audio import mel
from latentaudio.config.architecture import MelSpec

SPECS = [MelSpec(), MelSpec(rate=48000, n_fft=2048, hop=480, bins=256, fmin=20.0, fmax=24000.0)]


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).uniform(-0.5, 0.5, (1, samples)).astype(np.float32)
    )


@pytest.mark.parametrize("spec", SPECS, ids=["16k", "48k"])
def test_filterbank_is_librosas(spec):
    ours = mel.filterbank(spec.rate, spec.n_fft, spec.bins, spec.fmin, spec.fmax).numpy()
    theirs = librosa.filters.mel(
        sr=spec.rate, n_fft=spec.n_fft, n_mels=spec.bins, fmin=spec.fmin, fmax=spec.fmax
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_filterbank_sums_are_the_published_ones():
    assert float(mel.filterbank(16000, 1024, 64, 0.0, 8000.0).sum()) == pytest.approx(
        4.095880, abs=1e-4
    )
    assert float(mel.filterbank(48000, 2048, 256, 20.0, 24000.0).sum()) == pytest.approx(
        10.916974, abs=1e-4
    )
    assert float(mel.filterbank(48000, 1024, 64, 50.0, 14000.0).sum()) == pytest.approx(
        1.364433, abs=1e-4
    )


@pytest.mark.parametrize("spec", SPECS, ids=["16k", "48k"])
@pytest.mark.parametrize("framing", ["vocoder", "centred"])
def test_vae_mel_is_librosas(spec, framing):
    samples = noise(spec.rate)
    edge = (spec.n_fft - spec.hop) // 2 if framing == "vocoder" else spec.n_fft // 2
    padded = np.pad(samples[0].numpy(), edge, mode="reflect")
    theirs = librosa.feature.melspectrogram(
        y=padded, sr=spec.rate, n_fft=spec.n_fft, hop_length=spec.hop, center=False, power=1.0,
        n_mels=spec.bins, fmin=spec.fmin, fmax=spec.fmax,
    )  # fmt: skip
    ours = mel.vae_mel(samples, spec, framing)[0, 0].numpy().T
    # float32's rounding of an FFT is a share of its loudest bins, so a cell 80 dB below them has fewer digits
    np.testing.assert_allclose(np.exp(ours), np.maximum(theirs, 1e-5), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(ours[theirs > 1e-3], np.log(theirs[theirs > 1e-3]), atol=1e-4)


def test_ten_seconds_give_1024_frames_and_silence_the_floor():
    out = mel.vae_mel(torch.zeros(1, 163840), MelSpec())
    assert out.shape == (1, 1, 1024, 64)
    assert torch.allclose(out, torch.full_like(out, float(np.log(1e-5))))


def test_clap_mel_is_the_published_extractors():
    samples = noise(480000, 3)
    extractor = ClapFeatureExtractor(
        frequency_min=50, frequency_max=14000, truncation="rand_trunc", padding="repeatpad"
    )
    theirs = extractor(samples[0].numpy(), sampling_rate=48000, return_tensors="pt")[
        "input_features"
    ][0, 0]
    ours = mel.clap_mel(samples)[0, 0]
    assert ours.shape == (1001, 64)
    assert torch.allclose(ours, theirs.float(), atol=1e-3)


def test_clap_repeats_a_short_clip():
    samples = noise(100000, 4)
    extractor = ClapFeatureExtractor(
        frequency_min=50, frequency_max=14000, truncation="rand_trunc", padding="repeatpad"
    )
    theirs = extractor(samples[0].numpy(), sampling_rate=48000, return_tensors="pt")[
        "input_features"
    ][0, 0]
    assert torch.allclose(mel.clap_mel(samples)[0, 0], theirs.float(), atol=1e-3)


def test_kaldi_fbank_is_kaldis():
    samples = noise(163840, 5)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the lowest of 128 bands is narrower than a bin, in Kaldi too
        bank = mel_filter_bank(
            257, 128, 20.0, 8000.0, 16000, mel_scale="kaldi", triangularize_in_mel_space=True
        )
    centred = samples[0].numpy() - samples[0].numpy().mean()
    theirs = spectrogram(
        centred, window_function(400, "hann", periodic=False), frame_length=400, hop_length=160, fft_length=512, power=2.0,
        center=False, preemphasis=0.97, mel_filters=bank, log_mel="log", mel_floor=1.192092955078125e-07, remove_dc_offset=True,
    )  # fmt: skip
    ours = mel.kaldi_fbank(samples, 1024)[0, 0]
    assert theirs.shape[1] == 1022
    restored = ours[:1022].numpy() * 2 * mel.FBANK_STD + mel.FBANK_MEAN
    np.testing.assert_allclose(restored, theirs.T, atol=1e-3)
    assert torch.allclose(ours[1022:], torch.tensor(0.4670324), atol=1e-5)


def test_a_mel_first_made_while_generating_still_lets_gradients_through():
    spec = MelSpec(n_fft=512, hop=96, bins=23)  # no other test has cached its window and filters
    samples = torch.randn(1, 4800)
    with torch.inference_mode():
        mel.vae_mel(samples, spec)
    samples.requires_grad_()
    mel.vae_mel(samples, spec).sum().backward()
    assert samples.grad is not None and samples.grad.abs().sum() > 0
