"""Impacts checked by ear: what is counted can be counted, steady partials are steady, materials differ as they do in life."""

import numpy as np
import pytest
from measures import RATE, centroid, cents, envelope_rate, level, onsets, play, strongest

from procedural_audio.sources.impacts import KINDS

NAMED = {kind.name: kind for kind in KINDS}


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
def test_blows_are_as_many_as_claimed_and_fall_where_claimed(name, low):
    for seed in range(10):
        take = play(NAMED[name], seed)
        found = onsets(take.samples, low=low)
        assert len(found) == len(take.annotations["onsets"])
        assert take.annotations.get("count", len(found)) == len(found)
        np.testing.assert_allclose(found, take.annotations["onsets"], atol=0.015)


@pytest.mark.parametrize("name", ["bell", "glass"])
def test_the_strike_note_is_the_strongest_line(name):
    for seed in range(10):
        take = play(NAMED[name], seed)
        assert abs(cents(strongest(take.samples), take.annotations["pitch_hz"])) < 25


def test_the_partials_of_a_bell_hold_still_while_it_fades():
    """Tierce, prime and nominal keep their frequency: the phase each gains in 0.1 s is what its frequency promises."""
    for seed in range(6):
        take = play(NAMED["bell"], seed, 10.24)
        start = round((take.annotations["onsets"][-1] + 0.1) * RATE)
        early, late = (take.samples[start + lag : start + lag + 4096] for lag in (0, 6400))
        assert abs(cents(strongest(early), strongest(late))) < 3
        assert level(late).mean() < level(early).mean()


def test_footsteps_keep_their_pace_on_every_ground():
    heard = {}
    for seed in range(14):
        take = play(NAMED["footsteps"], seed, 10.24)
        assert envelope_rate(
            take.samples, take.annotations["rate_hz"], smooth=0.12
        ) == pytest.approx(take.annotations["rate_hz"], rel=0.02)
        heard.setdefault(take.annotations["manner"][-1], []).append(centroid(take.samples))
    assert set(heard) == {"on gravel", "on a wooden floor", "in the snow"}
    assert (
        max(heard["on a wooden floor"])
        < min(heard["in the snow"])
        < max(heard["in the snow"])
        < min(heard["on gravel"])
    )


def test_a_woodpecker_pecks_at_the_claimed_rate():
    for seed in range(8):
        take = play(NAMED["woodpecker"], seed)
        gaps = np.diff(onsets(take.samples, rise=1.3, rest=0.03, low=1500))
        assert 1 / np.median(gaps) == pytest.approx(take.annotations["rate_hz"], rel=0.06)


def test_metal_rings_where_wood_thumps():
    ringing = {"metal": [], "wooden": []}
    for seed in range(16):
        take = play(NAMED["knock"], seed)
        hit = take.samples[round(take.annotations["onsets"][0] * RATE) :]
        ringing[take.annotations["qualities"][0]].append(
            level(hit[1600:2400]).mean() / level(hit[:800]).mean()
        )
    assert min(ringing["metal"]) > 2 * max(ringing["wooden"])


def test_a_gong_blooms():
    """Its treble is weaker in the first 20 ms after the thud than a tenth of a second on."""
    for seed in range(6):
        take = play(NAMED["gong"], seed)
        start = round(take.annotations["onsets"][0] * RATE)
        treble = level(take.samples[start:], low=1800)
        assert treble[20:60].mean() > 1.5 * treble[2:6].mean()


def test_breaking_glass_crashes_then_tinkles_away():
    for seed in range(6):
        x = play(NAMED["shatter"], seed).samples
        start = round(onsets(x)[0] * RATE)
        crash, tinkle, rest = (
            x[start : start + 1600],
            x[start + 3200 : start + 8000],
            x[start + 40000 :],
        )
        assert centroid(tinkle) > 2200 and np.std(crash) > 1.3 * np.std(tinkle) > 10 * np.std(rest)


def test_bounces_of_a_coin_quicken():
    quicker = []
    for seed in range(30):
        x = play(NAMED["coin"], seed).samples
        first, second = np.diff(onsets(x, rise=1.5, rest=0.02, low=1500))[:2]
        quicker.append(second / first)
        assert centroid(x) > 2200
    assert 0.6 < np.median(quicker) < 0.85


def test_a_door_creaks_first_and_slams_at_the_loudest():
    for seed in range(8):
        x = play(NAMED["door"], seed).samples
        slam = int(np.argmax(level(x))) * 80
        assert slam > 0.4 * RATE
        assert centroid(x[: slam - 800]) > 1.5 * centroid(x[slam + 400 : slam + 4000])


def test_a_huge_crowd_is_smoother_than_a_small_one():
    rough = {"small": [], "large": []}
    for seed in range(16):
        take = play(NAMED["applause"], seed)
        middle = level(take.samples)[400:600]
        if take.annotations["qualities"]:
            rough[take.annotations["qualities"][0]].append(middle.std() / middle.mean())
    assert min(rough["small"]) > max(rough["large"])


def test_typing_is_as_dense_as_its_manner_says():
    dense = {(): [], ("slowly",): [], ("rapidly",): []}
    for seed in range(24):
        take = play(NAMED["keyboard"], seed, 8.0)
        dense[take.annotations["manner"]].append(len(onsets(take.samples, rest=0.03, floor=0.3)))
    assert np.mean(dense["slowly",]) < np.mean(dense[()]) < np.mean(dense["rapidly",])
