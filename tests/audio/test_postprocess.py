"""Post-processing against scipy and closed forms."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from latentaudio.audio.io import info
from latentaudio.audio.loudness import loudness
from latentaudio.audio.ops import bandpass_gains, resample, stft_filter
from latentaudio.audio.postprocess import fade, postprocess, to_stereo, trim_silence
from latentaudio.config.edits import VaryOptions
from latentaudio.config.options import GenerationOptions
from latentaudio.errors import UsageError

RATE = 16000
QUICK = {"duration": 1.0, "steps": 2, "seed": 3, "candidates": 1}


def noise(duration=3.0, level=0.1, seed=0, rate=RATE):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal((1, round(duration * rate)))).astype(np.float32)


def bells(rate=RATE):
    t = np.arange(3 * rate) / rate
    decay = np.exp(-3 * (t % 1))
    partials = sum(np.sin(2 * np.pi * hertz * t) * decay for hertz in (400, 993, 2210))
    return (0.1 * partials).astype(np.float32)[None]


def high_passed_noise(duration):
    return stft_filter(noise(duration), bandpass_gains([(1000, 8000)], RATE))


def dbtp(samples):
    """True peak in dB, by scipy."""
    return 20 * np.log10(np.abs(resample_poly(samples, 4, 1, axis=-1)).max())


def options(**values):
    return GenerationOptions(prompt="a dog", **values)


def test_without_options_the_samples_are_unchanged():
    sound = noise()
    out, rate, tags = postprocess(sound, RATE, options())
    assert out is sound
    assert rate == RATE
    assert tags == {}


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("lufs", [-30.0, -20.0, -12.0])
@pytest.mark.parametrize("make", [bells, lambda rate: noise(rate=rate)], ids=["bells", "noise"])
def test_a_loudness_is_reached_below_the_ceiling(make, rate, lufs):
    out, _, tags = postprocess(make(rate), rate, options(lufs=lufs))
    assert loudness(out, rate) == pytest.approx(lufs, abs=0.1)
    assert tags == {}
    assert dbtp(out) <= -1.0 + 0.1


def test_a_loudness_that_the_ceiling_prevents_is_tagged():
    click = 1e-4 * noise(1.0)
    click[0, 8000] = 0.9
    out, _, tags = postprocess(click, RATE, options(lufs=-9.0))
    assert tags["loudness"].endswith("LUFS, limited by the ceiling of -1 dBTP")
    assert dbtp(out) <= -0.9
    silence = np.zeros((1, RATE), np.float32)
    np.testing.assert_array_equal(postprocess(silence, RATE, options(lufs=-9.0))[0], silence)


@pytest.mark.parametrize("width", [0.3, 1.0])
def test_the_mean_of_both_channels_is_the_clip(width):
    mid = high_passed_noise(3.0)
    side = noise(seed=1) + mid
    left, right = to_stereo(mid, side, RATE, width)
    np.testing.assert_allclose((left + right) / 2, mid[0], atol=1e-6)
    assert np.square(left).sum() == pytest.approx(np.square(right).sum(), rel=1e-4)
    difference = (left - right) / 2
    expected = width**2 * np.square(mid).sum()
    assert np.square(difference).sum() == pytest.approx(expected, rel=0.01)
    power = np.square(np.abs(np.fft.rfft(difference)))
    hertz = np.fft.rfftfreq(len(difference), 1 / RATE)
    assert power[hertz < 100].mean() < 0.02 * power[hertz > 400].mean()


def test_stereo_is_centered_at_every_moment():
    """A side that equals the clip for a while, then its opposite, moves it to neither channel."""
    mid = high_passed_noise(2.0)
    side = noise(2.0, seed=1) + mid * np.repeat([1.0, -1.0], RATE).astype(np.float32)
    stereo = to_stereo(mid, side, RATE, 1.0)
    left, right = np.square(stereo).reshape(2, 20, -1).sum(axis=2)
    assert np.abs(10 * np.log10(left / right)).max() < 1.0


def test_silence_is_trimmed_except_for_10_ms():
    sound = np.pad(bells(), ((0, 0), (5000, 7000)))
    sound[0, 100] = 0.9e-3 * np.abs(sound).max()
    out = trim_silence(sound, RATE)
    first = int(np.flatnonzero(np.abs(sound[0]) > 1e-3 * np.abs(sound).max())[0])
    np.testing.assert_array_equal(out[0, :3000], sound[0, first - 160 : first + 2840])
    assert out.shape[1] <= 3 * RATE + 320
    np.testing.assert_array_equal(trim_silence(bells()[:, 50:-50], RATE), bells()[:, 50:-50])
    assert trim_silence(np.zeros((1, 99), np.float32), RATE).shape == (1, 99)


def test_fades_are_half_a_cosine():
    ones = np.ones((2, RATE), np.float32)
    out = fade(ones, RATE, 0.25, 0.5)
    assert (out[:, 0] == 0).all()
    assert (out[:, -1] == 0).all()
    assert out[0, 2000] == pytest.approx(0.5, abs=1e-3)
    assert out[0, 12000] == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_array_equal(out[:, 4000:8000], ones[:, 4000:8000])
    assert np.isfinite(fade(ones, RATE, 9.0, 9.0)).all()


@pytest.mark.parametrize("duration", [1.0, 3.3333333, 2.71828, 0.71])
@pytest.mark.parametrize("rate", [48000, 44100, 22050, 8000])
def test_a_resampled_clip_has_the_duration_that_was_asked_for(duration, rate):
    settings = options(sample_rate=rate, duration=duration)
    out, _, _ = postprocess(noise(duration), RATE, settings)
    assert out.shape[1] == round(duration * rate)


def test_a_trimmed_clip_keeps_its_own_length_at_another_rate():
    samples = np.zeros((1, 3 * RATE), np.float32)
    samples[:, RATE : RATE + 3333] = 0.5
    settings = options(sample_rate=48000, duration=3.0, trim_silence=True)
    out, _, _ = postprocess(samples, RATE, settings)
    trimmed, _, _ = postprocess(samples, RATE, options(duration=3.0, trim_silence=True))
    assert out.shape[1] == 3 * trimmed.shape[1]


def test_resampled_clips_are_tagged():
    out, rate, tags = postprocess(bells(), RATE, options(sample_rate=48000))
    assert rate == 48000
    assert out.shape == (1, 3 * 48000)
    assert tags == {"derived": "48000 Hz by resampling from 16000 Hz"}
    spectrum = np.abs(np.fft.rfft(out[0]))
    above = np.fft.rfftfreq(out.shape[1], 1 / 48000) > 8200
    assert spectrum[above].max() < 1e-4 * spectrum.max()


def test_a_model_post_processes_its_clips(tiny, tmp_path):
    [plain] = tiny.generate("a dog", **QUICK)
    [clip] = tiny.generate(
        "a dog", **QUICK, stereo_width=0.5, sample_rate=48000, lufs=-20, fade_in=0.1
    )
    assert clip.samples.shape == (2, 48000)
    assert clip.sample_rate == 48000
    assert clip.seed == plain.seed
    assert loudness(clip.samples, 48000) == pytest.approx(-20, abs=0.5)
    middle = slice(12000, 36000)  # without the fade
    mono = clip.samples.mean(axis=0)[middle]
    resampled = resample(plain.samples, RATE, 48000)[0, middle]
    assert np.corrcoef(mono, resampled)[0, 1] > 0.999
    assert clip.tags["derived"] == (
        "stereo: a variation of the clip is the difference of the channels, width 0.5; "
        "48000 Hz by resampling from 16000 Hz"
    )
    assert (plain.extra_tags["device"], plain.extra_tags["precision"]) == ("cpu", "fp32")
    assert int(plain.extra_tags["threads"]) > 0
    tags = info(clip.save(tmp_path / "x.flac"))["tags"]
    [again] = tiny.run([GenerationOptions.from_tags(tags)])
    np.testing.assert_array_equal(again.samples, clip.samples)
    [wide] = tiny.generate("a dog", **QUICK, stereo_width=0.5)
    peak = np.abs(wide.samples).max()
    level = wide.samples.sum() / 2 / plain.samples.sum()
    expected = plain.samples[0] / peak * level
    np.testing.assert_allclose(wide.samples.mean(axis=0) / peak, expected, atol=1e-4)


def test_edits_are_post_processed_too(tiny):
    [clip] = tiny.vary(noise(1.0), steps=2, seed=0, stereo_width=1.0, trim_silence=True)
    assert clip.samples.shape[0] == 2
    assert "stereo" in clip.tags["derived"]
    with pytest.raises(UsageError, match="put a seam into a loop"):
        tiny.loop(noise(1.0), loop_seam=0.2, fade_out=0.1)


def test_tags_restore_the_post_processing():
    request = options(
        lufs=-14,
        true_peak=-2,
        trim_silence=True,
        fade_in=0.5,
        fade_out=1,
        stereo_width=0.3,
        sample_rate=44100,
        edit=VaryOptions(),
    )
    assert GenerationOptions.from_tags(request.to_tags()) == request
    assert GenerationOptions.from_tags(options().to_tags()) == options()
    assert "lufs" not in options().to_tags()
    assert GenerationOptions.from_tags({"prompt": "a dog", "seed": "3"}) == options(seed=3)


def test_post_processing_out_of_range_is_an_error():
    with pytest.raises(UsageError, match="sample_rate = 4000 must be 8000 to 192000, or 0"):
        options(sample_rate=4000)
    with pytest.raises(UsageError, match="lufs = 3 must be at most 0"):
        options(lufs=3)
