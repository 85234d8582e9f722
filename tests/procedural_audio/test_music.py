"""Music: pitch, chroma and tempo measured by librosa, and building blocks against closed forms."""

import librosa
import numpy as np
import pytest
from scipy.signal import find_peaks

from procedural_audio.music import composition, drums
from procedural_audio.music.instruments import decaying_partials, wavetable_harmonics
from procedural_audio.music.performances import CLASSES
from procedural_audio.synth import RenderContext, additive_tone, damped_modes

RATE = 16000
BY_NAME = {each.name: each for each in CLASSES}
PITCHED = tuple(name for name in BY_NAME if name not in ("drum kit", "bongos", "band"))
STRUCK = ("piano", "guitar", "xylophone", "marimba", "music box", "bongos")


def context(seed, duration, sample_rate=RATE):
    return RenderContext(np.random.default_rng(seed), sample_rate, duration)


def render(name, seed, duration=4.0, sample_rate=RATE):
    return BY_NAME[name].render(context([11, seed], duration, sample_rate))


def find_takes(name, is_wanted, count, duration=4.0):
    """The first `count` takes of a class whose annotations are wanted."""
    takes = []
    for seed in range(400):
        take = render(name, seed, duration)
        if is_wanted(take.annotations):
            takes.append(take)
            if len(takes) == count:
                return takes
    raise AssertionError(f"only {len(takes)} takes of {name} are wanted")


def median_pitch(x, near):
    """Median pitch of a steady tone by YIN, searched over an octave each way."""
    frame = 4096 if near < 90 else 2048
    low = max(30, near / 1.9)
    high = min(7500, near * 2.1)
    return float(np.median(librosa.yin(x, fmin=low, fmax=high, sr=RATE, frame_length=frame)))


def envelope(x):
    """Level of each 5 ms."""
    return np.sqrt(np.mean(x[: len(x) // 80 * 80].reshape(-1, 80) ** 2, axis=1))


def flux_onsets(x):
    """Onsets in seconds: peaks of the spectral flux at least 0.15 s apart."""
    flux = librosa.onset.onset_strength(y=x, sr=RATE, hop_length=80, n_fft=512)
    return find_peaks(flux, height=0.15 * flux.max(), distance=30)[0] * 0.005


@pytest.mark.parametrize("sound_class", CLASSES, ids=lambda each: each.name)
@pytest.mark.parametrize("duration", [0.6, 2.0, 10.24])
def test_takes_start_soon_and_equal_seeds_give_equal_takes(sound_class, duration):
    for seed in range(3):
        first = sound_class.render(context(seed, duration))
        second = sound_class.render(context(seed, duration))
        x = first.samples
        assert x.shape == (round(duration * RATE),) and np.isfinite(x).all()
        np.testing.assert_array_equal(x, second.samples)
        assert first.annotations == second.annotations
        assert 0.03 <= np.flatnonzero(envelope(x) > 0.02 * envelope(x).max())[0] * 0.005 <= 0.6


def mel_levels(x):
    return librosa.power_to_db(librosa.feature.melspectrogram(y=x, sr=RATE, fmax=6000), top_db=40)


@pytest.mark.parametrize("name", BY_NAME)
def test_one_seed_sounds_the_same_at_16_and_48_khz(name):
    low = render(name, 3)
    high = render(name, 3, sample_rate=48000)
    assert low.annotations == high.annotations
    resampled = librosa.resample(high.samples, orig_sr=48000, target_sr=RATE)
    mels = [mel_levels(x).ravel() for x in (low.samples, resampled)]
    assert np.corrcoef(mels[0], mels[1])[0, 1] > 0.93


@pytest.mark.parametrize("name", PITCHED)
def test_a_pitch_tracker_finds_the_annotated_pitch(name):
    for take in find_takes(name, lambda annotations: "pitch_hz" in annotations, 5):
        pitch = take.annotations["pitch_hz"]
        onsets = take.annotations["onsets"]
        midi = 69 + 12 * np.log2(pitch / 440)
        assert abs(midi - round(midi)) < 1e-9
        stop = onsets[1] if len(onsets) > 1 else onsets[0] + 0.9
        tone = take.samples[round((onsets[0] + 0.04) * RATE) : round(stop * RATE)]
        assert abs(1200 * np.log2(median_pitch(tone, pitch) / pitch)) < 25


@pytest.mark.parametrize("name", PITCHED)
def test_single_pitches_are_frequent_and_span_two_octaves(name):
    _, instrument_range = BY_NAME[name].render.args
    num_phrases = 300
    pitches = []
    for seed in range(num_phrases):
        phrase = composition.compose(context([5, seed], 5.12), instrument_range)
        if "pitch_hz" in phrase.annotations:
            pitches.append(phrase.annotations["pitch_hz"])
    assert len(pitches) >= 0.25 * num_phrases
    assert max(pitches) / min(pitches) >= 4


@pytest.mark.parametrize("name", STRUCK)
def test_counted_notes_have_the_annotated_count_onsets_and_rate(name):
    def is_wanted(annotations):
        return annotations.get("count", 0) >= 3 and "rate_hz" in annotations

    for take in find_takes(name, is_wanted, 3):
        measured = flux_onsets(take.samples)
        assert len(measured) == take.annotations["count"]
        np.testing.assert_allclose(measured, take.annotations["onsets"], atol=0.03)
        period = np.diff(measured).mean()
        np.testing.assert_allclose(period, 1 / take.annotations["rate_hz"], rtol=0.03)


@pytest.mark.parametrize("name", ["piano", "organ", "accordion"])
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_a_chord_has_the_third_of_its_mode(name, mode):
    chord = f"a {mode} chord"
    for take in find_takes(name, lambda annotations: annotations["manner"][0] == chord, 3):
        chroma = librosa.feature.chroma_stft(
            y=take.samples, sr=RATE, n_fft=8192, hop_length=4096, tuning=0.0, norm=None
        ).mean(axis=1)
        scores = {}
        for each, triad in composition.TRIADS.items():
            levels = [np.roll(np.sqrt(chroma), -root)[list(triad)].sum() for root in range(12)]
            scores[each] = max(levels)
        assert max(scores, key=scores.get) == mode


@pytest.mark.parametrize("name", ["violin", "flute", "marimba", "bass guitar"])
@pytest.mark.parametrize("words", [("rising", "ascending"), ("falling", "descending")])
def test_scales_have_the_annotated_direction(name, words):
    def is_wanted(annotations):
        return any(word in annotations["manner"][0] for word in words)

    for take in find_takes(name, is_wanted, 2):
        track = librosa.yin(take.samples, fmin=38, fmax=2500, sr=RATE, frame_length=2048)
        level = librosa.feature.rms(y=take.samples, frame_length=2048)[0][: len(track)]
        notes = track[level > 0.25 * level.max()]
        first = np.median(notes[: len(notes) // 5])
        last = np.median(notes[-len(notes) // 5 :])
        assert (last > first) == (words[0] == "rising")


@pytest.mark.parametrize("name", ["drum kit", "band"])
def test_a_pattern_repeats_at_its_tempo(name):
    for take in find_takes(name, lambda annotations: "bpm" in annotations, 4, duration=10.0):
        flux = librosa.onset.onset_strength(y=take.samples, sr=RATE, hop_length=80)
        flux -= flux.mean()
        beat = 60 / take.annotations["bpm"] * RATE / 80

        def similarity(lag, flux=flux):
            lags = range(round(lag) - 1, round(lag) + 2)
            return max(float(np.dot(flux[k:], flux[:-k]) / np.dot(flux, flux)) for k in lags)

        bar = max((3 * beat, 4 * beat), key=similarity)
        assert similarity(bar) > 0.15
        others = [similarity(bar * factor) for factor in (0.9, 0.94, 1.06, 1.1)]
        assert similarity(bar) > max(others) + 0.1


def test_cheerful_melodies_are_fast_and_sad_ones_slow():
    num_cheerful = 0
    num_sad = 0
    melodies = composition.InstrumentRange(60, 84, True, {"melody": 1.0})
    for seed in range(300):
        annotations = composition.compose(context(seed, 8.0), melodies).annotations
        words = set(annotations["manner"][0].split())
        if words & {"cheerful", "happy", "lively"}:
            num_cheerful += 1
            assert annotations["bpm"] > 110
        if words & {"sad", "melancholy", "mournful"}:
            num_sad += 1
            assert annotations["bpm"] < 95
    assert num_cheerful > 10 and num_sad > 10


def test_pitches_are_in_equal_temperament_and_scales_are_diatonic():
    midi = np.arange(21, 109)
    frequencies = [composition.midi_to_hz(pitch) for pitch in midi]
    np.testing.assert_allclose(frequencies, librosa.midi_to_hz(midi), rtol=1e-12)
    degrees = [composition.scale_degree("major", degree) for degree in range(-1, 9)]
    assert degrees == [-1, 0, 2, 4, 5, 7, 9, 11, 12, 14]
    assert composition.diatonic_triad("minor", 0) == composition.TRIADS["minor"]
    assert composition.diatonic_triad("major", 4) == (7, 11, 14)


def test_decaying_partials_equal_damped_modes():
    ctx = context(0, 1.0)
    f = np.array([220.0, 1234.5, 7900.0])
    g = np.array([1.0, 0.5, 2.0])
    h = np.array([0.3, 0.05, 0.1])
    expected = damped_modes(ctx, 0.4, f[:2], g[:2], h[:2])
    np.testing.assert_allclose(decaying_partials(ctx, 0.4, f, g, h), expected, atol=1e-10)


def test_wavetable_harmonics_equal_the_sum_of_sines():
    phase = np.cumsum(np.linspace(0.05, 0.06, 4000))
    gains = 1 / np.arange(1.0, 41)
    expected = additive_tone(phase, 1.0, RATE, gains)
    np.testing.assert_allclose(wavetable_harmonics(phase, gains), expected, atol=3e-4)


def test_every_style_has_whole_bars_of_known_strokes():
    for style in drums.STYLES.values():
        assert len({len(bar) for bar in style.bar.values()}) == 1
        assert len(style.bar["kick"]) % style.steps_per_beat == 0
        assert set("".join(style.bar.values())) <= {*drums.STROKES, "."}
