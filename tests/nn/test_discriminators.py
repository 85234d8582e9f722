"""Critics against what their papers promise: periods, receptive fields, published sizes, closed-form shapes."""

import pytest
import torch

from latentaudio.nn.discriminators import PatchDiscriminator, PeriodCritic, ResolutionCritic, WaveDiscriminator


def folded_size(module):
    """Parameters of the plain convolutions: weight norm's per-channel lengths not counted."""
    return sum(p.numel() for n, p in module.named_parameters() if not n.endswith("original0"))


def test_period_critic_at_full_width_has_hifi_gans_size():
    widths = [1, 32, 128, 512, 1024, 1024]
    closed = sum(5 * a * b + b for a, b in zip(widths, widths[1:], strict=False)) + 3 * 1024 + 1
    with torch.device("meta"):
        critic = PeriodCritic(3, width=32, widest=1024)
    assert folded_size(critic) == closed == 8_218_081  # five of them: 41.09 M; HiFi-GAN's table gives 41.1 M with weight norm


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


def test_all_critics_answer_and_learn():
    torch.manual_seed(0)
    critics = WaveDiscriminator(width=4, widest=16, periods=(2, 3), resolutions=(256,))
    real, fake = torch.randn(4, 1, 2000), torch.randn(4, 1, 2000).sign()
    optimizer = torch.optim.Adam(critics.parameters(), 2e-3)
    for _ in range(40):
        pairs = zip(critics(real), critics(fake), strict=True)
        loss = sum(((r.score - 1) ** 2).mean() + (f.score**2).mean() for r, f in pairs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert [len(v.features) for v in critics(real)] == [5, 5, 5]
    for r, f in zip(critics(real), critics(fake), strict=True):
        assert r.score.mean() > f.score.mean() + 0.1


def test_patchgan_has_pix2pix_size_and_receptive_field():
    critic = PatchDiscriminator().eval()
    # pix2pix's discriminator has 2,764,737 parameters (6 input channels give 2,768,705); one channel saves 2 x 64 x 16 more
    assert sum(p.numel() for p in critic.parameters()) == 2_764_737 - 2 * 64 * 16
    mel = torch.randn(1, 1, 256, 128, requires_grad=True)
    score = critic(mel).score
    assert score.shape == (1, 1, 256 // 8 - 2, 128 // 8 - 2)
    score[0, 0, 15, 7].backward()
    rows, columns = (mel.grad[0, 0].abs().sum(axis).nonzero()[:, 0] for axis in (1, 0))
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (70, 70)
