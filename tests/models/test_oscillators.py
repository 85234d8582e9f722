"""Mel geometry against librosa, oscillators against scipy's chirp, tones against known sines."""

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

from latentaudio.config.architecture import VocoderConfig, mel_edges
from latentaudio.models import oscillators
from latentaudio.models.oscillators import MelAnalyzer, noise_stft, oscillator_bank, stabilize_pitch

RATE, HOP, N_FFT = 16000, 160, 1024
ANALYZER = MelAnalyzer(VocoderConfig(kind="istft"))


BANK = torch.from_numpy(librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=64, fmin=0, fmax=8000))


@pytest.mark.parametrize(("bins", "fmin", "fmax"), [(64, 0.0, 8000.0), (256, 20.0, 24000.0)])
def test_edges_are_librosas(bins, fmin, fmax):
    expected = librosa.mel_frequencies(n_mels=bins + 2, fmin=fmin, fmax=fmax)
    np.testing.assert_allclose(mel_edges(bins, fmin, fmax), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("hertz", [233.1, 443.0, 987.8, 2093.0, 3333.3, 6000.0])
def test_a_single_sine_is_estimated_from_its_mel(hertz):
    sine = 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(RATE) / RATE)
    spectrum = torch.stft(sine, N_FFT, HOP, window=torch.hann_window(N_FFT), return_complex=True)
    mel = (BANK @ spectrum.abs()).T[None]
    frequency, amplitude = ANALYZER.estimate_tones(mel)
    band = mel[0, 50].argmax()
    assert frequency[0, 50, band].item() == pytest.approx(hertz, rel=5e-3)
    assert amplitude[0, 50, band].item() == pytest.approx(0.3, rel=0.1)


def test_envelope_of_a_flat_spectrum_is_flat():
    envelope = ANALYZER.envelope(BANK.sum(dim=1)[None, None])
    assert envelope.shape == (1, 1, 513)
    torch.testing.assert_close(envelope[0, 0, 4:], torch.ones(509), atol=0.1, rtol=0)


def test_oscillator_holds_its_pitch_over_a_minute():
    frames = 6000
    samples = oscillator_bank(
        torch.full((1, frames, 1), 443.0 / RATE), torch.ones(1, frames, 1), HOP
    )[0].double()
    expected = torch.sin(
        2 * torch.pi * 443.0 * torch.arange(frames * HOP, dtype=torch.float64) / RATE
    )
    torch.testing.assert_close(samples[-RATE:], expected[-RATE:], atol=0.05, rtol=0)


def test_oscillator_glides_like_scipys_chirp():
    frames = 100
    seconds = torch.arange(frames * HOP) / RATE
    pitch = 300 + 500 * (torch.arange(frames) + 0.5) * HOP / RATE  # at frame centres
    samples = oscillator_bank((pitch / RATE)[None, :, None], torch.ones(1, frames, 1), HOP)[0]
    expected = scipy.signal.chirp(seconds.numpy(), 300, 1.0, 800, phi=-90)
    inner = slice(HOP, -HOP)  # the outermost borders have no second frame to slope to
    lag = np.abs(
        scipy.signal.hilbert(samples[inner].numpy()).conj() @ scipy.signal.hilbert(expected[inner])
    )
    assert lag / (np.linalg.norm(expected[inner]) ** 2 * 2) == pytest.approx(1, abs=2e-3)


def test_oscillators_add_up_and_scale_with_their_amplitude():
    pitch = torch.tensor([[[0.01, 0.2]]]).expand(1, 50, 2)
    loudness = torch.rand(1, 50, 2)
    summed = oscillator_bank(pitch, loudness, HOP)
    separate = sum(
        oscillator_bank(pitch[..., i : i + 1], loudness[..., i : i + 1], HOP) for i in range(2)
    )
    torch.testing.assert_close(summed, separate, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        oscillator_bank(pitch, 3 * loudness, HOP), 3 * summed, atol=1e-5, rtol=1e-5
    )


def test_noise_stft_has_unit_magnitude():
    noise = torch.randn(2, 199 * HOP + N_FFT, generator=torch.Generator().manual_seed(3))
    spectrum = noise_stft(noise, HOP, torch.hann_window(N_FFT))
    assert spectrum.shape == (2, 200, 513)
    assert spectrum[..., 2:-2].abs().mean().item() == pytest.approx(1, abs=0.03)


def test_pitch_is_stabilized_equally_in_chunks(monkeypatch):
    generator = torch.Generator().manual_seed(5)
    wavering, loudness = (
        440 * (1 + 0.01 * torch.randn(1, 301, 3, generator=generator)),
        torch.rand(1, 301, 3, generator=generator),
    )
    near = torch.full((3,), 440.0)
    whole = stabilize_pitch(wavering, loudness, 40, near)
    monkeypatch.setattr(oscillators, "_FILTER_POOLED_FRAMES", 17)
    chunked = stabilize_pitch(wavering, loudness, 40, near)
    torch.testing.assert_close(chunked, whole, atol=0, rtol=1e-6)


@pytest.mark.parametrize("hertz", [150.0, 433.3, 1234.5, 3456.7])
def test_reassigned_frequencies_of_a_sine_equal_its_frequency(hertz):
    n = torch.arange(16000, dtype=torch.float32)
    sine = 0.3 * torch.sin(2 * torch.pi * hertz / 16000 * n)[None]
    frequencies, tonality = ANALYZER.reassigned_frequencies(sine, 160)
    near = ((ANALYZER.centers - hertz).abs() < 0.8 * ANALYZER.half_widths).nonzero()[:, 0]
    assert (frequencies[0, 20:-20][:, near] - hertz).abs().max() < 0.002 * hertz
    assert tonality[0, 20:-20][:, near].min() > 0.9
    noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    assert ANALYZER.reassigned_frequencies(noise, 160)[1].mean() < 0.15
    assert frequencies.shape == (1, 100, 64)


def stabilize(track: torch.Tensor, loudness: torch.Tensor | None = None) -> torch.Tensor:
    """One band's frequencies [T] held over 1.2 s."""
    loud = torch.ones_like(track) if loudness is None else loudness
    near = track.mean()[None]
    return stabilize_pitch(track[None, :, None], loud[None, :, None], 120, near)[0, :, 0]


def test_a_wavering_note_is_held_at_one_pitch():
    track = 300 * (1 + 0.005 * torch.randn(501, generator=torch.Generator().manual_seed(0)))
    out = stabilize(track)
    assert out.shape == track.shape
    assert out[20:-20].std() < 0.1 * track.std()
    assert out.mean().item() == pytest.approx(300, rel=2e-3)


def test_a_pitch_jump_stays_and_a_glide_keeps_both_ends():
    jump = torch.where(torch.arange(500) < 250, 300.0, 337.0)
    torch.testing.assert_close(stabilize(jump), jump, rtol=3e-3, atol=0)
    for octaves in (0.5, 1, 3, 10):
        glide = 300 * 2 ** (octaves * torch.arange(250) / 250)
        torch.testing.assert_close(
            stabilize(glide), glide, rtol=0.0375, atol=0
        )  # never moved by two thirds of a semitone


def test_float32_is_exact_enough_for_the_phase_of_ten_seconds():
    generator = torch.Generator().manual_seed(6)
    tracks = 3000 * (1 + 0.02 * torch.randn(1, 1024, 4, generator=generator))
    loud = torch.rand(1, 1024, 4, generator=generator)
    near = torch.full((4,), 3100.0)
    exact = stabilize_pitch(tracks.double(), loud.double(), 120, near.double())
    error = (stabilize_pitch(tracks, loud, 120, near) - exact) / exact
    assert error.square().mean().sqrt() < 1.5e-7  # rounding of the result alone is 3e-8


def test_quiet_frames_have_little_weight():
    track = torch.where(torch.arange(400) % 8 < 4, 300.0, 303.0)
    loud = torch.where(torch.arange(400) % 8 < 4, 1.0, 1e-4)
    torch.testing.assert_close(stabilize(track, loud), torch.full((400,), 300.0), rtol=1e-3, atol=0)


def test_bands_and_clips_are_independent():
    tracks = 300 + 3 * torch.randn(2, 100, 3, generator=torch.Generator().manual_seed(1))
    near = torch.tensor([290.0, 300.0, 310.0])
    loud = torch.rand(2, 100, 3, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        stabilize_pitch(tracks, loud, 30, near)[1:, :, 2:],
        stabilize_pitch(tracks[1:, :, 2:], loud[1:, :, 2:], 30, near[2:]),
    )
