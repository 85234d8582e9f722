"""Inpainting and super-resolution: the rest of the source stays as it is."""

import librosa
import numpy as np
import pytest
from clips import FADE, QUICK, RATE, bandpass, half_mask, spectrum
from PIL import Image

from latentaudio import load

BAND = [(2000.0, 4000.0)]


def test_samples_outside_the_time_ranges_are_bit_identical(tiny, source):
    ranges = [(0.5, 0.8), (1.2, 1.5)]
    [clip] = tiny.inpaint(source, "a dog", time_ranges=ranges, **QUICK)
    assert clip.samples.shape == source.shape
    same = clip.samples[0] == source[0]
    regenerated = np.zeros(source.shape[1], bool)
    for start, end in ranges:
        regenerated[round(start * RATE) - FADE : round(end * RATE) + FADE] = True
        assert same[round(start * RATE) : round(end * RATE)].mean() < 0.1
    assert same[~regenerated].all()


def test_frequencies_outside_the_ranges_are_kept(quiet, source):
    [clip] = quiet.inpaint(source, "a dog", frequency_ranges=BAND, **QUICK)
    changed, hertz = spectrum(clip.samples - source)
    assert changed[(hertz < 2000) | (hertz > 4000)].max() < 1e-3 * changed.max()


def test_a_frequency_range_inside_a_time_range(quiet, source):
    ranges = {"frequency_ranges": BAND, "time_ranges": [(0.5, 1.0)]}
    [clip] = quiet.inpaint(source, "a dog", **ranges, **QUICK)
    assert (clip.samples == source)[0, : RATE // 2 - FADE].all()
    assert (clip.samples != source)[0, RATE // 2 : RATE].mean() > 0.9


def test_the_white_part_of_a_mask_is_regenerated(quiet, source, tmp_path):
    Image.fromarray(half_mask()).save(tmp_path / "mask.png")
    [clip] = quiet.inpaint(source, "a dog", mask=half_mask(), **QUICK)
    [by_file] = quiet.inpaint(source, "a dog", mask=tmp_path / "mask.png", **QUICK)
    np.testing.assert_array_equal(clip.samples, by_file.samples)
    changed = clip.samples - source
    assert not changed[0, : RATE // 2 - FADE].any()
    assert not changed[0, RATE + FADE :].any()
    assert (changed[0, RATE // 2 : RATE] != 0).mean() > 0.9
    level, hertz = spectrum(changed[:, RATE // 2 - FADE : RATE + FADE])
    top_hz = librosa.mel_to_hz(librosa.hz_to_mel(8000.0) / 2)
    assert level[hertz > top_hz].max() < 1e-3 * level.max()


def test_a_source_longer_than_a_window(tiny_folder, source):
    long = np.tile(source, 8)  # 16 s
    options = {**QUICK, "steps": 2}
    model = load(tiny_folder, "cpu", "fp32")
    [clip] = model.inpaint(long, "a dog", time_ranges=[(9.0, 11.0)], **options)
    same = (clip.samples == long)[0]
    assert same[: 9 * RATE - FADE].all()
    assert same[11 * RATE + FADE :].all()
    assert not same[9 * RATE : 11 * RATE].all()


@pytest.mark.parametrize("reference", ["diffusers", "original"])
def test_references_that_round_latents_down_keep_every_sample(tiny_folder, source, reference):
    odd = source[:, :20_700]
    model = load(tiny_folder, "cpu", "fp32", reference=reference)
    [clip] = model.inpaint(odd, "a dog", time_ranges=[(0.2, 0.4)], **QUICK)
    assert clip.samples.shape == odd.shape
    assert (clip.samples == odd)[0, 7000:].all()


def test_super_resolution_keeps_frequencies_below_the_cutoff(quiet, source):
    low = bandpass(source, 0.0, 2800.0)
    [clip] = quiet.super_resolve(low, cutoff_hz=3000.0, **QUICK)
    changed, hertz = spectrum(clip.samples - low)
    assert changed[hertz < 3000].max() < 1e-3 * changed.max()
    assert changed[hertz > 3200].max() == changed.max()


def test_an_edit_without_prompt_is_guided_by_its_context(tiny, source):
    ranges = [(0.5, 0.8)]
    [clip] = tiny.inpaint(source, time_ranges=ranges, steps=1)
    assert clip.options.edit.in_context
    assert clip.options.guidance_scale == tiny.source.spec.guidance_scale
    [clip] = tiny.inpaint(source, time_ranges=ranges, in_context=False, steps=1)
    assert clip.options.guidance_scale == 1.0
