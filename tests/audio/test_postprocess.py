"""The finish of clips: loudness and peaks by scipy and BS.1770, sums of channels, cuts and fades by closed forms."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from latentaudio.audio import ops
from latentaudio.audio.io import info
from latentaudio.audio.postprocess import faded, finished, limited, trimmed, widened
from latentaudio.config.options import EditOptions, Options
from latentaudio.errors import UsageError

RATE = 16000
QUICK = {"seconds": 1.0, "steps": 2, "seed": 3, "candidates": 1}


def noise(seconds=3.0, level=0.1, seed=0, rate=RATE):
    dice = np.random.default_rng(seed)
    return (level * dice.standard_normal((1, round(seconds * rate)))).astype(np.float32)


def bells(rate=RATE):
    t = np.arange(3 * rate) / rate
    return (
        0.1 * sum(np.sin(2 * np.pi * f * t) * np.exp(-3 * (t % 1)) for f in (400, 993, 2210))
    ).astype(np.float32)[None]


def dbtp(samples):
    return 20 * np.log10(np.abs(resample_poly(samples, 4, 1, axis=-1)).max())


def asked(**values):
    return Options(prompt="a dog", **values)


def test_nothing_asked_changes_nothing():
    sound = noise()
    out, rate, notes = finished(sound, RATE, asked())
    assert out is sound and rate == RATE and notes == {}


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("lufs", [-30.0, -20.0, -12.0])
@pytest.mark.parametrize("make", [bells, lambda rate: noise(rate=rate)], ids=["bells", "noise"])
def test_a_loudness_is_reached_below_its_ceiling(make, rate, lufs):
    out, _, notes = finished(make(rate), rate, asked(lufs=lufs))
    assert ops.loudness(out, rate) == pytest.approx(lufs, abs=0.1) and notes == {}
    assert dbtp(out) <= -1.0 + 0.1


def test_full_scale_tone_at_minus_23_is_the_standards_amplitude():
    """BS.1770: a 997 Hz sine of amplitude 1 reads -3.01 LUFS, so one that reads -23 has -19.99 dB."""
    tone = np.sin(2 * np.pi * 997 * np.arange(3 * 48000) / 48000).astype(np.float32)[None]
    out, _, _ = finished(tone, 48000, asked(lufs=-23.0))
    assert 20 * np.log10(np.abs(out).max()) == pytest.approx(-19.99, abs=0.06)


def test_what_the_ceiling_forbids_is_told():
    click = 1e-4 * noise(1.0)
    click[0, 8000] = 0.9
    out, _, notes = finished(click, RATE, asked(lufs=-9.0))
    assert (
        notes["loudness"].endswith("LUFS, all that a ceiling of -1 dBTP leaves")
        and dbtp(out) <= -0.9
    )
    silence = np.zeros((1, RATE), np.float32)
    np.testing.assert_array_equal(finished(silence, RATE, asked(lufs=-9.0))[0], silence)


@pytest.mark.parametrize("peak", [-1.0, -6.0, -20.0])
def test_the_limiter_holds_true_peaks_and_leaves_the_rest(peak):
    sound = np.concatenate([0.01 * noise(1.0), 0.5 * noise(1.0, 1.0), 0.01 * noise(1.0)], axis=1)
    out = limited(sound, RATE, peak)
    assert peak - 0.5 <= dbtp(out) <= peak + 0.1
    np.testing.assert_array_equal(out[:, : RATE - 321], sound[:, : RATE - 321])
    np.testing.assert_array_equal(out[:, 2 * RATE + 321 :], sound[:, 2 * RATE + 321 :])
    assert limited(0.01 * sound, RATE, peak).max() == (0.01 * sound).max()


def test_a_peak_between_samples_counts():
    """A sine at a quarter of the rate, sampled 45 degrees off its tops: 3.01 dB below its true peak."""
    sound = np.sin(np.pi / 2 * np.arange(RATE) + np.pi / 4).astype(np.float32)[None]
    out = limited(ops.fade_edges(sound, RATE, 0.1), RATE, -6.0)
    middle = np.abs(out[0, 4000:12000]).max()
    assert 20 * np.log10(middle) == pytest.approx(-6.0 - 3.01, abs=0.1)


def test_channels_are_turned_down_alike():
    sound = np.concatenate([noise(level=0.5), noise(level=0.01, seed=1)])
    out = limited(sound, RATE, -12.0)
    gains = out / sound
    np.testing.assert_allclose(gains[0], gains[1], rtol=1e-4)


@pytest.mark.parametrize("width", [0.3, 1.0])
def test_the_sum_of_both_channels_is_the_clip(width):
    mid = ops.shaped(noise(), ops.passing([(1000, 8000)], RATE))
    side = noise(seed=1) + mid
    left, right = widened(mid, side, RATE, width)
    np.testing.assert_allclose((left + right) / 2, mid[0], atol=1e-6)
    assert np.square(left).sum() == pytest.approx(np.square(right).sum(), rel=1e-4)
    apart = (left - right) / 2
    assert np.square(apart).sum() == pytest.approx(width**2 * np.square(mid).sum(), rel=0.01)
    power, hertz = np.square(np.abs(np.fft.rfft(apart))), np.fft.rfftfreq(len(apart), 1 / RATE)
    assert power[hertz < 100].mean() < 0.02 * power[hertz > 400].mean()


def test_a_side_is_in_the_middle_at_every_moment():
    """A side that is the clip itself for a while, then its opposite, pulls it to neither channel."""
    mid = ops.shaped(noise(2.0), ops.passing([(1000, 8000)], RATE))
    side = noise(2.0, seed=1) + mid * np.repeat([1.0, -1.0], RATE).astype(np.float32)
    left, right = (
        np.square(lane).reshape(20, -1).sum(axis=1) for lane in widened(mid, side, RATE, 1.0)
    )
    assert np.abs(10 * np.log10(left / right)).max() < 1.0


def test_silence_is_cut_and_10_ms_stay():
    sound = np.pad(bells(), ((0, 0), (5000, 7000)))
    sound[0, 100] = 0.9e-3 * np.abs(sound).max()
    out = trimmed(sound, RATE)
    first = int(np.flatnonzero(np.abs(sound[0]) > 1e-3 * np.abs(sound).max())[0])
    np.testing.assert_array_equal(out[0, :3000], sound[0, first - 160 : first + 2840])
    assert out.shape[1] <= 3 * RATE + 320
    np.testing.assert_array_equal(trimmed(bells()[:, 50:-50], RATE), bells()[:, 50:-50])
    assert trimmed(np.zeros((1, 99), np.float32), RATE).shape == (1, 99)


def test_fades_are_half_a_cosine():
    ones = np.ones((2, RATE), np.float32)
    out = faded(ones, RATE, 0.25, 0.5)
    assert (out[:, 0] == 0).all() and (out[:, -1] == 0).all()
    assert out[0, 2000] == pytest.approx(0.5, abs=1e-3) and out[0, 12000] == pytest.approx(
        0.5, abs=1e-3
    )
    np.testing.assert_array_equal(out[:, 4000:8000], ones[:, 4000:8000])
    assert np.isfinite(faded(ones, RATE, 9.0, 9.0)).all()


def test_resampled_clips_say_so():
    out, rate, notes = finished(bells(), RATE, asked(rate=48000))
    assert rate == 48000 and out.shape == (1, 3 * 48000)
    assert notes == {"derived": "48000 Hz by resampling from 16000 Hz"}
    spectrum = np.abs(np.fft.rfft(out[0]))
    assert spectrum[np.fft.rfftfreq(out.shape[1], 1 / 48000) > 8200].max() < 1e-4 * spectrum.max()


def test_a_model_finishes_its_clips(tiny, tmp_path):
    [plain] = tiny.generate("a dog", **QUICK)
    [clip] = tiny.generate("a dog", **QUICK, stereo=0.5, rate=48000, lufs=-20, fade_in=0.1)
    assert (
        clip.samples.shape == (2, 48000) and clip.sample_rate == 48000 and clip.seed == plain.seed
    )
    assert ops.loudness(clip.samples, 48000) == pytest.approx(-20, abs=0.5)
    mono, old = (
        clip.samples.mean(axis=0)[12000:36000],
        ops.resample(plain.samples, RATE, 48000)[0, 12000:36000],
    )
    assert np.corrcoef(mono, old)[0, 1] > 0.999
    assert clip.tags["derived"] == (
        "stereo: a variation of the clip is the difference of the channels, width 0.5; 48000 Hz by resampling from 16000 Hz"
    )
    assert (plain.notes["device"], plain.notes["precision"]) == ("cpu", "fp32") and int(
        plain.notes["threads"]
    ) > 0
    [again] = tiny.stream([Options.from_tags(info(clip.save(tmp_path / "x.flac"))["tags"])])
    np.testing.assert_array_equal(again.samples, clip.samples)
    [wide] = tiny.generate("a dog", **QUICK, stereo=0.5)
    np.testing.assert_allclose(wide.samples.mean(axis=0) / np.abs(wide.samples).max(), (
        plain.samples[0] / np.abs(wide.samples).max() * (wide.samples.sum() / 2 / plain.samples.sum())
    ), atol=1e-4)  # fmt: skip


def test_edits_are_finished_too(tiny):
    [clip] = tiny.vary(noise(1.0), steps=2, seed=0, stereo=1.0, trim=True)
    assert clip.samples.shape[0] == 2 and "stereo" in clip.tags["derived"]
    with pytest.raises(UsageError, match="has a seam again"):
        tiny.loop(noise(1.0), seam=0.2, fade_out=0.1)


def test_tags_bring_the_finish_back():
    whole = asked(
        lufs=-14,
        peak=-2,
        trim=True,
        fade_in=0.5,
        fade_out=1,
        stereo=0.3,
        rate=44100,
        edit=EditOptions(verb="vary"),
    )
    assert Options.from_tags(whole.to_tags()) == whole
    assert Options.from_tags(asked().to_tags()) == asked() and "lufs" not in asked().to_tags()
    assert Options.from_tags({"prompt": "a dog", "seed": "3"}) == asked(
        seed=3
    )  # as files had it before
    with pytest.raises(UsageError, match="rate = 4000 must be 8000 to 192000, or 0"):
        asked(rate=4000)
    with pytest.raises(UsageError, match="lufs = 3 must be at most 0"):
        asked(lufs=3)
