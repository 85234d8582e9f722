"""Short frames, gains and harmonics of the inverse-STFT vocoder: exact in pieces, the same in training and afterwards."""

import pytest
import torch

from latentaudio.audio.mel import vae_mel
from latentaudio.configs import MelSpec, VocoderConfig
from latentaudio.nn import vocoder
from latentaudio.nn.vocoder import build_vocoder

SMALL = VocoderConfig(kind="istft", bins=16, channels=24, hidden=48, layers=2, short=256, harmonics=True)


def moved(config):
    """A vocoder whose gains and short frames do something."""
    torch.manual_seed(0)
    system = build_vocoder(config).eval()
    torch.nn.init.normal_(system.short.gains.weight, std=0.5)
    torch.nn.init.constant_(system.short.head.bias, 2.0)
    return system


def test_pieces_are_those_of_the_whole(monkeypatch):
    system = moved(SMALL)
    mel = torch.randn(1, 1, 700, 16)
    with torch.no_grad():
        whole = system(mel)
        monkeypatch.setattr(vocoder, "_PIECE", 40)
        loudest, turn = float(whole.abs().max()), 2 * torch.pi * 2**-14  # as well as float32 knows the phase of high harmonics
        torch.testing.assert_close(system(mel), whole, atol=turn * loudest, rtol=0)
        monkeypatch.setattr(vocoder, "_SECTION", 120)
        torch.testing.assert_close(system(mel), whole, atol=turn * loudest, rtol=0)


def test_a_list_sounds_as_its_items_alone():
    system, mel = moved(SMALL), torch.randn(3, 1, 40, 16)
    with torch.no_grad():
        together = system(mel)
        assert together.shape == (3, 1, 40 * SMALL.hop)
        torch.testing.assert_close(together[1:2], system(mel[1:2]), atol=1e-3 * float(together.abs().max()), rtol=0)


def test_gains_of_zero_silence_all_but_the_short_frames():
    system, mel = moved(SMALL), torch.randn(1, 1, 40, 16)
    with torch.no_grad():
        loud = system(mel)
        torch.nn.init.zeros_(system.short.gains.weight)
        torch.nn.init.constant_(system.short.gains.bias, -40.0)
        torch.nn.init.constant_(system.short.head.bias, -40.0)
        torch.nn.init.zeros_(system.short.head.weight)
        assert system(mel).abs().max() < 1e-6 * loud.abs().max()


def test_takes_for_training_sound_as_what_is_played():
    system, mel = moved(SMALL), torch.randn(2, 1, 40, 16)
    with torch.no_grad():
        played, frequency = system.played(mel)
        takes, taken, controls = system.takes(mel, 2)
    assert takes.shape == (2, 2, 40 * SMALL.hop)
    torch.testing.assert_close(taken, frequency, rtol=1e-4, atol=1e-2)
    assert controls.short.gain.shape == (2, 40 * SMALL.hop)
    assert (takes[0] - takes[1]).std() > 0.01 * takes.std()  # noise of their own
    mean = torch.stack([system.takes(mel, 8)[0].mean(0) for _ in range(8)]).mean(0).detach()
    assert (mean - played[:, 0]).std() < 1.5 * (takes[0] - takes[1]).std()


@pytest.mark.parametrize("hertz", [151.0, 233.1, 440.0, 987.8])
def test_a_pitch_is_moved_to_the_tones_of_its_harmonics(hertz):
    n = torch.arange(16000)
    tone = 0.1 * sum(torch.sin(2 * torch.pi * hertz * k * n / 16000) / k for k in range(1, int(7000 / hertz)))[None]
    system = build_vocoder(VocoderConfig(kind="istft", channels=16, hidden=32, layers=1, harmonics=True))
    tones = system.reader.tones(vae_mel(tone, MelSpec())[:, 0].exp())
    pitch = torch.full((1, 100, 1), 1.015 * hertz)
    for _ in range(2):
        pitch = system.harmonics._refined(pitch, *tones, system.reader)
    assert (pitch[0, 20:80] / hertz).log2().abs().max() < 0.1 / 12
