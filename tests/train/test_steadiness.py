"""What a vocoder is told of its training sounds: attacks, suddenness, pitch, and what it plays with what repeats."""

import pytest
import torch

from latentaudio.audio.mel import vae_mel
from latentaudio.configs import MelSpec, VocoderConfig
from latentaudio.nn.harmonics import LOWEST, STEPS
from latentaudio.nn.vocoder import build_vocoder
from latentaudio.train.stages.pitches import mistaken, pitch_of, unpitched_share
from latentaudio.train.stages.steadiness import attacks, noise_in_tones, predicted_share, suddenness

SPEC, HOP, RATE = MelSpec(), 160, 16000
CONFIG = VocoderConfig(kind="istft", channels=16, hidden=32, layers=1, short=256, harmonics=True)
NOISE = 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))


def tone(hertz):
    n = torch.arange(RATE)
    return 0.1 * sum(torch.sin(2 * torch.pi * hertz * k * n / RATE) / k for k in range(1, int(7000 / hertz)))[None]


def test_an_onset_is_an_attack_and_steady_noise_is_none():
    late = NOISE * (torch.arange(RATE) >= 8000)
    found = attacks(vae_mel(late, SPEC))
    assert found.shape == (1, 100)
    assert found[0, 46:52].min() == 1 and found[0, :40].max() == 0 and found[0, 70:].max() < 0.1
    assert attacks(vae_mel(NOISE, SPEC)).max() < 0.1


def test_a_click_is_sudden_and_noise_is_not():
    reader = build_vocoder(CONFIG).reader
    click = torch.zeros(1, RATE)
    click[0, 8000] = 1
    found = suddenness(click + 1e-4 * NOISE, reader, HOP)
    assert found.shape == (1, 100, 64)
    assert found[0, 49:51].min() == 1
    assert suddenness(NOISE, reader, HOP).mean() < 0.1


@pytest.mark.parametrize("hertz", [61.0, 110.0, 233.1, 523.3, 987.8])
def test_the_pitch_of_a_harmonic_tone(hertz):
    place, sure = pitch_of(tone(hertz), RATE, HOP)
    assert (LOWEST * 2 ** (place[0, 20:80] / STEPS) / hertz).log2().abs().max() < 0.2 / 12
    assert sure[0, 20:80].min() > 0.8
    assert pitch_of(NOISE, RATE, HOP)[1].max() < 0.2


def test_shares_tell_what_plays():
    torch.manual_seed(0)
    vocoder = build_vocoder(CONFIG)
    mel = vae_mel(NOISE, SPEC)
    with torch.no_grad():
        controls, none = vocoder.controls(mel[:, 0]), torch.zeros(1, 100, 64)
        told = predicted_share(controls, mel, vocoder.reader, none + 1, none)
        louder = controls._replace(coherent=2 * controls.coherent)
        assert predicted_share(louder, mel, vocoder.reader, none + 1, none) > told > 0
        assert predicted_share(controls, mel, vocoder.reader, none + 1, none + 1) == 0
        assert noise_in_tones(controls, mel, vocoder.reader, none) == 0
        assert noise_in_tones(controls, mel, vocoder.reader, none + 1) > 0.5
        assert unpitched_share(controls.harmonic, mel, vocoder.reader, torch.ones(1, 100)) == 0
        place = torch.full((1, 100), 30.0)
        sharp = controls.harmonic._replace(
            scores=10.0 * (torch.arange(controls.harmonic.scores.shape[2]) == 30).expand(1, 100, -1)
        )
        sure = torch.ones(1, 100)
        assert mistaken(sharp, place, sure) < mistaken(controls.harmonic, place, sure)
