"""The level of generated clips: constant gain to -23 LUFS, quiet prompts 10 dB below."""

import numpy as np
import pytest

from latentaudio.audio.loudness import loudness, true_peaks
from latentaudio.audio.postprocess import postprocess
from latentaudio.config.levels import level_below_normal
from latentaudio.config.options import GenerationOptions
from latentaudio.errors import UsageError

RATE = 16000
QUICK = {"duration": 1.0, "steps": 2, "seed": 3, "candidates": 1}


def noise(level=0.1):
    return (level * np.random.default_rng(0).standard_normal((1, 3 * RATE))).astype(np.float32)


def click():
    samples = np.zeros((1, RATE), np.float32)
    samples[0, 8000:8020] = np.hanning(20)
    return 0.2 * samples


def normalized(samples, prompt="a dog", **values):
    options = GenerationOptions(prompt=prompt, **{"normalize": "loudness", **values})
    return postprocess(samples, RATE, options)[0]


def peak_db(samples):
    return 20 * np.log10(true_peaks(samples, RATE).max())


@pytest.mark.parametrize("level", [0.003, 0.05, 0.9])
def test_sounds_of_any_level_become_equally_loud(level):
    assert loudness(normalized(noise(level)), RATE) == pytest.approx(-23.0, abs=0.01)


def test_the_gain_is_constant():
    sound = noise(0.02)
    ratio = normalized(sound) / sound
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)


def test_short_peaks_stop_at_the_ceiling():
    assert peak_db(normalized(click())) == pytest.approx(-1.0, abs=0.01)
    assert peak_db(normalized(click(), true_peak=-6.0)) == pytest.approx(-6.0, abs=0.01)
    assert loudness(normalized(click()), RATE) < -23.0


def test_peak_normalization_ignores_the_loudness():
    assert peak_db(normalized(noise(0.003), normalize="peak")) == pytest.approx(-1.0, abs=0.01)


@pytest.mark.parametrize("sound", [noise(), click()], ids=["noise", "click"])
@pytest.mark.parametrize("mode", ["loudness", "peak"])
def test_a_quiet_prompt_gives_10_db_less(sound, mode):
    normal = normalized(sound, normalize=mode)
    quiet = normalized(sound, "a dog in the distance", normalize=mode)
    assert 20 * np.log10(np.abs(normal).max() / np.abs(quiet).max()) == pytest.approx(10, abs=0.01)


def test_silence_stays_silent_and_near_silence_is_not_blown_up():
    silence = np.zeros((1, RATE), np.float32)
    np.testing.assert_array_equal(normalized(silence), silence)
    gain = normalized(noise(1e-6)) / noise(1e-6)
    assert 20 * np.log10(gain.max()) == pytest.approx(40, abs=0.01)


@pytest.mark.parametrize(
    ("prompt", "below"),
    [
        ("rain", 0), ("Quiet rain", 10), ("a dog far away", 10), ("a far-off train", 10),
        ("soft wind and a loud siren", 0), ("an unquiet mind", 0), ("a distant bell nearby", 0),
    ],
)  # fmt: skip
def test_words_for_quiet_and_distant_sounds(prompt, below):
    assert level_below_normal(prompt) == below


def test_clips_have_the_level_and_edits_that_of_their_source(tiny):
    [clip] = tiny.generate("a dog", **QUICK)
    [raw] = tiny.generate("a dog", normalize="none", **QUICK)
    assert clip.options.normalize == "loudness"
    np.testing.assert_array_equal(clip.samples, normalized(raw.samples))
    [varied] = tiny.vary(raw, strength=0.3, prompt="a dog", seed=1, steps=2)
    assert varied.options.normalize == "none"
    pieces = list(tiny.generate_stream("a dog", duration=1.0, steps=2, seed=3))
    np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), raw.samples)


def test_files_of_earlier_versions_keep_their_level():
    assert GenerationOptions.from_tags({"prompt": "a dog"}).normalize == "none"


def test_two_settings_of_the_level_are_refused(tiny):
    with pytest.raises(UsageError, match="lufs = -20 and normalize = 'peak' both set the level"):
        tiny.generate("a dog", lufs=-20, normalize="peak", **QUICK)
    [clip] = tiny.generate("a dog", lufs=-20, **QUICK)
    assert clip.options.normalize == "none"
