"""Mel geometry against librosa, oscillators against scipy's chirp, tone reading against sines of known pitch and size."""

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

from latentaudio.config.architecture import VocoderConfig, mel_edges
from latentaudio.models import oscillators
from latentaudio.models.oscillators import MelReader, held, hiss, oscillate

RATE, HOP, N_FFT = 16000, 160, 1024
READER = MelReader(VocoderConfig(kind="istft"))


BANK = torch.from_numpy(librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=64, fmin=0, fmax=8000))


@pytest.mark.parametrize(("bins", "fmin", "fmax"), [(64, 0.0, 8000.0), (256, 20.0, 24000.0)])
def test_edges_are_librosas(bins, fmin, fmax):
    expected = librosa.mel_frequencies(n_mels=bins + 2, fmin=fmin, fmax=fmax)
    np.testing.assert_allclose(mel_edges(bins, fmin, fmax), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("hertz", [233.1, 443.0, 987.8, 2093.0, 3333.3, 6000.0])
def test_a_lone_sine_is_read_off_its_mel(hertz):
    sine = 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(RATE) / RATE)
    spectrum = torch.stft(sine, N_FFT, HOP, window=torch.hann_window(N_FFT), return_complex=True)
    mel = (BANK @ spectrum.abs()).T[None]
    frequency, amplitude = READER.tones(mel)
    band = mel[0, 50].argmax()
    assert frequency[0, 50, band].item() == pytest.approx(hertz, rel=5e-3)
    assert amplitude[0, 50, band].item() == pytest.approx(0.3, rel=0.1)


def test_envelope_of_a_flat_spectrum_is_flat():
    envelope = READER.envelope(BANK.sum(dim=1)[None, None])
    assert envelope.shape == (1, 1, 513)
    torch.testing.assert_close(envelope[0, 0, 4:], torch.ones(509), atol=0.1, rtol=0)


def test_oscillator_holds_its_pitch_over_a_minute():
    frames = 6000
    samples = oscillate(torch.full((1, frames, 1), 443.0 / RATE), torch.ones(1, frames, 1), HOP)[
        0
    ].double()
    expected = torch.sin(
        2 * torch.pi * 443.0 * torch.arange(frames * HOP, dtype=torch.float64) / RATE
    )
    torch.testing.assert_close(samples[-RATE:], expected[-RATE:], atol=0.05, rtol=0)


def test_oscillator_glides_as_scipys_chirp():
    frames = 100
    seconds = torch.arange(frames * HOP) / RATE
    pitch = 300 + 500 * (torch.arange(frames) + 0.5) * HOP / RATE  # at frame centres
    samples = oscillate((pitch / RATE)[None, :, None], torch.ones(1, frames, 1), HOP)[0]
    expected = scipy.signal.chirp(seconds.numpy(), 300, 1.0, 800, phi=-90)
    inner = slice(HOP, -HOP)  # the outermost borders have no second frame to slope to
    lag = np.abs(
        scipy.signal.hilbert(samples[inner].numpy()).conj() @ scipy.signal.hilbert(expected[inner])
    )
    assert lag / (np.linalg.norm(expected[inner]) ** 2 * 2) == pytest.approx(1, abs=2e-3)


def test_oscillators_add_up_and_follow_their_loudness():
    pitch = torch.tensor([[[0.01, 0.2]]]).expand(1, 50, 2)
    loudness = torch.rand(1, 50, 2)
    together = oscillate(pitch, loudness, HOP)
    apart = sum(oscillate(pitch[..., i : i + 1], loudness[..., i : i + 1], HOP) for i in range(2))
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        oscillate(pitch, 3 * loudness, HOP), 3 * together, atol=1e-5, rtol=1e-5
    )


def test_hiss_has_unit_magnitude():
    noise = torch.randn(2, 199 * HOP + N_FFT, generator=torch.Generator().manual_seed(3))
    found = hiss(noise, HOP, torch.hann_window(N_FFT))
    assert found.shape == (2, 200, 513)
    assert found[..., 2:-2].abs().mean().item() == pytest.approx(1, abs=0.03)


def test_pitch_is_held_alike_in_pieces(monkeypatch):
    dice = torch.Generator().manual_seed(5)
    wavering, loudness = (
        440 * (1 + 0.01 * torch.randn(1, 301, 3, generator=dice)),
        torch.rand(1, 301, 3, generator=dice),
    )
    whole = held(wavering, loudness, 40)
    monkeypatch.setattr(oscillators, "_HEARD", 17)
    torch.testing.assert_close(held(wavering, loudness, 40), whole, atol=0, rtol=1e-6)


@pytest.mark.parametrize("hertz", [150.0, 433.3, 1234.5, 3456.7])
def test_what_each_band_sings_is_read_off_the_sound(hertz):
    n = torch.arange(16000, dtype=torch.float32)
    sine = 0.3 * torch.sin(2 * torch.pi * hertz / 16000 * n)[None]
    where, tonality = READER.sung(sine, 160)
    near = ((READER.centres - hertz).abs() < 0.8 * READER.half_widths).nonzero()[:, 0]
    assert (where[0, 20:-20][:, near] - hertz).abs().max() < 0.002 * hertz
    assert tonality[0, 20:-20][:, near].min() > 0.9
    noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    assert READER.sung(noise, 160)[1].mean() < 0.15
    assert where.shape == (1, 100, 64)


def hold(track: torch.Tensor, loudness: torch.Tensor | None = None) -> torch.Tensor:
    """One band's frequencies [T] held over 1.2 s."""
    loud = torch.ones_like(track) if loudness is None else loudness
    return held(track[None, :, None], loud[None, :, None], 120)[0, :, 0]


def test_a_wavering_note_is_held():
    track = 300 * (1 + 0.005 * torch.randn(501, generator=torch.Generator().manual_seed(0)))
    out = hold(track)
    assert out.shape == track.shape
    assert out[20:-20].std() < 0.1 * track.std()
    assert out.mean().item() == pytest.approx(300, rel=2e-3)


def test_a_leap_stays_a_leap_and_a_glide_gets_to_both_ends():
    leap = torch.where(torch.arange(500) < 250, 300.0, 337.0)
    torch.testing.assert_close(hold(leap), leap, rtol=3e-3, atol=0)
    for octaves in (0.5, 1, 3, 10):
        glide = 300 * 2 ** (octaves * torch.arange(250) / 250)
        torch.testing.assert_close(
            hold(glide), glide, rtol=0.0375, atol=0
        )  # never moved by two thirds of a semitone


def test_faint_frames_do_not_pull():
    track = torch.where(torch.arange(400) % 8 < 4, 300.0, 303.0)
    loud = torch.where(torch.arange(400) % 8 < 4, 1.0, 1e-4)
    torch.testing.assert_close(hold(track, loud), torch.full((400,), 300.0), rtol=1e-3, atol=0)


def test_bands_and_clips_do_not_hear_each_other():
    tracks = 300 + 3 * torch.randn(2, 100, 3, generator=torch.Generator().manual_seed(1))
    loud = torch.rand(2, 100, 3, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        held(tracks, loud, 30)[1:, :, 2:], held(tracks[1:, :, 2:], loud[1:, :, 2:], 30)
    )
