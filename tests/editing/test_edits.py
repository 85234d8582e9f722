"""Verbs over a given sound: what is kept is kept to the bit, what is asked for is made, and nonsense is one line."""

import json
import math
import re
from dataclasses import replace

import librosa
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from scipy.signal import butter, sosfiltfilt

from latentaudio import load
from latentaudio.audio.io import info
from latentaudio.audio.mel import vae_mel
from latentaudio.audio.ops import limit_peak, bandpass_gains
from latentaudio.cli.main import main
from latentaudio.codec import WINDOW_OVERLAP_FRACTION
from latentaudio.config.options import EditOptions, GenerationOptions
from latentaudio.config.registry import MODELS
from latentaudio.editing.blending import blend_into_source, match_boundary_levels, match_level_below_cutoff
from latentaudio.editing.latent_mask import latent_keep_mask
from latentaudio.editing.plan import shift_strength
from latentaudio.errors import DataError, UsageError
from latentaudio.models.tiling import window_starts

RATE = 16000
FADE = 320  # 20 ms
QUICK = {"steps": 4, "seed": 3, "candidates": 1}


@pytest.fixture(scope="module")
def sound():
    t = np.arange(2 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * 440 * t) + 0.02 * noise).astype(np.float32)[None]


@pytest.fixture
def quiet(tiny, monkeypatch):
    """The tiny system, whose random vocoder shouts, turned down, so that nothing needs cutting off."""
    loud = tiny.codec.decode
    monkeypatch.setattr(tiny.codec, "decode", lambda z: [0.2 * wave for wave in loud(z)])
    return tiny


def spectrum(samples):
    return np.abs(np.fft.rfft(samples[0])), np.fft.rfftfreq(samples.shape[1], 1 / RATE)


def between(samples, low, high):
    """What a sound holds between two frequencies (Hz): scipy's Butterworth filter there and back."""
    kind = (
        {"btype": "lowpass", "Wn": high}
        if low == 0
        else {"btype": "bandpass", "Wn": (low, min(high, RATE / 2 - 1))}
    )
    return sosfiltfilt(butter(8, **kind, fs=RATE, output="sos"), samples).astype(np.float32)


def test_strength_0_is_the_sound_through_the_codec(tiny, sound):
    [clip] = tiny.transfer(sound, "a dog", strength=0.0, **QUICK)
    [wave] = tiny.codec.decode(tiny.codec.encode(sound, tiny.codec.num_frames(2.0)))
    np.testing.assert_array_equal(clip.samples, limit_peak(wave[:, : sound.shape[1]], 1.0))


def test_strength_1_is_what_generating_makes(tiny, sound):
    ends = []
    tiny.transfer(sound, "a dog", strength=1.0, **QUICK, on_step=lambda step: ends.append(step.z))
    tiny.generate("a dog", duration=2.0, **QUICK, on_step=lambda step: ends.append(step.z))
    np.testing.assert_array_equal(ends[3].numpy(), ends[7].numpy())


def test_published_models_take_a_strength_as_it_is():
    assert [shift_strength(s, MODELS["audioldm2-full"].strength_shift) for s in (0.0, 0.3, 1.0)] == [
        0.0,
        0.3,
        1.0,
    ]
    assert shift_strength(0.0, 3.0) == 0.0 and shift_strength(1.0, 3.0) == 1.0


@pytest.mark.parametrize("sampler", ["dpm++", "ddim"])
def test_the_stronger_the_more_steps_and_the_further_away(tiny, sound, sampler):
    steps, apart, [same] = [], [], tiny.transfer(sound, "a dog", strength=0.0, **QUICK)
    for strength in (0.25, 0.5, 0.75, 1.0):
        seen = []
        wishes = {**QUICK, "steps": 20, "sampler": sampler, "on_step": seen.append}
        [clip] = tiny.transfer(sound, "a dog", strength=strength, **wishes)
        steps.append(len(seen))
        way = {0.25: 0.5, 0.5: 0.75, 0.75: 0.9, 1.0: 1.0}[
            strength
        ]  # 3 s / (1 + 2 s): models of mini's kind
        assert seen[0].t == round(1000 * way) - 1 or strength == 1.0
        assert all(step.t < 1000 * way for step in seen) and seen[-1].index == 19
        apart.append(float(np.abs(clip.samples - same.samples).mean()))
    assert steps == sorted(set(steps)) and steps[-1] == 20 and apart[0] < apart[-1]


def test_outside_its_spans_inpainting_changes_no_bit(tiny, sound):
    [clip] = tiny.inpaint(sound, "a dog", time_ranges=[(0.5, 0.8), (1.2, 1.5)], **QUICK)
    assert clip.samples.shape == sound.shape
    same = clip.samples[0] == sound[0]
    holes = np.zeros(sound.shape[1], bool)
    for first, last in ((0.5, 0.8), (1.2, 1.5)):
        holes[round(first * RATE) - FADE : round(last * RATE) + FADE] = True
        assert same[round(first * RATE) : round(last * RATE)].mean() < 0.1
    assert same[~holes].all()


def test_outside_its_bands_inpainting_leaves_the_spectrum(quiet, sound):
    [clip] = quiet.inpaint(sound, "a dog", frequency_ranges=[(2000.0, 4000.0)], **QUICK)
    changed, hertz = spectrum(clip.samples - sound)
    assert changed[(hertz < 2000) | (hertz > 4000)].max() < 1e-3 * changed.max()
    both = quiet.inpaint(sound, "a dog", frequency_ranges=[(2000.0, 4000.0)], time_ranges=[(0.5, 1.0)], **QUICK)[
        0
    ].samples
    assert (both == sound)[0, : RATE // 2 - FADE].all() and (both != sound)[
        0, RATE // 2 : RATE
    ].mean() > 0.9


def drawing(rows=64, columns=200):
    """White from 0.5 s to 1 s of two, in the lower half: below 1949 Hz on librosa's mel scale."""
    mask = np.zeros((rows, columns), np.uint8)
    mask[rows // 2 :, columns // 4 : columns // 2] = 255
    return mask


def test_a_drawn_mask_is_made_anew_and_nothing_else(quiet, sound, tmp_path):
    Image.fromarray(drawing()).save(tmp_path / "mask.png")
    clips = [
        quiet.inpaint(sound, "a dog", mask=mask, **QUICK)[0]
        for mask in (drawing(), tmp_path / "mask.png")
    ]
    np.testing.assert_array_equal(clips[0].samples, clips[1].samples)
    changed = clips[0].samples - sound
    assert not changed[0, : RATE // 2 - FADE].any() and not changed[0, RATE + FADE :].any()
    assert (changed[0, RATE // 2 : RATE] != 0).mean() > 0.9
    level, hertz = spectrum(changed[:, RATE // 2 - FADE : RATE + FADE])
    assert (
        level[hertz > librosa.mel_to_hz(librosa.hz_to_mel(8000.0) / 2)].max() < 1e-3 * level.max()
    )


def test_cells_of_a_drawn_mask_are_those_of_its_span_and_band(tiny):
    top = float(librosa.mel_to_hz(librosa.hz_to_mel(8000.0) / 2))
    asked = latent_keep_mask([(0.5, 1.0)], [(0.0, top - 1e-6)], 2.0, tiny.codec, 200)
    np.testing.assert_array_equal(
        latent_keep_mask([], [], 2.0, tiny.codec, 200, drawing() > 0).numpy(), asked.numpy()
    )


def test_a_drawn_mask_comes_again_from_tags(tiny, sound, tmp_path):
    path, mask = tmp_path / "given.wav", tmp_path / "mask.png"
    soundfile.write(path, sound[0], RATE, subtype="FLOAT")
    Image.fromarray(drawing()).save(mask)
    for given in (mask, np.random.default_rng(0).random((64, 200)) > 0.2):
        [clip] = tiny.inpaint(path, "a dog", mask=given, **QUICK)
        request = GenerationOptions.from_tags(info(clip.save(tmp_path / "made.wav"))["tags"])
        [again] = tiny.stream([request])
        np.testing.assert_array_equal(again.samples, clip.samples)
        assert request.edit.mask == (str(mask) if given is mask else request.edit.mask)
    request = GenerationOptions.from_tags(tiny.inpaint(path, "a dog", mask=mask, **QUICK)[0].tags)
    Image.fromarray(drawing()[::-1]).save(mask)
    with pytest.raises(UsageError, match="is not the mask it was"):
        list(tiny.stream([request]))
    mask.unlink()
    with pytest.raises(DataError, match=r"mask\.png"):
        list(tiny.stream([request]))


def test_upsampling_leaves_what_lies_below(quiet, sound):
    low = between(sound, 0.0, 2800.0)
    [clip] = quiet.super_resolve(low, cutoff_hz=3000.0, **QUICK)
    changed, hertz = spectrum(clip.samples - low)
    assert (
        changed[hertz < 3000].max() < 1e-3 * changed.max()
        and changed[hertz > 3200].max() == changed.max()
    )


def test_what_lies_above_the_cutoff_is_as_loud_as_what_lies_below():
    t, noise = (
        np.arange(RATE) / RATE,
        np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32),
    )
    tilted = between(noise, 0, 1000) + 0.3 * noise
    for level, wanted in ((0.5, 2.0), (3.0, 1 / 3), (0.01, 4.0), (100.0, 0.25)):
        np.testing.assert_allclose(
            match_level_below_cutoff(tilted, level * tilted, 3000.0, RATE),
            wanted * level * tilted,
            rtol=1e-3,
            atol=1e-5,
        )
    above = np.sin(2 * np.pi * 5000 * t).astype(np.float32)[None]
    np.testing.assert_allclose(
        match_level_below_cutoff(noise + above, 0.5 * noise, 3000.0, RATE), noise, rtol=0.02, atol=1e-5
    )
    silent = np.zeros_like(noise)
    np.testing.assert_array_equal(match_level_below_cutoff(noise, silent, 3000.0, RATE), silent)


def test_extending_keeps_the_sound_in_its_place(tiny, sound):
    [clip] = tiny.extend(sound, "a dog", before=0.5, after=0.25, **QUICK)
    assert clip.samples.shape[1] == round(2.75 * RATE)
    middle = slice(RATE // 2 + FADE, RATE // 2 + sound.shape[1] - FADE)
    np.testing.assert_array_equal(clip.samples[:, middle], sound[:, FADE:-FADE])
    assert clip.samples[0, : RATE // 2].std() > 1e-3 and clip.samples[0, -RATE // 4 :].std() > 1e-3


def test_what_is_made_is_turned_down_before_anything_is_cut_off():
    whole, made = np.full((1, RATE), 0.8, np.float32), np.full((1, RATE), 0.4, np.float32)
    whole[0, 10] = 1.0
    half = blend_into_source(whole, made, [(0.5, 1.0)], None, RATE)
    np.testing.assert_array_equal(half[:, RATE // 2 :], made[:, RATE // 2 :])
    np.testing.assert_array_equal(half[:, : RATE // 2 - FADE], whole[:, : RATE // 2 - FADE])
    t = np.arange(RATE) / RATE
    low, high = (
        0.8 * np.sin(2 * np.pi * hertz * t).astype(np.float32)[None] for hertz in (100, 5000)
    )
    mixed = blend_into_source(low, high, [(0.0, 1.0)], bandpass_gains([(4000.0, 8000.0)], RATE), RATE)
    assert np.abs(mixed).max() == 1.0 and 0.3 < np.abs(between(mixed, 4000, 8000)).max() < 0.45


def test_a_clip_can_be_worked_on(tiny, sound):
    [clip] = tiny.generate("a dog", duration=1.0, **QUICK)
    [again] = tiny.vary(clip, strength=0.3, **QUICK)
    assert again.samples.shape == clip.samples.shape


def test_variations_differ_and_come_again(tiny, sound):
    first, second = tiny.vary(sound, strength=0.5, num_waveforms=2, **QUICK)
    assert np.abs(first.samples - second.samples).max() > 1e-3
    again = tiny.vary(sound, strength=0.5, **{**QUICK, "seed": second.seed})[0]
    np.testing.assert_array_equal(again.samples, second.samples)


def test_a_loop_has_no_step_at_its_seam(tiny, sound):
    ramped = sound * np.linspace(0.2, 1.0, sound.shape[1], dtype=np.float32)
    [clip] = tiny.loop(ramped, "a dog", seam_duration=0.5, **QUICK)
    loop = clip.samples[0]
    assert loop.shape == (2 * RATE,)
    assert (
        abs(loop[0] - loop[-1])
        < np.median(np.abs(np.diff(loop)))
        < abs(ramped[0, 0] - ramped[0, -1]) * 10
    )
    shifts = [
        k
        for k in range(-200, 200)
        if np.array_equal(np.roll(loop, k)[5000:-5000], ramped[0, 5000:-5000])
    ]
    assert (
        len(shifts) == 1 and abs(shifts[0]) <= 161
    )  # what is kept is kept, moved by 10 ms at most


def test_longer_than_a_window(tiny_folder, sound):
    model = load(tiny_folder, "cpu", "fp32")
    long = np.tile(sound, 8)  # 16 s
    [clip] = model.inpaint(long, "a dog", time_ranges=[(9.0, 11.0)], steps=2, seed=0, candidates=1)
    same = (clip.samples == long)[0]
    assert (
        same[: 9 * RATE - FADE].all()
        and same[11 * RATE + FADE :].all()
        and not same[9 * RATE : 11 * RATE].all()
    )


def test_a_file_says_what_was_done_and_makes_it_again(tiny, sound, tmp_path):
    path = tmp_path / "given.wav"
    soundfile.write(path, sound[0], RATE, subtype="FLOAT")
    [clip] = tiny.inpaint(path, "a dog", time_ranges=[(0.5, 0.8)], **QUICK)
    request = GenerationOptions.from_tags(info(clip.save(tmp_path / "made.flac"))["tags"])
    assert (
        request.edit.kind == "inpaint"
        and request.edit.source_path == str(path)
        and request.edit.time_ranges == ((0.5, 0.8),)
    )
    [again] = tiny.stream([request])
    np.testing.assert_array_equal(again.samples, clip.samples)
    soundfile.write(path, 0.5 * sound[0], RATE, subtype="FLOAT")
    with pytest.raises(UsageError, match="is not the sound it was"):
        list(tiny.stream([request]))


def test_at_few_steps_strengths_still_differ(tiny, sound):
    for sampler in ("dpm++", "ddim"):
        firsts = []
        for strength in (0.3, 0.4, 0.5, 0.9, 1.0):
            seen = []
            tiny.transfer(
                sound, "a dog", strength=strength, **QUICK, sampler=sampler, on_step=seen.append
            )
            firsts.append((seen[0].t, round(float(seen[-1].z.std()), 6)))
        assert len(set(firsts)) == 5, sampler


@pytest.mark.parametrize("fidelity", ["diffusers", "original"])
def test_grids_that_round_down_lose_no_sample(tiny_folder, sound, fidelity):
    odd = sound[:, :20_700]
    [clip] = load(tiny_folder, "cpu", "fp32", reference=fidelity).inpaint(
        odd, "a dog", time_ranges=[(0.2, 0.4)], **QUICK
    )
    assert clip.samples.shape == odd.shape and (clip.samples == odd)[0, 7000:].all()


def test_a_long_sound_is_encoded_without_a_break(tiny_folder, sound):
    model = load(tiny_folder, "cpu", "fp32")
    window, factor, hop = model.codec.max_window, model.config.vae.downsampling, model.config.mel.hop_length
    frames = 2 * window * factor
    steady = np.resize(
        np.random.default_rng(1).standard_normal(997).astype(np.float32) * 0.1, (1, frames * hop)
    )
    z = model.codec.encode(steady, frames)
    steps = (z[:, :, 1:] - z[:, :, :-1]).abs().mean(dim=(0, 1, 3))
    assert (
        z.shape[2] == 2 * window
        and steps[window - 4 : window + 4].max() <= 1.5 * steps[4:-4].median()
    )


def test_streams_tell_of_wrong_edits_at_once(tiny, sound, tmp_path):
    soundfile.write(tmp_path / "a.wav", sound[0], RATE)
    given = {"audio_prompt": str(tmp_path / "a.wav"), "verb": "vary", "strength": 0.4}
    for edit, seconds, complaint in (
        ({**given, "audio_prompt": ""}, 2.0, "no file holds"),
        (given, 5.0, "is not what vary makes"),
        ({**given, "samples": "0" * 64}, 2.0, "is not the sound it was"),
    ):
        with pytest.raises(UsageError, match=complaint):
            tiny.stream([GenerationOptions(prompt="", edit=edit, duration=seconds)])
    with pytest.raises(UsageError, match="left means nothing to loop"):
        LoopOptions(seam_duration=1.0, before=1.0)
    with pytest.raises(UsageError, match="'edit' is damaged"):
        GenerationOptions.from_tags({"prompt": "", "edit": "{verb"})


@pytest.mark.parametrize(
    ("verb", "wishes", "complaint"),
    [
        ("inpaint", {}, "inpaint what"),
        ("inpaint", {"time_ranges": [(1.0, 0.5)]}, "empty or reversed"),
        ("inpaint", {"time_ranges": [(1.5, 2.5)]}, "reaches beyond 2 s"),
        ("inpaint", {"time_ranges": [(-1.0, 0.5)]}, "begins before 0"),
        ("inpaint", {"time_ranges": [(0.2, 0.8), (0.5, 1.0)]}, "write them as one, 0.2:1"),
        ("inpaint", {"time_ranges": [(0.0, 2.0)]}, "the whole sound"),
        (
            "inpaint",
            {"time_ranges": [(1.0, 2.0), (0.0, 1.0)], "frequency_ranges": [(0.0, 8000.0)]},
            "the whole sound",
        ),
        ("inpaint", {"time_ranges": [(0.5, 0.515)]}, "shorter than 0.02 s"),
        ("inpaint", {"mask": np.eye(400) > 0, "time_ranges": [(0.5, 1.0)]}, "leave out times and bands"),
        ("inpaint", {"mask": np.eye(400)[::399] > 0}, "time 0:0.005 is shorter than 0.02 s"),
        ("inpaint", {"mask": np.zeros((4, 4))}, "all black"),
        ("inpaint", {"mask": np.ones((4, 4))}, "all white"),
        (
            "inpaint",
            {"frequency_ranges": [(2000.0, 2050.0)]},
            "narrower than the model can tell; give it at least 1.. Hz",
        ),
        ("inpaint", {"frequency_ranges": [(7000.0, 9000.0)]}, "reaches beyond 8000 Hz"),
        ("upsample", {"cutoff_hz": 9000.0}, "give one above 0, and below 8000 Hz"),
        ("extend", {}, "by how much"),
        ("extend", {"after": 599.5}, "cut it first"),
        ("extend", {"after": 0.00001}, "by how much"),
        ("vary", {"duration": 3.0}, "leave out seconds"),
        ("vary", {"negative_prompt": "rain"}, "without a prompt nothing can be"),
        ("extend", {"before": -1.0}, "left = -1.0 must be at least 0"),
        ("loop", {"seam_duration": 2.0}, "less than the sound"),
        ("loop", {"seam_duration": 0.01}, "less than the sound"),
        ("transfer", {"prompt": "a dog", "strength": 1.5}, "strength = 1.5 must be at most 1"),
        ("vary", {"guidance_scale": 3.0}, "without a prompt nothing can be"),
        ("transfer", {"prompt": "a dog", "sampler": "lcm"}, "takes leaps|has no student"),
    ],
)
def test_nonsense_is_one_line(tiny, sound, verb, wishes, complaint):
    with pytest.raises(UsageError, match=complaint):
        getattr(tiny, verb)(sound, **wishes)


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [
        (np.zeros((1, RATE), np.float32), "silent"),
        (np.ones((1, 1), np.float32), "lasts"),
        (np.ones((1, 601 * RATE), np.float32), "cut it first"),
        (np.full((1, RATE), np.nan, np.float32), "not finite"),
        (np.ones((1, RATE), np.int16), "samples are int16"),
        (np.full((1, RATE), 8.8, np.float32), "turn it down first"),
        (np.ones((RATE, 2), np.float32), r"give \[C, N\]"),
        (np.stack([np.ones(RATE), -np.ones(RATE)]).astype(np.float32), "cancel each other"),
    ],
)
def test_sounds_that_cannot_be_worked_on(tiny, samples, complaint):
    with pytest.raises(UsageError, match=complaint):
        tiny.vary(samples)


def test_files_of_any_kind_are_read(tiny, sound, tmp_path):
    soundfile.write(tmp_path / "many.wav", np.tile(sound.T, (1, 8)), RATE)
    soundfile.write(tmp_path / "fast.flac", np.repeat(sound[0], 12), 192000)
    with pytest.warns(
        UserWarning, match=r"many\.wav has 8 channels; their average is worked on"
    ) as told:
        [clip] = tiny.vary(tmp_path / "many.wav", strength=0.3, **QUICK)
    assert clip.samples.shape == (1, 2 * RATE) and len(told) == 1
    [clip] = tiny.vary(tmp_path / "fast.flac", strength=0.3, **QUICK)
    assert clip.samples.shape == (1, 2 * RATE)


def test_a_file_that_ends_early_is_worked_on_as_far_as_it_goes(tiny, sound, tmp_path):
    soundfile.write(tmp_path / "whole.wav", sound[0], RATE)
    data = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "half.wav").write_bytes(data[: 44 + 2 * RATE])
    with pytest.warns(UserWarning, match=r"half\.wav ends early: 1 of 2 s are there") as told:
        [clip] = tiny.inpaint(tmp_path / "half.wav", time_ranges=[(0.4, 0.6)], **QUICK)
    assert clip.samples.shape == (1, RATE) and len(told) == 1
    (tmp_path / "piped.wav").write_bytes(
        data[:40] + b"\xff" * 4 + data[44:]
    )  # as ffmpeg writes into a pipe
    assert tiny.inpaint(tmp_path / "piped.wav", time_ranges=[(0.4, 0.6)], **QUICK)[0].samples.shape == (
        1,
        2 * RATE,
    )


@pytest.mark.parametrize(
    ("name", "samples", "rate", "complaint"),
    [
        ("none.wav", np.zeros(0), RATE, "holds no samples"),
        ("one.wav", np.ones(1), RATE, "lasts 6.25e-05 s; give one of at least 0.1 s"),
        ("silent.flac", np.zeros(RATE), RATE, "is silent"),
        ("nan.wav", np.r_[np.zeros(99), np.nan, np.ones(RATE)], RATE, "not finite"),
        ("hour.wav", np.ones(360_000), 100, "3600 s; sounds of up to 600 s"),
        ("loud.wav", np.full(RATE, 9.0), RATE, "turn it down first"),
        ("corrupt.wav", b"RIFF0000WAVE no", 0, "cannot read .*corrupt.wav as sound"),
        ("empty.wav", b"", 0, "cannot read .*empty.wav as sound"),
    ],
)
def test_bad_files_are_one_line_and_nothing_is_lost(
    tiny_folder, tmp_path, capsys, name, samples, rate, complaint
):
    given, out = tmp_path / name, tmp_path / "out.wav"
    if rate:
        soundfile.write(
            given, samples, rate, subtype="PCM_16" if name.endswith("flac") else "FLOAT"
        )
    else:
        given.write_bytes(samples)
    before = given.read_bytes()
    out.write_bytes(b"what was there")
    words = [
        str(given),
        "--model",
        str(tiny_folder),
        "--steps",
        "2",
        "--precision",
        "fp32",
        "-o",
        str(out),
    ]
    assert main(["inpaint", *words, "--time", "0.2:0.4"]) == 2
    said = capsys.readouterr().err
    assert re.search(complaint, said) and said.count("\n") == 1
    assert out.read_bytes() == b"what was there" and given.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "out.wav"])


def test_what_is_given_is_never_written_over(tiny_folder, sound, tmp_path, capsys):
    given, mask = tmp_path / "given.wav", tmp_path / "out.wav.png"
    soundfile.write(given, sound[0], RATE)
    Image.fromarray(drawing()).save(mask)
    (tmp_path / "link.wav").symlink_to(given)
    before = given.read_bytes(), mask.read_bytes()
    how = ["inpaint", str(given), "--mask", str(mask), "--model", str(tiny_folder), "--steps", "2"]
    for output, complaint in (
        (given, "over the sound itself"),
        (tmp_path / "link.wav", "over the sound itself"),
        (tmp_path / "out.wav", "over the mask itself"),
        (f"{given}/", "exists and is not a folder"),
        (given / "out.wav", "no folder"),
        (tmp_path / "gone" / "out.wav", "no folder"),
        (tmp_path / "out.aiff", "end the name in"),
    ):
        assert main([*how, "-o", str(output), "--plot"]) == 2
        said = capsys.readouterr().err
        assert complaint in said and said.count("\n") == 1
    assert (given.read_bytes(), mask.read_bytes()) == before
    (tmp_path / "given").mkdir()  # a folder named like the sound is a folder
    assert main([*how, "-o", str(tmp_path / "given"), "--precision", "fp32", "--quiet"]) == 0, (
        capsys.readouterr().err
    )
    assert [path.name for path in (tmp_path / "given").iterdir()] == ["given_inpaint.wav"]


def test_tags_say_what_was_done():
    edit = InpaintOptions(time_ranges=[(0.5, 1)], frequency_ranges=[(100, 200)])
    asked = GenerationOptions(prompt="", edit=edit, seed=1)
    assert GenerationOptions.from_tags(asked.to_tags()) == asked
    assert json.loads(asked.to_tags()["edit"]) == {
        "verb": "inpaint",
        "time_ranges": [[0.5, 1.0]],
        "frequency_ranges": [[100.0, 200.0]],
    }
    with pytest.raises(UsageError, match="prompt is empty"):
        GenerationOptions(prompt="")


def test_verbs_of_the_command_line(tiny_folder, sound, tmp_path, capsys):
    given = tmp_path / "given.wav"
    soundfile.write(given, sound[0], RATE, subtype="FLOAT")
    how = ["--model", str(tiny_folder), "--steps", "2", "--seed", "1", "--precision", "fp32"]
    asked = {
        "transfer": ["a dog", "--strength", "0.6"],
        "vary": ["--amount", "0.5", "--count", "2"],
        "inpaint": ["a dog", "--time", "0.5:0.8", "--time", "1:1.5", "--band", "1000:4000"],
        "upsample": ["--cutoff", "4000"],
        "extend": ["a dog", "--right", "0.5"],
        "loop_seam": ["--seam", "0.5"],
    }
    for verb, words in asked.items():
        assert main([verb, str(given), *words, *how, "-o", f"{tmp_path}/out/"]) == 0, (
            capsys.readouterr().err
        )
    made = {path.stem for path in (tmp_path / "out").iterdir()}
    assert made == {
        "given_transfer",
        "given_vary",
        "given_vary_2",
        "given_inpaint",
        "given_upsample",
        "given_extend",
        "given_loop",
    }
    request = GenerationOptions.from_tags(info(tmp_path / "out" / "given_inpaint.wav")["tags"])
    assert request.edit.time_ranges == ((0.5, 0.8), (1.0, 1.5)) and request.edit.frequency_ranges == (
        (1000.0, 4000.0),
    )
    soundfile.write(tmp_path / "take_1.wav", sound[0], RATE)
    for words, complaint in (
        (["inpaint", str(given), "--time", "1-2"], "write START:END"),
        (["inpaint", str(given), "--time", "1:9"], "reaches beyond"),
        (["inpaint", str(given), "--mask", str(given)], "as a picture"),
        (["transfer", str(given), "a dog", "-o", str(given)], "would write over the sound itself"),
        (["transfer", str(tmp_path / "no.wav"), "a dog"], "no.wav"),
        (
            [
                "vary",
                str(tmp_path / "take_1.wav"),
                "--count",
                "2",
                "-o",
                str(tmp_path / "take.wav"),
            ],
            "write over the sound itself",
        ),
    ):
        assert main([*words, *how]) == 2
        assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("framing", ["vocoder", "centered"])
def test_a_latent_of_pieces_is_that_of_the_whole(tiny, sound, framing, monkeypatch):
    spec, factor = tiny.config.mel, tiny.config.vae.factor
    long = np.tile(sound, 12)  # 24 s
    heard = []
    monkeypatch.setattr(
        tiny.codec,
        "found",
        replace(tiny.source, reference=replace(tiny.source.reference, framing=framing)),
    )
    monkeypatch.setattr(
        tiny.vae, "encode", lambda mel, was=tiny.vae.encode: (heard.append(mel), was(mel))[1]
    )
    tiny.codec.encode(long)
    frames = factor * math.ceil(long.shape[1] / (spec.hop * factor))
    whole = vae_mel(torch.from_numpy(long), spec, framing)[:, :, :frames]
    places = window_starts(frames // factor, tiny.codec.max_window, tiny.codec.max_window // WINDOW_OVERLAP_FRACTION)
    assert len(heard) == len(places) > 1
    for mel, place in zip(heard, places, strict=True):
        torch.testing.assert_close(
            mel, whole[:, :, place * factor : place * factor + mel.shape[2]], atol=1e-5, rtol=0
        )


def test_what_goes_on_evenly_is_made_as_loud_as_the_sound_beside_it():
    dice = np.random.default_rng(0)
    sound, made = (dice.standard_normal((1, 4 * RATE)).astype(np.float32) for _ in range(2))
    sound[:, 2 * RATE :] *= 0.5
    out = match_boundary_levels(0.1 * sound, 0.05 * made, [(1.0, 3.0)], RATE)
    gain = out[0] / (0.05 * made[0])
    assert 20 * np.log10(gain[RATE]) == pytest.approx(6.02, abs=0.5)
    assert 20 * np.log10(gain[3 * RATE - 1]) == pytest.approx(0.0, abs=0.5)
    decibels = 20 * np.log10(gain[RATE : 3 * RATE])
    np.testing.assert_allclose(
        decibels, np.linspace(decibels[0], decibels[-1], 2 * RATE), atol=0.01
    )
    np.testing.assert_array_equal(gain[: RATE - FADE], 1.0)
    loud = match_boundary_levels(sound, 1e-3 * made, [(1.0, 2.0)], RATE)[0, RATE : 2 * RATE] / (
        1e-3 * made[0, RATE : 2 * RATE]
    )
    assert 20 * np.log10(loud.max()) == pytest.approx(9.0, abs=0.01)
    calls = made * (np.arange(4 * RATE) % 4000 < 1000)
    np.testing.assert_array_equal(
        match_boundary_levels(0.1 * sound, 0.01 * calls, [(1.0, 3.0)], RATE), 0.01 * calls
    )


def test_a_transfer_says_into_what(tiny, sound):
    with pytest.raises(UsageError, match="transfer into what"):
        tiny.transfer(sound, " ", **QUICK)
