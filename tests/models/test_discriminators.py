"""Discriminators against their papers.

Periods, receptive fields, published sizes, closed-form shapes.
"""

import pytest
import torch

from latentaudio.models.discriminators import (
    PatchDiscriminator,
    PeriodDiscriminator,
    ResolutionDiscriminator,
    WaveformDiscriminator,
)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_period_discriminators_at_full_width_have_hifi_gans_size():
    with torch.device("meta"):
        discriminators = WaveformDiscriminator(width=32, max_width=1024, resolutions=())
    assert (
        parameters(discriminators) == 41_105_770
    )  # HiFi-GAN's multi-period discriminator, weight norm's lengths included


def test_period_discriminator_separates_the_phases_of_its_period():
    discriminator = PeriodDiscriminator(5, width=4, max_width=16)
    samples = torch.randn(1, 1, 1000, requires_grad=True)
    logits = discriminator(samples).logits
    logits[..., 2].sum().backward()
    touched = samples.grad[0, 0].nonzero()[:, 0] % 5
    assert touched.numel() > 0
    assert touched.unique().tolist() == [2]


@pytest.mark.parametrize("length", [1000, 1001, 1003])
def test_period_discriminator_takes_any_length(length):
    output = PeriodDiscriminator(7, width=4, max_width=16)(torch.randn(2, 1, length))
    rows = -(-length // 7)
    for features, stride in zip(output.features, (3, 9, 27, 81, 81), strict=True):
        assert features.shape[2:] == (-(-rows // stride), 7)
    assert output.logits.shape[:2] == (2, 1)


def test_resolution_discriminator_depends_on_the_magnitude_only():
    discriminator = ResolutionDiscriminator(512, 4)
    samples = torch.randn(1, 1, 4000)
    output = discriminator(samples)
    assert output.logits.shape == (1, 1, 1 + 4000 // 128, 33)
    torch.testing.assert_close(discriminator(-samples).logits, output.logits)


def test_resolution_discriminator_has_finite_gradients_in_silence():
    samples = torch.zeros(1, 1, 4000, requires_grad=True)
    ResolutionDiscriminator(512, 4)(samples).logits.sum().backward()
    assert samples.grad.isfinite().all()


def test_all_discriminators_learn_to_separate_a_tone_from_noise():
    torch.manual_seed(0)
    discriminators = WaveformDiscriminator(
        width=4, max_width=16, periods=(2, 3), resolutions=(256,)
    )
    real, fake = torch.sin(torch.arange(1000) * 0.1).expand(2, 1, -1), torch.randn(2, 1, 1000)
    optimizer = torch.optim.Adam(discriminators.parameters(), 1e-2)
    for _ in range(20):
        pairs = zip(discriminators(real), discriminators(fake), strict=True)
        loss = sum(((r.logits - 1) ** 2).mean() + (f.logits**2).mean() for r, f in pairs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for r, f in zip(discriminators(real), discriminators(fake), strict=True):
        assert len(r.features) == 5
        assert r.logits.mean() > f.logits.mean() + 0.2


def test_patchgan_has_pix2pix_size_and_receptive_field():
    discriminator = PatchDiscriminator().eval()
    # CycleGAN's, on 3 channels and with 896 biases where this one has 896 norms of two numbers,
    # counts 2,764,737
    assert parameters(discriminator) == 2_764_737 - 2 * 64 * 16 + 896
    mel = torch.randn(1, 1, 256, 128, requires_grad=True)
    logits = discriminator(mel).logits
    assert logits.shape == (1, 1, 256 // 8 - 2, 128 // 8 - 2)
    logits[0, 0, 15, 7].backward()
    rows, columns = (mel.grad[0, 0].abs().sum(axis).nonzero()[:, 0] for axis in (1, 0))
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (70, 70)
