"""Music checked by ear: librosa tracks pitch, chroma and tempo; primitives are held against closed forms."""

import librosa
import numpy as np
import pytest
from scipy.signal import find_peaks

from procedural_audio.music import composition, drums
from procedural_audio.music.instruments import partials, rings
from procedural_audio.music.performances import KINDS
from procedural_audio.synth import Stage, harmonics, modes

RATE = 16000
NAMED = {kind.name: kind for kind in KINDS}
PITCHED = tuple(name for name in NAMED if name not in ("drum kit", "bongos", "band"))
STRUCK = ("piano", "guitar", "xylophone", "marimba", "music box", "bongos")


def play(name, seed, seconds=4.0, rate=RATE):
    return NAMED[name].render(Stage(np.random.default_rng([11, seed]), rate, seconds))


def takes(name, wanted, count, seconds=4.0):
    """The first `count` takes of a kind whose facts are `wanted`."""
    found = (take for seed in range(400) if wanted((take := play(name, seed, seconds)).annotations))
    return [next(found) for _ in range(count)]


def pitch(x, near):
    """Median pitch of a steady tone by YIN, searched over two octaves each way."""
    frame = 4096 if near < 90 else 2048
    return float(
        np.median(
            librosa.yin(
                x, fmin=max(30, near / 4.2), fmax=min(7500, near * 4.2), sr=RATE, frame_length=frame
            )
        )
    )


def envelope(x):
    """Level of each 5 ms."""
    return np.sqrt(np.mean(x[: len(x) // 80 * 80].reshape(-1, 80) ** 2, axis=1))


def strokes(x):
    """Onsets in seconds: peaks of the spectral flux at least 0.15 s apart."""
    flux = librosa.onset.onset_strength(y=x, sr=RATE, hop_length=80, n_fft=512)
    return find_peaks(flux, height=0.15 * flux.max(), distance=30)[0] * 0.005


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("seconds", [0.6, 2.0, 10.24])
def test_a_take_is_whole_soon_heard_and_the_same_again(kind, seconds):
    for seed in range(3):
        first, again = (
            kind.play(Stage(np.random.default_rng(seed), RATE, seconds)) for _ in range(2)
        )
        x = first.samples
        assert x.shape == (round(seconds * RATE),) and np.isfinite(x).all()
        np.testing.assert_array_equal(x, again.samples)
        assert first.facts == again.facts
        assert 0.03 <= np.flatnonzero(envelope(x) > 0.02 * envelope(x).max())[0] * 0.005 <= 0.6


@pytest.mark.parametrize("name", NAMED)
def test_one_seed_sounds_alike_at_16_and_48_kilohertz(name):
    low, high = play(name, 3), play(name, 3, rate=48000)
    assert low.annotations == high.annotations
    folded = librosa.resample(high.samples, orig_sr=48000, target_sr=RATE)
    mels = [
        librosa.power_to_db(librosa.feature.melspectrogram(y=x, sr=RATE, fmax=6000), top_db=40)
        for x in (low.samples, folded)
    ]
    assert np.corrcoef(mels[0].ravel(), mels[1].ravel())[0, 1] > 0.93


@pytest.mark.parametrize("name", PITCHED)
def test_a_stated_pitch_is_the_one_a_tracker_finds(name):
    for take in takes(name, lambda facts: "pitch_hz" in facts, 5):
        stated, onsets = take.annotations["pitch_hz"], take.annotations["onsets"]
        assert abs(69 + 12 * np.log2(stated / 440) - round(69 + 12 * np.log2(stated / 440))) < 1e-9
        until = onsets[1] if len(onsets) > 1 else onsets[0] + 0.9
        tone = take.samples[round((onsets[0] + 0.04) * RATE) : round(until * RATE)]
        assert abs(1200 * np.log2(pitch(tone, stated) / stated)) < 25


@pytest.mark.parametrize("name", PITCHED)
def test_single_pitches_are_frequent_and_cover_two_octaves(name):
    _, compass = NAMED[name].render.args
    facts = [
        composition.compose(Stage(np.random.default_rng([5, seed]), RATE, 5.12), compass).facts
        for seed in range(300)
    ]
    pitches = [fact["pitch_hz"] for fact in facts if "pitch_hz" in fact]
    assert len(pitches) >= 0.45 * len(facts)
    assert max(pitches) / min(pitches) >= 4


@pytest.mark.parametrize("name", STRUCK)
def test_counted_notes_are_there_and_evenly_spaced(name):
    for take in takes(name, lambda facts: facts.get("count", 0) >= 3 and "rate_hz" in facts, 3):
        heard = strokes(take.samples)
        assert len(heard) == take.annotations["count"]
        np.testing.assert_allclose(heard, take.annotations["onsets"], atol=0.03)
        np.testing.assert_allclose(
            np.diff(heard).mean(), 1 / take.annotations["rate_hz"], rtol=0.03
        )


@pytest.mark.parametrize("name", ["piano", "organ", "accordion"])
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_a_chord_has_the_third_it_is_named_for(name, mode):
    for take in takes(name, lambda facts: facts["manner"][0] == f"a {mode} chord", 3):
        chroma = librosa.feature.chroma_stft(
            y=take.samples, sr=RATE, n_fft=8192, hop_length=4096, tuning=0.0, norm=None
        ).mean(axis=1)
        scores = {
            m: max(
                np.roll(np.sqrt(chroma), -root)[list(composition.TRIADS[m])].sum()
                for root in range(12)
            )
            for m in composition.TRIADS
        }
        assert max(scores, key=scores.get) == mode


@pytest.mark.parametrize("name", ["violin", "flute", "marimba", "bass guitar"])
@pytest.mark.parametrize("words", [("rising", "ascending"), ("falling", "descending")])
def test_scales_go_the_way_they_say(name, words):
    for take in takes(name, lambda facts: any(word in facts["manner"][0] for word in words), 2):
        track = librosa.yin(take.samples, fmin=38, fmax=2500, sr=RATE, frame_length=2048)
        level = librosa.feature.rms(y=take.samples, frame_length=2048)[0][: len(track)]
        notes = track[level > 0.25 * level.max()]
        first, last = np.median(notes[: len(notes) // 5]), np.median(notes[-len(notes) // 5 :])
        assert (last > first) == (words[0] == "rising")


@pytest.mark.parametrize("name", ["drum kit", "band"])
def test_a_groove_comes_round_at_its_tempo(name):
    for take in takes(name, lambda facts: "bpm" in facts, 4, seconds=10.0):
        flux = librosa.onset.onset_strength(y=take.samples, sr=RATE, hop_length=80)
        flux -= flux.mean()
        beat = 60 / take.annotations["bpm"] * RATE / 80

        def again(lag, flux=flux):
            lags = range(round(lag) - 1, round(lag) + 2)
            return max(float(np.dot(flux[k:], flux[:-k]) / np.dot(flux, flux)) for k in lags)

        bar = max((3, 4), key=lambda beats: again(beats * beat))
        assert again(bar * beat) > 0.15
        assert (
            again(bar * beat) > max(again(bar * beat * off) for off in (0.9, 0.94, 1.06, 1.1)) + 0.1
        )


def test_a_cheerful_melody_is_major_and_fast_and_a_sad_one_minor_and_slow():
    seen = {"happy": 0, "sad": 0}
    for seed in range(300):
        facts = composition.compose(
            Stage(np.random.default_rng(seed), RATE, 8.0),
            composition.Compass(60, 84, True, {"melody": 1.0}),
        ).facts
        words = facts["manner"][0].split()
        if {"cheerful", "happy", "lively"} & set(words):
            seen["happy"] += 1
            assert facts["bpm"] > 110
        if {"sad", "melancholy", "mournful"} & set(words):
            seen["sad"] += 1
            assert facts["bpm"] < 95
    assert min(seen.values()) > 10


def test_pitches_are_equal_temperament_and_scales_those_of_the_textbook():
    midi = np.arange(21, 109)
    np.testing.assert_allclose(
        [composition.hertz(m) for m in midi], librosa.midi_to_hz(midi), rtol=1e-12
    )
    assert [composition.degree("major", k) for k in range(-1, 9)] == [
        -1,
        0,
        2,
        4,
        5,
        7,
        9,
        11,
        12,
        14,
    ]
    assert composition.triad("minor", 0) == composition.TRIADS["minor"] and composition.triad(
        "major", 4
    ) == (7, 11, 14)


def test_rings_are_decaying_sines():
    stage = Stage(np.random.default_rng(0), RATE, 1.0)
    f, g, h = (
        np.array([220.0, 1234.5, 7900.0]),
        np.array([1.0, 0.5, 2.0]),
        np.array([0.3, 0.05, 0.1]),
    )
    np.testing.assert_allclose(
        rings(stage, 0.4, f, g, h), modes(stage, 0.4, f[:2], g[:2], h[:2]), atol=1e-10
    )


def test_partials_are_the_sum_of_their_harmonics():
    phase = np.cumsum(np.linspace(0.05, 0.06, 4000))
    gains = 1 / np.arange(1.0, 41)
    np.testing.assert_allclose(
        partials(phase, gains), harmonics(phase, 1.0, RATE, gains), atol=3e-4
    )


def test_every_style_fills_whole_bars_of_its_steps():
    for style in drums.STYLES.values():
        assert len({len(bar) for bar in style.bar.values()}) == 1
        assert len(style.bar["kick"]) % style.steps == 0
        assert set("".join(style.bar.values())) <= {*drums.STROKES, "."}
