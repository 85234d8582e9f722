"""A prompt becomes sound: lengths, seeds, batches, order of rooms and refusals, on a model of random weights."""

import inspect
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from latentaudio import AudioLDM, load
from latentaudio.audio.io import Audio
from latentaudio.audio.mel import vae_mel
from latentaudio.audio.ops import fade_edges, limit_peak
from latentaudio.conditioning import encode, encode_prompts, encode_unconditional
from latentaudio.config.options import GenerationOptions, GenerationOverrides
from latentaudio.config.presets import PRESETS
from latentaudio.errors import GenerationError, UsageError, WeightsError
from latentaudio.generation.denoise import PreparedUNet
from latentaudio.loaders.component_store import ComponentStore
from latentaudio.loaders.resolve import ModelSource, resolve_model
from latentaudio.types import Latent, Step

QUICK = {"duration": 0.5, "steps": 2, "seed": 7}


@pytest.mark.parametrize("seconds", [0.5, 0.77777, 1.28, 2.05])
def test_length_is_exact_and_the_ends_are_silent(tiny, seconds):
    [clip] = tiny.generate("a dog", duration=seconds, steps=1, seed=1)
    assert clip.samples.shape == (1, round(seconds * 16000))
    assert clip.samples.dtype == np.float32
    assert clip.sample_rate == 16000
    assert abs(clip.samples[0, 0]) < 1e-6
    assert abs(clip.samples[0, -1]) < 1e-3
    assert 1e-3 < np.abs(clip.samples).max() <= 1.0


def test_same_seed_same_bytes_other_seed_other_sound(tiny, tiny_folder, tmp_path):
    [one] = tiny.generate("a dog", **QUICK)
    [two] = load(tiny_folder, "cpu", "fp32").generate("a dog", **QUICK)
    assert one.save(tmp_path / "1.flac").read_bytes() == two.save(tmp_path / "2.flac").read_bytes()
    assert not np.allclose(
        one.samples, tiny.generate("a dog", **{**QUICK, "seed": 8})[0].samples, atol=1e-3
    )


def test_the_prompt_and_the_negative_are_heard(tiny):
    [plain] = tiny.generate("a dog", **QUICK)
    [other] = tiny.generate("rain on a door", **QUICK)
    [without] = tiny.generate("a dog", negative_prompt="a bell", **QUICK)
    assert np.abs(plain.samples - other.samples).max() > 1e-3
    assert np.abs(plain.samples - without.samples).max() > 1e-3


@pytest.mark.parametrize(
    "sampler", [{"sampler": "dpm++"}, {"sampler": "ddim", "eta": 1.0}], ids=["dpm++", "ddim"]
)
def test_item_k_of_a_batch_is_the_item_alone(tiny_folder, sampler):
    model = load(tiny_folder, "cpu", "fp32")
    prompts, wishes = (
        ["a dog", "rain on a door, far away and then very near", "bell"],
        {"duration": 0.5, "steps": 2, **sampler},
    )
    together: list[Step] = []
    model.batch_size = 3
    model.generate(prompts, seed=40, on_step=together.append, **wishes)
    model.batch_size = 1
    clips = model.generate(prompts, seed=40, **wishes)
    for k, prompt in enumerate(prompts):
        steps: list[Step] = []
        [alone] = model.generate(prompt, seed=40 + k, on_step=steps.append, **wishes)
        torch.testing.assert_close(together[-1].z[k], steps[-1].z[0], atol=1e-5, rtol=0)
        np.testing.assert_array_equal(clips[k].samples, alone.samples)
        assert clips[k].seed == 40 + k


def test_prompts_of_one_request_come_in_order_and_each_clip_says_how_to_make_it_again(tiny):
    clips = tiny.generate(["a dog", "bell"], num_waveforms=2, **QUICK)
    assert [(clip.options.prompt, clip.seed) for clip in clips] == [
        ("a dog", 7),
        ("a dog", 8),
        ("bell", 9),
        ("bell", 10),
    ]
    [again] = tiny.stream([clips[2].options])
    np.testing.assert_array_equal(again.samples, clips[2].samples)
    assert again.options == clips[2].options


def test_requests_may_differ_in_everything(tiny):
    dog = GenerationOptions(prompt="a dog", duration=0.5, steps=1)
    bell = GenerationOptions(prompt="bell", duration=1.5, steps=2, sampler="ddim", guidance_scale=1)
    first, second = tiny.stream([dog, bell])
    assert (first.duration, second.duration) == (0.5, 1.5)
    assert (second.options.sampler, second.options.guidance_scale) == ("ddim", 1.0)
    assert first.seed >= 0


def test_the_best_candidate_wins_and_can_be_made_alone(tiny):
    [best] = tiny.generate("a dog", candidates=3, **QUICK)
    tries = tiny.generate("a dog", num_waveforms=3, **QUICK)
    seen = tiny.similarity([clip.samples for clip in tries], ["a dog"])[:, 0]
    assert len(set(seen.tolist())) == 3
    winner = tries[int(np.argmax(seen))]
    assert best.score == pytest.approx(max(seen), abs=1e-5)
    assert best.options == winner.options
    np.testing.assert_array_equal(best.samples, winner.samples)


def test_defaults_come_from_the_models_row(tiny, tiny_folder):
    asked = tiny.resolve_requests(["a dog"], seed=3)[0].options
    assert (asked.duration, asked.steps, asked.sampler, asked.candidates) == (5.12, 25, "dpm++", 1)
    assert asked.model == str(tiny_folder)


def test_steps_and_progress_are_told(tiny):
    steps, told = [], []
    tiny.generate(
        "a dog",
        num_waveforms=2,
        on_step=steps.append,
        progress=lambda done, total: told.append((done, total)),
        **QUICK,
    )
    assert [(s.index, s.total) for s in steps] == [(0, 2), (1, 2)] * 2
    assert steps[0].z.shape == (1, 4, 16, 8)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_step_can_cancel(tiny):
    def stop(step):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        tiny.generate("a dog", on_step=stop, **QUICK)


@torch.no_grad()
def test_one_step_agrees_with_the_components_called_by_hand(tiny):
    """One DPM-Solver++ step lands on x0 = alpha z - sigma v (arXiv 2202.00512), with v guided by eq. 6 of 2207.12598."""
    steps: list[Step] = []
    [clip] = tiny.generate(
        "a dog", duration=1.28, steps=1, seed=5, guidance_scale=3.0, apg_eta=1.0, on_step=steps.append
    )
    z = torch.randn(4, 16, 8, generator=torch.Generator().manual_seed(5))[None]
    heard, null = encode_prompts(tiny.text_encoders, ["a dog"], 1, 16), encode_unconditional(tiny.text_encoders, 1, 1, 16)
    t = torch.tensor([999])
    without, with_ = tiny.unet(z, t, null), tiny.unet(z, t, heard)
    betas = torch.linspace(0.0015**0.5, 0.0195**0.5, 1000, dtype=torch.float64) ** 2
    alpha = float((1 - betas).prod().sqrt())
    x0 = alpha * z - (1 - alpha**2) ** 0.5 * (without + 3.0 * (with_ - without))
    torch.testing.assert_close(steps[0].z, x0, atol=1e-4, rtol=1e-4)
    wave = tiny.vocoder(tiny.vae.decode(Latent(steps[0].z)))[0, :, :20480].numpy()
    np.testing.assert_allclose(clip.samples, fade_edges(limit_peak(wave), 16000), atol=1e-6)


@pytest.mark.parametrize(
    ("seconds", "frames", "tokens"),
    [(0.5, 128, 1), (1.28, 128, 1), (1.29, 144, 2), (5.12, 512, 4), (10.24, 1024, 8)],
)
def test_frames_and_tokens_of_a_length(tiny, seconds, frames, tokens):
    assert tiny.codec.num_frames(seconds) == frames
    assert tiny.conditioner.num_loa_tokens(frames) == tokens


def test_guidance_one_never_asks_for_a_null(tiny, monkeypatch):
    read = []
    monkeypatch.setattr(
        "latentaudio.generation.window_conditioning.encode",
        lambda parts, readings: read.extend(readings) or encode(parts, readings),
    )
    assert tiny.generate("a fresh dog", guidance_scale=1, **QUICK)
    assert [reading.is_unconditional for reading in read] == [False]
    assert tiny.generate("a fresh dog", guidance_scale=2, negative_prompt="an old cat", **QUICK)
    assert [reading.is_unconditional for reading in read] == [False, True]  # what was read is remembered


def test_audioldm1_is_the_same_code(film_folder):
    model = load(film_folder, "cpu", "fp32")
    one, two = model.generate(["a dog", "bell"], **QUICK)
    assert one.samples.shape == (1, 8000)
    assert np.abs(one.samples - two.samples).max() > 1e-3


def test_parts_load_once_and_only_when_needed(tiny_folder, monkeypatch):
    loaded, real = [], ModelSource.load_component
    monkeypatch.setattr(
        ModelSource, "load_component", lambda found, name, *kind: loaded.append(name) or real(found, name, *kind)
    )
    model = load(tiny_folder, "cpu", "fp32")
    assert loaded == []
    model.generate("a dog", **QUICK)
    model.generate("a dog", **QUICK)
    assert sorted(loaded) == ["clap", "latent_prior", "t5", "translator", "unet", "vae", "vocoder"]


@pytest.mark.parametrize("broken", [torch.nan, 0.0])
def test_silence_and_nan_are_errors(tiny_folder, broken):
    model = load(tiny_folder, "cpu", "fp32")
    model.components._loaded["vocoder"] = lambda mel: torch.full(
        (len(mel), 1, mel.shape[2] * 160), broken
    )
    with pytest.raises(GenerationError, match="another seed"):
        model.generate("a dog", **QUICK)


def test_a_silent_candidate_loses_and_takes_no_other_with_it(tiny_folder):
    model = load(tiny_folder, "cpu", "fp32")
    real, heard = model.vocoder, []

    def first_is_silent(mel):
        heard.append(len(mel))
        return real(mel) * float(len(heard) > 1)

    model.components._loaded["vocoder"] = first_is_silent
    [clip] = model.generate("a dog", **{**QUICK, "candidates": 3, "seed": 5})
    assert len(heard) == 3
    assert clip.seed in (6, 7) and np.isfinite(clip.score)


@torch.no_grad()
def test_resynthesis_is_the_vae_and_the_vocoder(tiny):
    sound = (0.2 * np.sin(np.arange(5000) / 7)).astype(np.float32)
    again = tiny.reconstruct(sound)
    assert again.shape == (1, 5000)
    mel = vae_mel(
        torch.from_numpy(np.pad(sound, (0, 120)))[None], tiny.config.mel
    )  # 5120 = 4 cells of 8 frames of 160 samples
    wave = tiny.vocoder(tiny.vae.decoder(tiny.vae.post_quant_conv(tiny.vae.encode(mel).mean)))[
        0, :, :5000
    ].numpy()
    np.testing.assert_allclose(again, limit_peak(wave), atol=1e-4)


def test_long_clips_are_made_of_windows_of_what_was_trained(tiny_folder, monkeypatch):
    model, seen = load(tiny_folder, "cpu", "fp32"), []
    real = PreparedUNet.__call__

    def recorded(network, z, t, conditioning):
        seen.append(z.shape[2])
        return real(network, z, t, conditioning)

    monkeypatch.setattr(PreparedUNet, "__call__", recorded)
    with_windows = {"steps": 1, "seed": 3, "guidance_scale": 1.0, "cache_interval": 2}
    [clip] = model.generate("a dog", duration=20.0, **with_windows)
    assert clip.samples.shape == (1, 320000) and seen == [128, 128, 128]  # 10.24 s each
    seen.clear()
    model.generate("a dog", duration=40.0, **with_windows)
    assert len(seen) == 5  # linear in time
    parts = [clip.samples[0, k * 40000 : (k + 1) * 40000].std() for k in range(8)]
    assert min(parts) > 0.2 * max(parts)


def test_other_ways_of_computing_know_no_windows(tiny_folder):
    with pytest.raises(
        UsageError, match=r"duration = 11 s is longer than mini can generate; the limit is 10\.24 s"
    ):
        load(tiny_folder, "cpu", "fp32", reference="original").generate("a dog", duration=11)


@pytest.mark.parametrize("preset", ["paper", "quality", "balanced", "fast", "draft"])
def test_a_preset_stands_where_nothing_is_said(tiny, preset):
    [request] = tiny.resolve_requests(["a dog"], preset=preset)
    for name, value in PRESETS[preset].resolve(tiny.config).items():
        assert getattr(request.options, name) == value
    [other] = tiny.resolve_requests(["a dog"], preset=preset, steps=3, guidance_stop=0.5)
    assert (other.options.steps, other.options.guidance_stop) == (3, 0.5)
    assert other.options.sampler == request.options.sampler


def test_published_ways_of_computing_take_the_published_steps(tiny_folder):
    for fidelity, preset in (("clean", "quality"), ("original", "paper"), ("diffusers", "paper")):
        model = load(tiny_folder, "cpu", "fp32", reference=fidelity)
        [request] = model.resolve_requests(["a dog"])
        assert request.options.preset == preset


def test_parts_take_turns_where_memory_is_dear(tiny_folder, monkeypatch):
    alive, most = [], []
    real = ModelSource.load_component
    monkeypatch.setattr(
        ModelSource, "load_component", lambda found, name, *kind: alive.append(name) or real(found, name, *kind)
    )
    found = resolve_model(tiny_folder)
    assert not AudioLDM(found, "cpu", "fp32", low_memory=True).components.low_memory  # a small model has room
    found = replace(found, spec=replace(found.spec, unet_parameters=1))
    lean = AudioLDM(found, "cpu", "fp32", low_memory=True)
    getitem = ComponentStore.__getitem__

    def spied(parts, name):
        module = getitem(parts, name)
        most.append(frozenset(parts._loaded))
        return module

    monkeypatch.setattr(ComponentStore, "__getitem__", spied)
    clips = lean.generate(["a dog", "a bell"], **QUICK)
    assert alive == [
        "clap",
        "t5",
        "latent_prior",
        "translator",
        "unet",
        "vae",
        "vocoder",
    ]  # each once for both clips
    for loaded in most:
        assert len(loaded) == 1 or loaded <= {"unet", "vae", "vocoder"}
    assert (
        frozenset({"vae", "vocoder"}) in most
    )  # the UNet had gone before the last clip was decoded
    kept = AudioLDM(resolve_model(tiny_folder), "cpu", "fp32").generate(["a dog", "a bell"], **QUICK)
    for one, other in zip(clips, kept, strict=True):
        assert np.array_equal(one.samples, other.samples)


@pytest.mark.parametrize(
    "problem", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_one_line(tiny_folder, monkeypatch, problem):
    def full(*_):
        raise problem

    model = load(tiny_folder, "cpu", "fp32")
    monkeypatch.setattr(type(model.codec), "decode", full)
    with pytest.raises(GenerationError, match="memory does not suffice; use bf16"):
        model.generate("a dog", **QUICK)
    problem = RuntimeError("another")
    with pytest.raises(RuntimeError, match="another"):
        model.generate("a dog", **QUICK)


def test_what_was_read_by_another_part_is_read_again(tiny_folder):
    model = load(tiny_folder, "cpu", "fp32")
    [before] = model.generate("a dog", **QUICK)
    other = model.source.load_component("t5").requires_grad_(False)
    for weight in other.parameters():
        weight.mul_(1.5)
    model.components.replace("t5", other)
    [after] = model.generate("a dog", **QUICK)
    assert np.abs(before.samples - after.samples).max() > 1e-4


def test_what_is_put_in_stays_through_moves_and_releases(tiny_folder):
    model = load(tiny_folder, "cpu", "fp32")
    own = model.source.load_component("unet")
    model.components.replace("unet", own)
    model.components.release("unet", "vae")
    model.to("cpu", "bf16")
    assert model.unet is own and {p.dtype for p in own.parameters()} == {torch.bfloat16}
    out = model.components.unpacked("vae")
    model.to("cpu", "fp32")
    assert (
        model.vae is out
        and model.unet is own
        and {p.dtype for p in own.parameters()} == {torch.float32}
    )


def test_windows_of_a_long_clip_keep_their_own_depths(tiny_folder):
    walks = {}
    for reuse in (1, 2):
        walks[reuse] = []
        asked = {
            "steps": 3,
            "seed": 3,
            "guidance_scale": 1.0,
            "cache_interval": reuse,
            "on_step": walks[reuse].append,
        }
        load(tiny_folder, "cpu", "fp32").generate("a dog", duration=20.0, **asked)
    torch.testing.assert_close(walks[1][0].z, walks[2][0].z, atol=1e-5, rtol=1e-5)
    assert (walks[1][1].z - walks[2][1].z).abs().max() > 1e-4


def test_bf16_computes_nearly_the_same(tiny_folder):
    walks = []
    for kind in ("fp32", "bf16"):
        steps: list[Step] = []
        load(tiny_folder, "cpu", kind).generate("a dog", on_step=steps.append, **QUICK)
        walks.append(steps[-1].z)
    assert 0 < (walks[0] - walks[1]).std() < 0.03 * walks[0].std()


def test_refusals(tiny):
    with pytest.raises(UsageError, match="there is no prompt"):
        tiny.generate([])
    with pytest.raises(UsageError, match="prompt is empty"):
        tiny.generate(["a dog", " "])
    with pytest.raises(
        UsageError, match="has no distilled UNet"
    ):  # raised by the call, not by the first clip
        tiny.stream([GenerationOptions(prompt="a dog", sampler="lcm")])
    with pytest.raises(UsageError, match="no device 'tpu' here"):
        load(tiny.source.path, device="tpu")
    with pytest.raises(UsageError, match="precision 'int4' is not known"):
        load(tiny.source.path, precision="int4")


def test_a_missing_part_is_named(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "half")
    (tmp_path / "half" / "unet.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"has no unet\.safetensors"):
        load(tmp_path / "half").generate("a dog", **QUICK)


def test_overrides_of_generate_are_the_options():
    options = set(GenerationOptions.model_fields) - {"prompt", "model", "edit"}
    assert set(GenerationOverrides.__annotations__) == options
    parameters = inspect.signature(AudioLDM.generate).parameters
    explicit = {name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    audio_prompt = {"audio_prompt", "audio_prompt_mode", "audio_prompt_weight"}
    assert explicit == {"progress", "on_step", *audio_prompt}


@pytest.mark.parametrize("num_prompts", [1, 3])
def test_a_request_is_validated_once(tiny, monkeypatch, num_prompts):
    calls = []
    real = GenerationOptions.__init__

    def counted(self, **values):
        calls.append(values)
        real(self, **values)

    monkeypatch.setattr(GenerationOptions, "__init__", counted)
    tiny.generate(["a dog"] * num_prompts, **QUICK, candidates=2, num_waveforms=2)
    assert len(calls) == num_prompts


def test_clips_know_their_licence(tiny):
    [clip] = tiny.generate("a dog", **QUICK)
    assert isinstance(clip, Audio)
    assert clip.tags["license"] == "Apache-2.0"
    assert clip.tags["prompt"] == "a dog"


def test_callers_keep_their_gradients(tiny):
    """Stepping through a stream leaves the caller's own torch modes alone."""
    for _ in tiny.stream([GenerationOptions(prompt="a dog", **QUICK)], on_step=lambda step: None):
        leaf = torch.ones(1, requires_grad=True)
        (2 * leaf).backward()
        assert leaf.grad is not None
    assert not torch.is_inference_mode_enabled()
