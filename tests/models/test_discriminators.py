"""Critics against what their papers promise: periods, receptive fields, published sizes, closed-form shapes."""

import pytest
import torch

from latentaudio.models.discriminators import (
    PatchDiscriminator,
    PeriodCritic,
    ResolutionCritic,
    WaveDiscriminator,
)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_period_critics_at_full_width_have_hifi_gans_size():
    with torch.device("meta"):
        critics = WaveDiscriminator(width=32, widest=1024, resolutions=())
    assert (
        parameters(critics) == 41_105_770
    )  # HiFi-GAN's multi-period discriminator, weight norm's lengths included


def test_period_critic_hears_each_phase_of_its_period_apart():
    critic = PeriodCritic(5, width=4, widest=16)
    samples = torch.randn(1, 1, 1000, requires_grad=True)
    score = critic(samples).score
    score[..., 2].sum().backward()
    touched = samples.grad[0, 0].nonzero()[:, 0] % 5
    assert touched.numel() > 0
    assert touched.unique().tolist() == [2]


@pytest.mark.parametrize("length", [1000, 1001, 1003])
def test_period_critic_takes_any_length(length):
    verdict = PeriodCritic(7, width=4, widest=16)(torch.randn(2, 1, length))
    rows = -(-length // 7)
    for features, stride in zip(verdict.features, (3, 9, 27, 81, 81), strict=True):
        assert features.shape[2:] == (-(-rows // stride), 7)
    assert verdict.score.shape[:2] == (2, 1)


def test_resolution_critic_sees_the_magnitude_only():
    critic = ResolutionCritic(512, 4)
    samples = torch.randn(1, 1, 4000)
    verdict = critic(samples)
    assert verdict.score.shape == (1, 1, 1 + 4000 // 128, 33)
    torch.testing.assert_close(critic(-samples).score, verdict.score)


def test_resolution_critic_has_finite_gradients_in_silence():
    samples = torch.zeros(1, 1, 4000, requires_grad=True)
    ResolutionCritic(512, 4)(samples).score.sum().backward()
    assert samples.grad.isfinite().all()


def test_all_critics_learn_to_tell_a_tone_from_noise():
    torch.manual_seed(0)
    critics = WaveDiscriminator(width=4, widest=16, periods=(2, 3), resolutions=(256,))
    real, fake = torch.sin(torch.arange(1000) * 0.1).expand(2, 1, -1), torch.randn(2, 1, 1000)
    optimizer = torch.optim.Adam(critics.parameters(), 1e-2)
    for _ in range(20):
        pairs = zip(critics(real), critics(fake), strict=True)
        loss = sum(((r.score - 1) ** 2).mean() + (f.score**2).mean() for r, f in pairs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for r, f in zip(critics(real), critics(fake), strict=True):
        assert len(r.features) == 5
        assert r.score.mean() > f.score.mean() + 0.2


def test_patchgan_has_pix2pix_size_and_receptive_field():
    critic = PatchDiscriminator().eval()
    # CycleGAN's, on 3 channels and with 896 biases where this one has 896 norms of two numbers, counts 2,764,737
    assert parameters(critic) == 2_764_737 - 2 * 64 * 16 + 896
    mel = torch.randn(1, 1, 256, 128, requires_grad=True)
    score = critic(mel).score
    assert score.shape == (1, 1, 256 // 8 - 2, 128 // 8 - 2)
    score[0, 0, 15, 7].backward()
    rows, columns = (mel.grad[0, 0].abs().sum(axis).nonzero()[:, 0] for axis in (1, 0))
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (70, 70)
