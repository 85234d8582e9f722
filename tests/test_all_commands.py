"""Every command on tiny models of every published shape and of mini, with random weights.

Checked are lengths, parts of the source that must not change, and seeds, in float32 and bf16.
"""

import importlib.machinery
import sys
import types
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
from latentaudio.config.options import GenerationOptions
from latentaudio.errors import UsageError
from latentaudio.loaders.convert import convert
from latentaudio.loaders.resolve import resolve_model

FEW_STEPS = {"steps": 2, "candidates": 1}
DURATION = 0.6  # s
CROSSFADE = 0.02  # s, beside a regenerated part
MIN_DURATION = 0.64  # s; shorter than that of the published models, for speed
LARGE_CONTEXTS = (None, 16, 24, None)


def write_audioldm1(folder):
    """AudioLDM 1, whose CLAP has no audio encoder."""
    return published.save(published.audioldm(), folder / "audioldm1")


def write_audioldm1_ranking(folder):
    """AudioLDM 1 with the audio encoder of CLAP."""
    return published.write_unpublished(folder, "audioldm-m-full")


def write_audioldm2(folder):
    return published.save(published.audioldm2(), folder / "audioldm2")


def write_audioldm2_large(folder):
    return published.save(published.audioldm2(LARGE_CONTEXTS, depth=2), folder / "large")


def write_t5(folder):
    return published.write_unpublished(folder, "audioldm_16k_crossattn_t5")


def write_48k(folder):
    return published.write_unpublished(folder, "audioldm_48k")


def write_speech(folder):
    return published.save(published.audioldm2((None, 16), speech=True), folder / "speech")


WRITERS = {
    "audioldm1": write_audioldm1,
    "audioldm1-ranking": write_audioldm1_ranking,
    "audioldm2": write_audioldm2,
    "audioldm2-large": write_audioldm2_large,
    "t5": write_t5,
    "48k": write_48k,
    "speech": write_speech,
}
CLEAN_MODELS = [
    (name, "clean", precision) for name in ("mini", *WRITERS) for precision in ("fp32", "bf16")
]
REFERENCES = [
    ("audioldm1-ranking.ckpt", "original", "fp32"),
    ("speech.ckpt", "original", "fp32"),
    ("audioldm2", "diffusers", "fp32"),
]
MODELS = [*CLEAN_MODELS, *REFERENCES]
"""(name, reference, precision); a name that ends in .ckpt is a checkpoint of the authors."""


def on_every_model(kinds):
    """Pairs of a model and a kind of test: every kind on every model.

    A model but mini, which has both precisions, takes them in turns, and so does every kind.
    """
    pairs = []
    for row, kind in enumerate(kinds):
        for index, model in enumerate(CLEAN_MODELS):
            column, place = divmod(index, 2)
            if model[0] == "mini" or (row + column) % 2 == place:
                pairs.append((model, kind))
        pairs += [(model, kind) for model in REFERENCES]
    return [pytest.param(model, kind, id=f"{'-'.join(model)}-{kind}") for model, kind in pairs]


@pytest.fixture(scope="module")
def load_model(tiny_folder, tmp_path_factory):
    """Load a model by name, reference and precision; each is written and loaded once."""

    @cache
    def write_folder(name):
        return tiny_folder if name == "mini" else WRITERS[name](tmp_path_factory.mktemp(name))

    @cache
    def load(name, reference, precision):
        path = write_folder(name.removesuffix(".ckpt"))
        architecture = None
        if name.endswith(".ckpt"):
            source = resolve_model(path)
            architecture = "tiny-published"
            spec = replace(
                source.spec,
                name=architecture,
                unet_parameters=1,
                original_checkpoint="tiny.ckpt",
            )
            patch.setitem(registry.MODELS, architecture, spec)
            path = path.parent / name
            convert(source, path, "original")
        source = resolve_model(path, architecture, reference)
        min_duration = min(source.spec.min_duration, MIN_DURATION)
        spec = replace(source.spec, min_duration=min_duration)
        return AudioLDM(replace(source, spec=spec), "cpu", precision)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latentaudio.conditioning.g2p.phonemize", lambda text: text)
        yield load


@pytest.fixture(params=MODELS, ids="-".join)
def model(request, load_model):
    return load_model(*request.param)


def make_source(model):
    """Return a tone with noise [1, N] at the model's rate."""
    t = np.arange(round(DURATION * model.sample_rate)) / model.sample_rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * 440 * t) + 0.02 * noise).astype(np.float32)[None]


def speech_options(model):
    """Return what a speech model needs besides the prompt."""
    return {"transcript": "hello"} if model.config.phonemes else {}


def num_samples(model, duration, blended=False):
    """Return the length of a clip.

    The authors' code keeps the vocoder's extra samples, unless the clip is blended with its source.
    """
    if model.source.reference.trim_vocoder_tail or blended:
        return round(duration * model.sample_rate)
    return (5 * model.codec.num_frames(duration) + 1) * 32


def check_clip(run, duration, model, blended=False):
    """Return the clip of seed 1 after checks of its length, range and seeds.

    `run(seed=...)` returns clips. The same seed must give the same samples, another seed others.
    """
    [clip] = run(seed=1)
    [repeated] = run(seed=1)
    [other] = run(seed=2)
    assert clip.samples.shape == (1, num_samples(model, duration, blended))
    assert clip.sample_rate == model.sample_rate
    assert np.isfinite(clip.samples).all() and 0.0 < np.abs(clip.samples).max() <= 1.0
    np.testing.assert_array_equal(clip.samples, repeated.samples)
    assert (clip.samples != other.samples).mean() > 0.1
    return clip.samples


def check_unchanged(model, clip, source, time_ranges, offset=0):
    """Check that a clip is its source outside time ranges (s) and 20 ms beside them, only there.

    The source begins at sample `offset` of the clip.
    """
    expected = np.full_like(clip, np.nan)
    expected[:, offset : offset + source.shape[1]] = source
    t = (np.arange(clip.shape[1]) + 0.5) / model.sample_rate
    may_change = np.zeros(len(t), bool)
    must_change = np.zeros(len(t), bool)
    for start, stop in time_ranges:
        may_change |= (t > start - CROSSFADE) & (t < stop + CROSSFADE)
        must_change |= (t > start) & (t < stop)
    np.testing.assert_array_equal(clip[:, ~may_change], expected[:, ~may_change])
    assert (clip[:, must_change] != expected[:, must_change]).mean() > 0.9


def check_transfer(model, source):
    options = {**FEW_STEPS, **speech_options(model)}

    def transfer(strength=0.5, seed=1):
        return model.transfer(source, "a dog", strength=strength, seed=seed, **options)

    clip = check_clip(transfer, DURATION, model)
    [full] = transfer(strength=1.0)
    [none] = transfer(strength=0.0)
    assert clip.shape == full.samples.shape and (clip != full.samples).mean() > 0.1
    gain = model.codec.source_gain(source)
    latent = model.codec.encode(gain * source, model.codec.num_frames(DURATION))
    [decoded] = model.codec.decode(latent)
    expected = limit_peak(decoded[:, : num_samples(model, DURATION)] / gain, 1.0)
    np.testing.assert_array_equal(none.samples, expected)


def check_vary(model, source):
    def vary(seed=1, **options):
        return model.vary(source, seed=seed, **FEW_STEPS, **options)

    check_clip(vary, DURATION, model)
    if model.config.phonemes:
        [silent] = vary()
        [speaking] = vary(**speech_options(model))
        assert (silent.samples != speaking.samples).mean() > 0.5


def check_inpaint_time(model, source):
    time_ranges = [(0.1, 0.2), (0.35, 0.45)]
    options = {**FEW_STEPS, **speech_options(model)}

    def inpaint(seed):
        return model.inpaint(source, "rain", time_ranges=time_ranges, seed=seed, **options)

    clip = check_clip(inpaint, DURATION, model, blended=True)
    check_unchanged(model, clip, source, time_ranges)


def check_inpaint_mask(model, source):
    mask = np.zeros((8, 60), np.uint8)
    mask[:, 10:30] = 255  # 0.1 s to 0.3 s, all frequencies

    def inpaint(seed):
        return model.inpaint(source, mask=mask, seed=seed, **FEW_STEPS)

    clip = check_clip(inpaint, DURATION, model, blended=True)
    check_unchanged(model, clip, source, [(0.1, 0.3)])


def check_extend(model, source):
    def extend(seed):
        return model.extend(source, "rain", before=0.2, after=0.1, seed=seed, **FEW_STEPS)

    clip = check_clip(extend, DURATION + 0.3, model, blended=True)
    new_parts = [(0.0, 0.2), (0.2 + DURATION, 0.3 + DURATION)]
    check_unchanged(model, clip, source, new_parts, offset=round(0.2 * model.sample_rate))


def check_loop(model, source):
    def loop(seed):
        return model.loop(source, "rain", loop_seam=0.2, seed=seed, **FEW_STEPS)

    clip = check_clip(loop, DURATION, model, blended=True)[0]
    # 0.1 s of the seam, 20 ms of crossfade and 10 ms of tolerance at each end.
    edge = round(0.15 * model.sample_rate)
    tolerance = round(0.01 * model.sample_rate)
    middle = source[0, edge:-edge]
    matches = []
    for start in range(edge - tolerance, edge + tolerance + 1):
        matches.append(np.array_equal(clip[start : start + len(middle)], middle))
    assert any(matches)


EDIT_CHECKS = {
    "transfer": check_transfer,
    "vary": check_vary,
    "inpaint_time": check_inpaint_time,
    "inpaint_mask": check_inpaint_mask,
    "extend": check_extend,
    "loop": check_loop,
}


@pytest.mark.parametrize(("model", "edit"), on_every_model(EDIT_CHECKS), indirect=["model"])
def test_edits_change_only_their_part_of_the_source(model, edit):
    EDIT_CHECKS[edit](model, make_source(model))


@pytest.fixture
def quiet_model(model, monkeypatch):
    """A model whose vocoder does not clip; with random weights it is very loud."""
    decode = model.codec.decode
    monkeypatch.setattr(model.codec, "decode", lambda z: [0.04 * wave for wave in decode(z)])
    return model


def spectral_change(model, clip, source):
    """Return the change of the spectrum, and its frequencies in Hz."""
    change = np.abs(np.fft.rfft(clip[0] - source[0]))
    return change, np.fft.rfftfreq(clip.shape[1], 1 / model.sample_rate)


def test_inpainting_a_band_keeps_the_spectrum_outside_it(quiet_model):
    source = make_source(quiet_model)
    band = [(1500.0, 4000.0)]
    [clip] = quiet_model.inpaint(source, frequency_ranges=band, seed=1, **FEW_STEPS)
    change, hertz = spectral_change(quiet_model, clip.samples, source)
    assert change[(hertz < 1500) | (hertz > 4000)].max() < 1e-3 * change.max()


def test_super_resolution_keeps_the_spectrum_below_the_cutoff(quiet_model):
    source = make_source(quiet_model)

    def super_resolve(seed):
        return quiet_model.super_resolve(source, "rain", cutoff_hz=3000.0, seed=seed, **FEW_STEPS)

    clip = check_clip(super_resolve, DURATION, quiet_model, blended=True)
    change, hertz = spectral_change(quiet_model, clip, source)
    assert change[hertz < 3000].max() < 1e-3 * change.max()


def test_a_prompt_gives_a_clip_of_its_duration_and_seed(model):
    options = {"duration": DURATION, **FEW_STEPS, **speech_options(model)}
    check_clip(lambda seed: model.generate("a dog", seed=seed, **options), DURATION, model)


def conditioning_errors(model):
    """Return the error message of each kind of conditioning that a model lacks."""
    if model.config.phonemes:
        message = "is a speech model, without timelines and audio prompts; choose another model"
        return dict.fromkeys(("timeline", "clap", "loa"), message)
    errors = {}
    if model.config.audiomae is None:
        errors["loa"] = "has no AudioMAE, which audio prompts of mode loa need; choose mode clap"
    reads_clap = model.config.unet.film_dim is not None or model.config.translator is not None
    if not (model.config.can_rank and reads_clap):
        errors["clap"] = "has no CLAP audio encoder; choose another model"
    return errors


def conditioned_calls(model):
    """Return a call for each kind of conditioning besides one prompt."""
    source = make_source(model)
    cues = [{"text": "a dog"}, {"start": 0.3, "text": "rain"}]

    def timeline(seed):
        return model.generate(
            timeline=cues, crossfade=0.2, duration=DURATION, seed=seed, **FEW_STEPS
        )

    def clap(seed):
        return model.generate(
            "a dog",
            audio_prompt=source,
            audio_prompt_mode="clap",
            audio_prompt_weight=0.5,
            seed=seed,
            **FEW_STEPS,
        )

    def loa(seed):
        return model.generate(audio_prompt=source, audio_prompt_mode="loa", seed=seed, **FEW_STEPS)

    return {"timeline": timeline, "clap": clap, "loa": loa}


@pytest.mark.parametrize(
    ("model", "kind"), on_every_model(["timeline", "clap", "loa"]), indirect=["model"]
)
def test_timelines_and_audio_prompts_give_clips_or_an_error_of_one_line(model, kind):
    run = conditioned_calls(model)[kind]
    message = conditioning_errors(model).get(kind)
    if message is None:
        check_clip(run, DURATION, model)
        return
    with pytest.raises(UsageError, match=message) as raised:
        run(seed=1)
    assert "\n" not in str(raised.value)


def test_a_morph_has_the_requested_duration(model):
    if model.config.phonemes:
        pytest.skip("speech models have no timelines")
    [clip] = model.morph("a dog", "rain", duration=DURATION, seed=1, **FEW_STEPS)
    assert clip.samples.shape == (1, num_samples(model, DURATION))


def test_edits_in_a_batch_are_those_of_their_seeds(model, monkeypatch):
    source = make_source(model)
    monkeypatch.setattr(model, "batch_size", 2)
    batch_sizes = []

    def inpaint(num_waveforms, seed, **callbacks):
        return model.inpaint(
            source,
            "rain",
            time_ranges=[(0.1, 0.3)],
            num_waveforms=num_waveforms,
            seed=seed,
            **FEW_STEPS,
            **speech_options(model),
            **callbacks,
        )

    clips = inpaint(3, 1, on_step=lambda step: batch_sizes.append(len(step.z)))
    assert set(batch_sizes[:-1]) <= {1, 2} and batch_sizes == sorted(batch_sizes, reverse=True)
    assert batch_sizes.count(2) == batch_sizes.count(1) > 0
    assert [clip.seed for clip in clips] == [1, 2, 3]
    for clip in clips:
        check_unchanged(model, clip.samples, source, [(0.1, 0.3)])
    assert len({clip.samples.tobytes() for clip in clips}) == 3
    # The third clip had a batch of its own.
    [third] = inpaint(1, 3)
    np.testing.assert_array_equal(third.samples, clips[2].samples)
    if model.dtype is None:  # float32
        model.batch_size = 1
        [first] = inpaint(1, 1)
        assert np.abs(first.samples - clips[0].samples).max() < 1e-3


def test_stereo_has_two_different_channels(model):
    options = {**FEW_STEPS, **speech_options(model)}
    [clip] = model.generate("a dog", duration=DURATION, seed=1, stereo_width=0.5, **options)
    assert clip.samples.shape == (2, num_samples(model, DURATION))
    assert (clip.samples[0] != clip.samples[1]).mean() > 0.5


@pytest.fixture
def espeak_installed(monkeypatch):
    """Make the speech extra look installed; phonemes are replaced in these tests."""
    module = types.ModuleType("espeakng_loader")
    module.__spec__ = importlib.machinery.ModuleSpec("espeakng_loader", None)
    monkeypatch.setitem(sys.modules, "espeakng_loader", module)


@pytest.mark.usefixtures("espeak_installed")
def test_the_command_line_edits_speech(load_model, tmp_path, capsys):
    model = load_model("speech", "clean", "fp32")
    source = tmp_path / "source.wav"
    write(source, make_source(model)[0], model.sample_rate)
    command = ["inpaint", str(source), "--time", "0.1:0.3", "--steps", "2", "--seed", "1"]
    command += ["--model", str(model.source.path), "--precision", "fp32", "--quiet"]
    silent = tmp_path / "silent.wav"
    speaking = tmp_path / "speaking.wav"
    assert main([*command, "-o", str(silent)]) == 0, capsys.readouterr().err
    words = ["--transcript", "hello"]
    assert main([*command, *words, "-o", str(speaking)]) == 0, capsys.readouterr().err
    without_words, _ = read(silent, model.sample_rate)
    with_words, _ = read(speaking, model.sample_rate)
    assert (without_words != with_words).any()
    assert GenerationOptions.from_tags(info(speaking)["tags"]).transcript == "hello"
