"""Properties of every impact, machine and signal.

A take starts soon, fits the clip, repeats with its seed, is the same at every sample rate, and
renders quickly.
"""

import time

import librosa
import numpy as np
import pytest
import soxr
from measures import RATE

from procedural_audio.sources import (
    alarms_signals,
    explosions,
    impacts,
    machines,
    struck_metal,
    vehicles,
)
from procedural_audio.synth import RenderContext

MODULES = (impacts, struck_metal, machines, vehicles, alarms_signals, explosions)
CLASSES = [each for module in MODULES for each in module.CLASSES]
PITCHED = (
    "bell",
    "glass",
    "drill",
    "fan",
    "propeller",
    "alarm",
    "horn",
    "foghorn",
    "whistle",
    "tone",
)
every_class = pytest.mark.parametrize("sound_class", CLASSES, ids=lambda each: each.name)


def render(sound_class, seed, duration, sample_rate=RATE):
    return sound_class.render(RenderContext(np.random.default_rng(seed), sample_rate, duration))


@every_class
@pytest.mark.parametrize("duration", [0.6, 2.0, 10.24])
def test_takes_start_soon_hold_their_events_and_repeat_with_their_seed(sound_class, duration):
    for seed in range(3 if duration < 10 else 1):
        take = render(sound_class, seed, duration)
        x = take.samples
        annotations = take.annotations
        assert x.shape == (round(duration * RATE),) and np.isfinite(x).all()
        np.testing.assert_array_equal(x, render(sound_class, seed, duration).samples)
        assert np.argmax(np.abs(x) > 0.05 * np.abs(x).max()) / RATE <= 0.35
        if "count" in annotations:
            onsets = np.array(annotations["onsets"])
            assert len(onsets) == annotations["count"]
            assert onsets[0] >= 0.0 and onsets[-1] < duration - 0.04
            assert (np.diff(onsets) >= 0.18).all()
        for name in ("pitch_hz", "rate_hz", "bpm"):
            assert 0 < annotations.get(name, 1.0) < 7600


def band_levels(takes, sample_rate):
    """Levels in dB of eight bands up to 7 kHz: the strongest is 0, none is below -40."""
    power = 0.0
    for take in takes:
        normalized = soxr.resample(take.samples, sample_rate, RATE, quality="VHQ")
        normalized = normalized / np.abs(take.samples).max()
        mel = librosa.feature.melspectrogram(y=normalized, sr=RATE, n_fft=1024, n_mels=8, fmax=7000)
        power += mel.sum(axis=1)
    return np.maximum(10 * np.log10(power / power.max()), -40)


@every_class
def test_one_seed_sounds_the_same_at_16_and_48_khz(sound_class):
    low = [render(sound_class, seed, 1.5, RATE) for seed in range(4)]
    high = [render(sound_class, seed, 1.5, 48000) for seed in range(4)]
    assert [take.annotations for take in low] == [take.annotations for take in high]
    assert np.abs(band_levels(low, RATE) - band_levels(high, 48000)).mean() < 2.5


@every_class
def test_nouns_and_actions_are_lower_case_and_actions_are_participles(sound_class):
    assert 3 <= len(sound_class.nouns) <= 6 and 3 <= len(sound_class.actions) <= 6
    for words in sound_class.nouns + sound_class.actions:
        assert words == words.lower() == words.strip()
    for action in sound_class.actions:
        assert any(word.endswith("ing") for word in action.split())


@pytest.mark.parametrize("name", PITCHED)
def test_annotated_pitches_span_more_than_an_octave(name):
    sound_class = next(each for each in CLASSES if each.name == name)
    pitches = []
    for seed in range(40):
        annotations = render(sound_class, seed, 0.7).annotations
        if "pitch_hz" in annotations:
            pitches.append(annotations["pitch_hz"])
    assert max(pitches) / min(pitches) > 2.3


@every_class
def test_rendering_is_fifty_times_faster_than_real_time(sound_class):
    cpu_s = []
    for seed in range(3):
        start = time.process_time()
        render(sound_class, seed, 5.12)
        cpu_s.append(time.process_time() - start)
    assert min(cpu_s) < 5.12 / 50
