"""Metrics of pairs of signals against torchmetrics and closed forms."""

import numpy as np
import pytest

from latentaudio.evaluate.metrics.log_spectral_distance import log_spectral_distance
from latentaudio.evaluate.metrics.paired_audio import mel_image
from latentaudio.evaluate.metrics.psnr import MAX_DB, psnr
from latentaudio.evaluate.metrics.ssim import ssim

RNG = np.random.default_rng(0)
IMAGE = RNG.random((40, 64))
OTHER = np.clip(IMAGE + 0.2 * RNG.standard_normal(IMAGE.shape), 0, 1)


def test_a_louder_copy_is_as_far_as_its_gain():
    samples = RNG.standard_normal(9000).astype(np.float32)
    assert log_spectral_distance(samples, 10 * samples) == pytest.approx(20, abs=1e-4)
    assert log_spectral_distance(samples, samples) == 0
    assert log_spectral_distance(samples[:100], 10 * samples[:100]) == pytest.approx(20, abs=0.01)


def test_torchmetrics_has_the_same_structural_similarity_and_ratio():
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("torchmetrics.functional.image")
    first = torch.tensor(IMAGE)[None, None]
    second = torch.tensor(OTHER)[None, None]
    compare = image.structural_similarity_index_measure
    _, similarities = compare(second, first, data_range=1.0, return_full_image=True)
    # torchmetrics pads images by reflection; scikit-image and the paper leave the border out
    expected = float(similarities[..., 5:-5, 5:-5].mean())
    assert ssim(IMAGE, OTHER) == pytest.approx(expected, rel=1e-6)
    expected = image.peak_signal_noise_ratio(second, first, data_range=1.0)
    assert psnr(IMAGE, OTHER) == pytest.approx(float(expected), rel=1e-6)


def test_equal_images_reach_the_greatest_values():
    assert ssim(IMAGE, IMAGE) == pytest.approx(1)
    assert psnr(IMAGE, IMAGE) == MAX_DB


def test_a_mel_image_lies_between_black_and_white():
    image = mel_image(RNG.standard_normal(4000).astype(np.float32))
    assert image.shape[1] == 64 and 0 < image.mean() < 1
    assert mel_image(np.zeros(10, np.float32)).max() < 1e-6
