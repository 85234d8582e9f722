"""Levels of clips: each fault is found, and a clean clip has none."""

import numpy as np
import pytest

from latentaudio.evaluate.mini.levels import longest_gap, measure_levels

RATE = 16000


def noise(level=0.05, seed=0):
    samples = np.random.default_rng(seed).standard_normal(2 * RATE) * level
    samples[:2] = samples[-2:] = 0
    return (samples - samples.mean() * (samples != 0)).astype(np.float32)


def generate(prompt, seed):
    return noise(0.05 / (4 if "quiet" in prompt else 2 if "distant" in prompt else 1), seed)


def test_a_clean_set_has_no_fault():
    score = measure_levels([("rain", noise()), ("dog", noise(seed=1))], generate)
    assert (score.n, score.num_sustained, score.gap) == (2, 1, 0.0)
    assert score.deviation < 0.1
    assert score.offset < -80
    assert score.end == -120
    assert score.lowered == pytest.approx({"quiet": 12.04, "distant": 6.02}, abs=0.2)


def test_faults_are_found():
    offset = noise() + np.float32(0.1)
    gap = noise()
    gap[RATE : RATE + RATE // 2] = 0
    score = measure_levels([("rain", gap), ("dog", offset), ("dog", noise(0.005))], generate)
    assert score.gap == pytest.approx(0.5, abs=0.04)
    assert score.offset == pytest.approx(-20, abs=0.1)
    assert score.end == pytest.approx(-20, abs=0.1)
    assert score.deviation > 5
    assert score.quietest < score.loudness - 8


def test_silence_at_the_ends_is_no_gap():
    clip = np.zeros(2 * RATE, np.float32)
    clip[RATE // 2 : RATE] = noise()[RATE // 2 : RATE]
    assert longest_gap(clip) == 0.0
    assert longest_gap(np.zeros(RATE, np.float32)) == 0.0
