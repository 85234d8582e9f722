"""Impacts, measured from samples: counts, onsets, steady partials, and differences of materials."""

import numpy as np
import pytest
from measures import (
    RATE,
    centroid,
    cents,
    envelope_rate,
    level,
    onsets,
    render,
    strongest_frequency,
)

from procedural_audio.sources import impacts, struck_metal

BY_NAME = {each.name: each for each in impacts.CLASSES + struck_metal.CLASSES}


@pytest.mark.parametrize(
    ("name", "low"),
    [
        ("knock", None),
        ("hammer", None),
        ("clap", None),
        ("ball", None),
        ("glass", 5000),
        ("bell", 2000),
    ],
)
def test_strikes_have_the_annotated_count_and_onsets(name, low):
    for seed in range(10):
        take = render(BY_NAME[name], seed)
        measured = onsets(take.samples, low=low)
        assert len(measured) == len(take.annotations["onsets"])
        assert take.annotations.get("count", len(measured)) == len(measured)
        np.testing.assert_allclose(measured, take.annotations["onsets"], atol=0.015)


@pytest.mark.parametrize("name", ["bell", "glass"])
def test_the_annotated_pitch_is_the_strongest_line(name):
    for seed in range(10):
        take = render(BY_NAME[name], seed)
        pitch = strongest_frequency(take.samples)
        assert abs(cents(pitch, take.annotations["pitch_hz"])) < 25


def test_the_strongest_partial_of_a_bell_keeps_its_frequency_while_it_decays():
    for seed in range(6):
        take = render(BY_NAME["bell"], seed, 10.24)
        start = round((take.annotations["onsets"][-1] + 0.1) * RATE)
        early = take.samples[start : start + 4096]
        late = take.samples[start + 6400 : start + 6400 + 4096]
        assert abs(cents(strongest_frequency(early), strongest_frequency(late))) < 3
        assert level(late).mean() < level(early).mean()


def test_footsteps_have_the_annotated_rate_and_each_ground_its_brightness():
    brightness = {}
    for seed in range(14):
        take = render(BY_NAME["footsteps"], seed, 10.24)
        rate_hz = take.annotations["rate_hz"]
        measured = envelope_rate(take.samples, rate_hz, smooth=0.12)
        assert measured == pytest.approx(rate_hz, rel=0.02)
        brightness.setdefault(take.annotations["manner"][-1], []).append(centroid(take.samples))
    assert set(brightness) == {"on gravel", "on a wooden floor", "in the snow"}
    assert max(brightness["on a wooden floor"]) < min(brightness["in the snow"])
    assert max(brightness["in the snow"]) < min(brightness["on gravel"])


def test_a_woodpecker_has_the_annotated_rate():
    for seed in range(8):
        take = render(BY_NAME["woodpecker"], seed)
        gaps = np.diff(onsets(take.samples, rise=1.3, rest=0.03, low=1500))
        assert 1 / np.median(gaps) == pytest.approx(take.annotations["rate_hz"], rel=0.06)


def test_a_metal_door_rings_longer_than_a_wooden_one():
    ringing = {"metal": [], "wooden": []}
    for seed in range(16):
        take = render(BY_NAME["knock"], seed)
        strike = take.samples[round(take.annotations["onsets"][0] * RATE) :]
        late_to_early = level(strike[1600:2400]).mean() / level(strike[:800]).mean()
        ringing[take.annotations["qualities"][0]].append(late_to_early)
    assert min(ringing["metal"]) > 2 * max(ringing["wooden"])


def test_the_treble_of_a_gong_grows_after_the_strike():
    """It is weaker in the first 20 ms after the thud than 0.1 s later."""
    for seed in range(6):
        take = render(BY_NAME["gong"], seed)
        start = round(take.annotations["onsets"][0] * RATE)
        treble = level(take.samples[start:], low=1800)
        assert treble[20:60].mean() > 1.5 * treble[2:6].mean()


def test_breaking_glass_is_a_crash_and_then_fading_shards():
    for seed in range(6):
        x = render(BY_NAME["shatter"], seed).samples
        start = round(onsets(x)[0] * RATE)
        crash = x[start : start + 1600]
        shards = x[start + 3200 : start + 8000]
        rest = x[start + 40000 :]
        assert centroid(shards) > 2200
        assert np.std(crash) > 1.3 * np.std(shards) > 10 * np.std(rest)


def test_a_coin_bounces_faster_and_faster():
    gap_ratios = []
    for seed in range(30):
        x = render(BY_NAME["coin"], seed).samples
        first, second = np.diff(onsets(x, rise=1.5, rest=0.02, low=1500))[:2]
        gap_ratios.append(second / first)
        assert centroid(x) > 2200
    assert 0.6 < np.median(gap_ratios) < 0.85


def test_a_door_creaks_before_its_slam_which_is_loudest():
    for seed in range(8):
        x = render(BY_NAME["door"], seed).samples
        slam = int(np.argmax(level(x))) * 80
        assert slam > 0.4 * RATE
        assert centroid(x[: slam - 800]) > 1.5 * centroid(x[slam + 400 : slam + 4000])


def test_the_level_of_a_large_crowd_varies_less_than_that_of_a_small_one():
    variation = {"small": [], "large": []}
    for seed in range(16):
        take = render(BY_NAME["applause"], seed)
        middle = level(take.samples)[400:600]
        if take.annotations["qualities"]:
            variation[take.annotations["qualities"][0]].append(middle.std() / middle.mean())
    assert min(variation["small"]) > max(variation["large"])


def test_the_density_of_typing_matches_its_manner():
    density = {(): [], ("slowly",): [], ("rapidly",): []}
    for seed in range(24):
        take = render(BY_NAME["keyboard"], seed, 8.0)
        num_clicks = len(onsets(take.samples, rest=0.03, floor=0.3))
        density[take.annotations["manner"]].append(num_clicks)
    slow = np.mean(density["slowly",])
    assert slow < np.mean(density[()]) < np.mean(density["rapidly",])
