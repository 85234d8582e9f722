"""Short frames for attacks, and the gain of the long frames."""

import pytest
import torch

from latentaudio.config.architecture import VocoderConfig
from latentaudio.models.attack_stft import GAINS_PER_MEL_FRAME, AttackHead
from latentaudio.models.vocoders import build_vocoder

SMALL = VocoderConfig(
    kind="istft", n_mels=16, channels=24, ffn_dim=48, num_layers=2, attack_n_fft=256
)


def test_gains_are_linear_between_the_centers_of_quarters():
    head = AttackHead(SMALL)
    torch.nn.init.zeros_(head.gains.weight)
    with torch.no_grad():
        head.gains.bias.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]).log())
        gains = head(torch.zeros(1, 2, 24), torch.ones(1, 2, 513)).long_gain[0]
    assert gains.shape == (2 * SMALL.hop_length,)
    part = SMALL.hop_length // GAINS_PER_MEL_FRAME
    middle = gains[part // 2 - 1 : part // 2 + 1].mean()
    assert middle.item() == pytest.approx(0.1, rel=0.02)
    steps = gains[part : 3 * part].diff()
    torch.testing.assert_close(steps, torch.full_like(steps, 0.1 / part), rtol=1e-3, atol=0)


def test_the_long_gain_silences_all_but_the_short_frames():
    torch.manual_seed(0)
    system = build_vocoder(SMALL).eval()
    mel = torch.randn(1, 1, 40, 16)
    with torch.no_grad():
        loud = system(mel)
        torch.nn.init.zeros_(system.attacks.gains.weight)
        torch.nn.init.constant_(system.attacks.gains.bias, -40.0)
        only_attacks = system(mel)
        torch.nn.init.zeros_(system.attacks.head.weight)
        torch.nn.init.constant_(system.attacks.head.bias, -40.0)
        silent = system(mel)
    assert only_attacks.abs().max() > 1e-3 * loud.abs().max()
    assert silent.abs().max() < 1e-6 * loud.abs().max()
