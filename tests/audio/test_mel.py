"""Front ends against librosa, transformers and Kaldi's definition (numerics: mel front ends)."""

import warnings

import librosa
import numpy as np
import pytest
import torch
from transformers import ClapFeatureExtractor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from latentaudio.audio import mel
from latentaudio.config.architecture import MelSpec

SPECS = [
    MelSpec(),
    MelSpec(sample_rate=48000, n_fft=2048, hop_length=480, n_mels=256, fmin=20.0, fmax=24000.0),
]


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).uniform(-0.5, 0.5, (1, samples)).astype(np.float32)
    )


@pytest.mark.parametrize("spec", SPECS, ids=["16k", "48k"])
def test_filterbank_equals_librosa(spec):
    ours = mel.filterbank(spec.sample_rate, spec.n_fft, spec.n_mels, spec.fmin, spec.fmax).numpy()
    theirs = librosa.filters.mel(
        sr=spec.sample_rate, n_fft=spec.n_fft, n_mels=spec.n_mels, fmin=spec.fmin, fmax=spec.fmax
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_filterbank_sums_equal_the_published_ones():
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
@pytest.mark.parametrize("framing", ["vocoder", "centered"])
def test_vae_mel_equals_librosa(spec, framing):
    samples = noise(spec.sample_rate)
    padding = (spec.n_fft - spec.hop_length) // 2 if framing == "vocoder" else spec.n_fft // 2
    padded = np.pad(samples[0].numpy(), padding, mode="reflect")
    theirs = librosa.feature.melspectrogram(
        y=padded,
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        center=False,
        power=1.0,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
    )
    ours = mel.vae_mel(samples, spec, framing)[0, 0].numpy().T
    # The rounding error of a float32 FFT is relative to its loudest bins.
    np.testing.assert_allclose(np.exp(ours), np.maximum(theirs, 1e-5), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(ours[theirs > 1e-3], np.log(theirs[theirs > 1e-3]), atol=1e-4)


def test_ten_seconds_have_1024_frames_and_silence_is_the_floor():
    out = mel.vae_mel(torch.zeros(1, 163840), MelSpec())
    assert out.shape == (1, 1, 1024, 64)
    assert torch.allclose(out, torch.full_like(out, float(np.log(1e-5))))


def test_clap_mel_equals_the_published_extractor():
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


def test_kaldi_fbank_equals_kaldi():
    samples = noise(163840, 5)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the lowest of 128 bands is narrower than a bin, in Kaldi too
        bank = mel_filter_bank(
            257, 128, 20.0, 8000.0, 16000, mel_scale="kaldi", triangularize_in_mel_space=True
        )
    centered = samples[0].numpy() - samples[0].numpy().mean()
    theirs = spectrogram(
        centered,
        window_function(400, "hann", periodic=False),
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=bank,
        log_mel="log",
        mel_floor=1.192092955078125e-07,
        remove_dc_offset=True,
    )
    ours = mel.kaldi_fbank(samples, 1024)[0, 0]
    assert theirs.shape[1] == 1022
    restored = ours[:1022].numpy() * 2 * mel.FBANK_STD + mel.FBANK_MEAN
    np.testing.assert_allclose(restored, theirs.T, atol=1e-3)
    assert torch.allclose(ours[1022:], torch.tensor(0.4670324), atol=1e-5)


def test_a_mel_cached_in_inference_mode_passes_gradients():
    spec = MelSpec(
        n_fft=512, hop_length=96, n_mels=23
    )  # no other test has cached its window and filters
    samples = torch.randn(1, 4800)
    with torch.inference_mode():
        mel.vae_mel(samples, spec)
    samples.requires_grad_()
    mel.vae_mel(samples, spec).sum().backward()
    assert samples.grad is not None and samples.grad.abs().sum() > 0
