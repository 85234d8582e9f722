"""Every verb over every published shape and mini's, tiny, random, in float32 and bf16: lengths, what is kept, seeds."""

from dataclasses import replace
from functools import cache

import numpy as np
import published
import pytest

from latentaudio import AudioLDM
from latentaudio.audio.io import info, read, write
from latentaudio.audio.ops import limit_peak
from latentaudio.cli.main import main
from latentaudio.config import registry
from latentaudio.config.options import Options
from latentaudio.errors import UsageError
from latentaudio.loaders.convert import convert
from latentaudio.loaders.resolve import find

QUICK = {"steps": 2, "candidates": 1}
SECONDS, FADE = 0.6, 0.02
KINDS = {
    "first": lambda home: published.save(
        published.audioldm(), home / "first"
    ),  # its CLAP reads only
    "first-hearing": lambda home: published.rewritten(home, "audioldm-m-full"),
    "second": lambda home: published.save(published.audioldm2(), home / "second"),
    "large": lambda home: published.save(
        published.audioldm2((None, 16, 24, None), depth=2), home / "large"
    ),
    "t5": lambda home: published.rewritten(home, "audioldm_16k_crossattn_t5"),
    "48k": lambda home: published.rewritten(home, "audioldm_48k"),
    "speech": lambda home: published.save(
        published.audioldm2((None, 16), speech=True), home / "speech"
    ),
}
SYSTEMS = [
    *((kind, "clean", precision) for kind in ("mini", *KINDS) for precision in ("fp32", "bf16")),
    *((f"{kind}.ckpt", "original", "fp32") for kind in ("first-hearing", "speech")), ("second", "diffusers", "fp32"),
]  # fmt: skip
MASK = np.zeros((8, 60), np.uint8)
MASK[:, 10:30] = 255  # 0.1 s to 0.3 s, all heights


@pytest.fixture(scope="module")
def loaded(tiny_folder, tmp_path_factory):
    """Systems by kind, fidelity and precision, each made and loaded when it is first asked for."""

    @cache
    def folder(kind):
        return tiny_folder if kind == "mini" else KINDS[kind](tmp_path_factory.mktemp(kind))

    @cache
    def of(kind, fidelity, precision):
        place, like = folder(kind.removesuffix(".ckpt")), None
        if kind.endswith(".ckpt"):
            found, like = find(place), "tiny-published"
            patch.setitem(
                registry.VARIANTS,
                like,
                replace(found.variant, name=like, parameters=1, original="tiny.ckpt"),
            )
            place = place.parent / kind
            convert(found, place, "original")
        made = find(place, like, fidelity)
        quick = replace(
            made.variant, shortest=min(made.variant.shortest, 0.64)
        )  # not 2.56 s, for speed
        return AudioLDM(replace(made, variant=quick), "cpu", precision)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latentaudio.conditioning.g2p.phonemes", lambda text: text)
        yield of


@pytest.fixture(params=SYSTEMS, ids="-".join)
def model(request, loaded):
    return loaded(*request.param)


def sound(model, seconds=SECONDS):
    """A tone and noise [1, N] at a model's rate."""
    t = np.arange(round(seconds * model.sample_rate)) / model.sample_rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * 440 * t) + 0.02 * noise).astype(np.float32)[None]


def said(model):
    """What a model of speech wants besides."""
    return {"transcript": "hello"} if model.config.phonemes else {}


def length(model, seconds, put_back=False):
    """Samples of a clip. The authors' way does not cut what their transposed convolutions made of whole grids."""
    if model.found.fidelity.trim or put_back:
        return round(seconds * model.sample_rate)
    return (5 * model.codec.frames(seconds) + 1) * 32


def one(make, seconds, model, put_back=False):
    """The clip of seed 1, which is as long as asked, in [-1, 1], the same each time and another for another seed."""
    [clip], [again], [other] = make(seed=1), make(seed=1), make(seed=2)
    assert (
        clip.samples.shape == (1, length(model, seconds, put_back))
        and clip.sample_rate == model.sample_rate
    )
    assert np.isfinite(clip.samples).all() and 0.0 < np.abs(clip.samples).max() <= 1.0
    np.testing.assert_array_equal(clip.samples, again.samples)
    assert (clip.samples != other.samples).mean() > 0.1
    return clip.samples


def kept(model, clip, given, spans, at=0):
    """Assert that outside spans (s) and 20 ms beside them a clip is what was given, `at` samples later, and not inside."""
    whole = np.full_like(clip, np.nan)
    whole[:, at : at + given.shape[1]] = given
    t = (np.arange(clip.shape[1]) + 0.5) / model.sample_rate
    free = np.any([(t > first - FADE) & (t < last + FADE) for first, last in spans], axis=0)
    anew = np.any([(t > first) & (t < last) for first, last in spans], axis=0)
    np.testing.assert_array_equal(clip[:, ~free], whole[:, ~free])
    assert (clip[:, anew] != whole[:, anew]).mean() > 0.9


def transferred(model, given):
    clip = one(
        lambda **how: model.transfer(given, "a dog", strength=0.5, **QUICK, **said(model), **how),
        SECONDS,
        model,
    )
    [whole], [left] = (
        model.transfer(given, "a dog", strength=s, seed=1, **QUICK, **said(model))
        for s in (1.0, 0.0)
    )
    assert clip.shape == whole.samples.shape and (clip != whole.samples).mean() > 0.1
    [through] = model.codec.sound(model.codec.latent(given, model.codec.frames(SECONDS)))
    np.testing.assert_array_equal(
        left.samples, limit_peak(through[:, : length(model, SECONDS)], 1.0)
    )


def varied(model, given):
    one(lambda **how: model.vary(given, **QUICK, **how), SECONDS, model)
    if model.config.phonemes:
        [mute], [speaking] = (
            model.vary(given, seed=1, **QUICK, **words) for words in ({}, said(model))
        )
        assert (mute.samples != speaking.samples).mean() > 0.5


def filled(model, given):
    spans = [(0.1, 0.2), (0.35, 0.45)]
    clip = one(
        lambda **how: model.inpaint(given, "rain", times=spans, **QUICK, **said(model), **how),
        SECONDS,
        model,
        True,
    )
    kept(model, clip, given, spans)


def drawn(model, given):
    clip = one(lambda **how: model.inpaint(given, mask=MASK, **QUICK, **how), SECONDS, model, True)
    kept(model, clip, given, [(0.1, 0.3)])


def extended(model, given):
    clip = one(
        lambda **how: model.extend(given, "rain", left=0.2, right=0.1, **QUICK, **how),
        SECONDS + 0.3,
        model,
        True,
    )
    first = round(0.2 * model.sample_rate)
    kept(model, clip, given, [(0.0, 0.2), (0.2 + SECONDS, 0.3 + SECONDS)], first)


def looped(model, given):
    clip = one(
        lambda **how: model.loop(given, "rain", seam=0.2, **QUICK, **how), SECONDS, model, True
    )
    rate, near = model.sample_rate, round(0.01 * model.sample_rate)
    middle = given[
        0, round(0.15 * rate) : -round(0.15 * rate)
    ]  # 0.1 s of seam, 20 ms and 10 ms at each end
    turns = [
        at
        for at in range(round(0.15 * rate) - near, round(0.15 * rate) + near + 1)
        if clip[0, at] == middle[0]
    ]
    assert any(np.array_equal(clip[0, at : at + len(middle)], middle) for at in turns)


def changed(model, clip, given):
    """How much of what changed lies at each frequency (Hz)."""
    return np.abs(np.fft.rfft(clip[0] - given[0])), np.fft.rfftfreq(
        clip.shape[1], 1 / model.sample_rate
    )


def banded(model, given):
    [clip] = model.inpaint(given, bands=[(1500.0, 4000.0)], seed=1, **QUICK)
    level, hertz = changed(model, clip.samples, given)
    assert level[(hertz < 1500) | (hertz > 4000)].max() < 1e-3 * level.max()


def raised(model, given):
    clip = one(
        lambda **how: model.upsample(given, "rain", cutoff=3000.0, **QUICK, **how),
        SECONDS,
        model,
        True,
    )
    level, hertz = changed(model, clip, given)
    assert level[hertz < 3000].max() < 1e-3 * level.max()


@pytest.mark.parametrize("verb", [transferred, varied, filled, drawn, extended, looped])
def test_verbs_over_a_sound(model, verb):
    verb(model, sound(model))


@pytest.mark.parametrize("verb", [banded, raised])
def test_outside_bands_a_spectrum_stays(model, verb, monkeypatch):
    loud = model.codec.sound  # random vocoders shout; turned down nothing is cut off
    monkeypatch.setattr(model.codec, "sound", lambda z: [0.2 * wave for wave in loud(z)])
    verb(model, sound(model))


def test_generating(model):
    one(
        lambda **how: model.generate("a dog", seconds=SECONDS, **QUICK, **said(model), **how),
        SECONDS,
        model,
    )


def test_scores_and_sounds_as_prompts(model):
    cues = [{"text": "a dog"}, {"at": 0.3, "text": "rain"}]
    asks = {
        "cues": lambda **how: model.generate(
            cues=cues, crossfade=0.2, seconds=SECONDS, **QUICK, **how
        ),
        "clap": lambda **how: model.generate(
            "a dog", sound=sound(model), by="clap", weight=0.5, **QUICK, **how
        ),
        "loa": lambda **how: model.generate(sound=sound(model), by="loa", **QUICK, **how),
    }
    if not model.config.phonemes:
        [clip] = model.morph("a dog", "rain", seconds=SECONDS, seed=1, **QUICK)
        assert clip.samples.shape == (1, length(model, SECONDS))
    problems = {}
    if model.config.phonemes:
        problems = dict.fromkeys(
            asks, "speaks, and hears neither sounds nor scores; choose another model"
        )
    else:
        if model.config.audiomae is None:
            problems["loa"] = (
                "has no AudioMAE, by which a sound's language of audio is heard; choose clap"
            )
        hears = model.config.ranks and (
            model.config.unet.film is not None or model.config.translator is not None
        )
        if not hears:
            problems["clap"] = "has no CLAP that hears sounds; choose another model"
    for name, make in asks.items():
        if name in problems:
            with pytest.raises(UsageError, match=problems[name]) as told:
                make(seed=1)
            assert "\n" not in str(told.value)
        else:
            one(make, SECONDS, model)


def test_edits_in_a_batch(model, monkeypatch):
    given, asked = sound(model), {**QUICK, "count": 3, "seed": 1, "times": [(0.1, 0.3)]}
    monkeypatch.setattr(model, "batch", 2)
    calls, predict = [], model.hearing.voices
    monkeypatch.setattr(
        model.hearing,
        "voices",
        lambda batches, *more: (calls.extend(map(len, batches)), predict(batches, *more))[1],
    )
    clips = model.inpaint(given, "rain", **asked, **said(model))
    assert calls == [2, 1] and [clip.seed for clip in clips] == [1, 2, 3]
    for clip in clips:
        kept(model, clip.samples, given, [(0.1, 0.3)])
    assert len({clip.samples.tobytes() for clip in clips}) == 3
    alone = model.inpaint(given, "rain", **{**asked, "count": 1, "seed": 3}, **said(model))[0]
    np.testing.assert_array_equal(
        alone.samples, clips[2].samples
    )  # it is the one that had a batch of its own
    if model.dtype is None:
        model.batch = 1
        [first] = model.inpaint(given, "rain", **{**asked, "count": 1}, **said(model))
        assert np.abs(first.samples - clips[0].samples).max() < 1e-3


def test_stereo_of_every_kind(model):
    [clip] = model.generate("a dog", seconds=SECONDS, seed=1, stereo=0.5, **QUICK, **said(model))
    assert clip.samples.shape == (2, length(model, SECONDS))
    assert (clip.samples[0] != clip.samples[1]).mean() > 0.5


def test_the_command_line_edits_speech(loaded, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "latentaudio.cli.generate._check_speech", lambda model: None
    )  # the extra need not be installed
    model, given = loaded("speech", "clean", "fp32"), str(tmp_path / "given.wav")
    write(given, sound(model)[0], model.sample_rate)
    how = [
        given,
        "--model",
        str(model.found.folder),
        "--steps",
        "2",
        "--seed",
        "1",
        "--precision",
        "fp32",
        "--quiet",
    ]
    for name, words in (("mute", []), ("speaking", ["--transcript", "hello"])):
        assert (
            main(
                ["inpaint", *how, "--time", "0.1:0.3", *words, "-o", str(tmp_path / f"{name}.wav")]
            )
            == 0
        ), capsys.readouterr().err
    clips = [read(tmp_path / f"{name}.wav", model.sample_rate)[0] for name in ("mute", "speaking")]
    assert (clips[0] != clips[1]).any()
    assert Options.from_tags(info(tmp_path / "speaking.wav")["tags"]).transcript == "hello"
