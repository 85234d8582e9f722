"""Metrics of an evaluation: one file and one row each.

To add a metric, add a file with a `MetricSpec` and a row to `METRICS`.
"""

from __future__ import annotations

from . import (
    aesthetics,
    clap_score,
    control,
    frechet,
    frechet_infinity,
    inception_score,
    kad,
    kid,
    kl,
    log_spectral_distance,
    psnr,
    ssim,
    word_error_rate,
)
from .base import MetricSpec

_MODULES = (
    frechet,
    frechet_infinity,
    kad,
    kid,
    inception_score,
    kl,
    clap_score,
    log_spectral_distance,
    ssim,
    psnr,
    aesthetics,
    word_error_rate,
    control,
)

METRICS: dict[str, MetricSpec] = {module.SPEC.name: module.SPEC for module in _MODULES}
"""Every metric by name."""
