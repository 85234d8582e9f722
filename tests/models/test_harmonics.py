"""Harmonics of one pitch: where the pitch is found, and what is played for it."""

import pytest
import torch

from latentaudio.audio.mel import vae_mel
from latentaudio.config.architecture import MelSpec, VocoderConfig
from latentaudio.models.harmonics import MAX_PITCH, MIN_PITCH, HarmonicHead, candidate_pitches
from latentaudio.models.oscillators import MelAnalyzer

CONFIG = VocoderConfig(kind="istft", channels=16, ffn_dim=32, num_layers=1, use_harmonics=True)
ANALYZER = MelAnalyzer(CONFIG)


def test_candidate_pitches_are_quarter_tones():
    pitches = candidate_pitches()
    assert pitches[0] == MIN_PITCH and 0.97 * MAX_PITCH < pitches[-1] <= MAX_PITCH
    ratios = pitches[1:] / pitches[:-1]
    torch.testing.assert_close(ratios, torch.full_like(ratios, 2 ** (1 / 24)))


@pytest.mark.parametrize("hertz", [151.0, 233.1, 440.0, 987.8])
def test_a_pitch_is_refined_to_the_tones_of_its_harmonics(hertz):
    n = torch.arange(16000)
    tone = torch.zeros(16000)
    for number in range(1, int(7000 / hertz)):
        tone += 0.1 * torch.sin(2 * torch.pi * hertz * number * n / 16000) / number
    frequency, amplitude = ANALYZER.estimate_tones(vae_mel(tone[None], MelSpec())[:, 0].exp())
    head = HarmonicHead(CONFIG)
    pitch = torch.full((1, 100, 1), 1.015 * hertz)  # a quarter of a semitone too high
    for _ in range(2):
        pitch = head.refine_pitch(pitch, frequency, amplitude, ANALYZER)
    assert (pitch[0, 20:80] / hertz).log2().abs().max() < 0.1 / 12


def test_harmonics_follow_the_envelope_and_end_below_the_nyquist_frequency():
    head = HarmonicHead(CONFIG)
    with torch.no_grad():
        controls = head(torch.zeros(1, 5, 16), torch.full((1, 5, 64), -5.0), ANALYZER)
    hertz = controls.pitch * head.numbers
    assert controls.amplitude.shape == (1, 5, 64)
    assert (controls.amplitude[hertz < 7000] > 0).all()
    assert (controls.amplitude[hertz >= 8000] == 0).all()
