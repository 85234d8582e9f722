"""Generation with a tiny model of random weights: durations, seeds, batches, presets and errors."""

import inspect

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
from latentaudio.errors import GenerationError, UsageError
from latentaudio.generation.denoise import PreparedUNet
from latentaudio.generation.window_conditioning import WindowConditioner
from latentaudio.types import Latent, Step

QUICK = {"duration": 0.5, "steps": 2, "seed": 7}


@pytest.mark.parametrize("duration", [0.5, 0.77777, 1.28, 2.05])
def test_the_length_is_exact_and_the_ends_are_silent(tiny, duration):
    [clip] = tiny.generate("a dog", duration=duration, steps=1, seed=1)
    assert clip.samples.shape == (1, round(duration * 16000))
    assert clip.samples.dtype == np.float32
    assert clip.sample_rate == 16000
    assert abs(clip.samples[0, 0]) < 1e-6
    assert abs(clip.samples[0, -1]) < 1e-3
    assert 1e-3 < np.abs(clip.samples).max() <= 1.0


def test_a_seed_fixes_the_bytes_of_a_file(tiny, tiny_folder, tmp_path):
    [first] = tiny.generate("a dog", **QUICK)
    [second] = load(tiny_folder, "cpu", "fp32").generate("a dog", **QUICK)
    [other] = tiny.generate("a dog", **{**QUICK, "seed": 8})
    first_bytes = first.save(tmp_path / "1.flac").read_bytes()
    assert first_bytes == second.save(tmp_path / "2.flac").read_bytes()
    assert not np.allclose(first.samples, other.samples, atol=1e-3)


def test_prompt_and_negative_prompt_change_the_clip(tiny):
    [plain] = tiny.generate("a dog", **QUICK)
    [other] = tiny.generate("rain on a door", **QUICK)
    [negative] = tiny.generate("a dog", negative_prompt="a bell", **QUICK)
    assert np.abs(plain.samples - other.samples).max() > 1e-3
    assert np.abs(plain.samples - negative.samples).max() > 1e-3


@pytest.mark.parametrize(
    "sampler", [{"sampler": "dpm++"}, {"sampler": "ddim", "eta": 1.0}], ids=["dpm++", "ddim"]
)
def test_an_item_of_a_batch_equals_the_item_alone(tiny_folder, sampler):
    model = load(tiny_folder, "cpu", "fp32")
    prompts = ["a dog", "rain on a door, far away and then very near", "bell"]
    options = {"duration": 0.5, "steps": 2, **sampler}
    batch_steps: list[Step] = []
    model.batch_size = 3
    model.generate(prompts, seed=40, on_step=batch_steps.append, **options)
    model.batch_size = 1
    clips = model.generate(prompts, seed=40, **options)
    for k, prompt in enumerate(prompts):
        steps: list[Step] = []
        [alone] = model.generate(prompt, seed=40 + k, on_step=steps.append, **options)
        torch.testing.assert_close(batch_steps[-1].z[k], steps[-1].z[0], atol=1e-5, rtol=0)
        np.testing.assert_array_equal(clips[k].samples, alone.samples)
        assert clips[k].seed == 40 + k


def test_clips_come_in_order_and_their_options_reproduce_them(tiny):
    clips = tiny.generate(["a dog", "bell"], num_waveforms=2, **QUICK)
    assert [(clip.options.prompt, clip.seed) for clip in clips] == [
        ("a dog", 7),
        ("a dog", 8),
        ("bell", 9),
        ("bell", 10),
    ]
    [again] = tiny.run([clips[2].options])
    np.testing.assert_array_equal(again.samples, clips[2].samples)
    assert again.options == clips[2].options


def test_requests_of_a_stream_may_differ_in_all_options(tiny):
    dog = GenerationOptions(prompt="a dog", duration=0.5, steps=1)
    bell = GenerationOptions(prompt="bell", duration=1.5, steps=2, sampler="ddim", guidance_scale=1)
    first, second = tiny.run([dog, bell])
    assert (first.duration, second.duration) == (0.5, 1.5)
    assert (second.options.sampler, second.options.guidance_scale) == ("ddim", 1.0)
    assert first.seed >= 0


def test_the_best_candidate_equals_a_clip_of_its_seed(tiny):
    [best] = tiny.generate("a dog", candidates=3, normalize="none", **QUICK)
    clips = tiny.generate("a dog", num_waveforms=3, normalize="none", **QUICK)
    scores = tiny.similarity([clip.samples for clip in clips], ["a dog"])[:, 0]
    assert len(set(scores.tolist())) == 3
    expected = clips[int(np.argmax(scores))]
    assert best.score == pytest.approx(max(scores), abs=1e-5)
    assert best.options == expected.options
    np.testing.assert_array_equal(best.samples, expected.samples)


def test_defaults_come_from_the_model_table(tiny, tiny_folder):
    o = tiny.resolve_requests(["a dog"], seed=3)[0].options
    assert (o.duration, o.steps, o.sampler, o.candidates) == (5.12, 25, "dpm++", 1)
    assert o.model == str(tiny_folder)


def test_callbacks_follow_every_step(tiny):
    steps = []
    counts = []
    tiny.generate(
        "a dog",
        num_waveforms=2,
        on_step=steps.append,
        progress=lambda done, total: counts.append((done, total)),
        **QUICK,
    )
    assert [(step.index, step.total) for step in steps] == [(0, 2), (1, 2)] * 2
    assert steps[0].z.shape == (1, 4, 16, 8)
    assert counts == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_callback_can_cancel(tiny):
    def stop(step):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        tiny.generate("a dog", on_step=stop, **QUICK)


@torch.no_grad()
def test_one_step_agrees_with_the_components_called_by_hand(tiny):
    """One DPM-Solver++ step gives x0 = alpha z - sigma v (arXiv 2202.00512).

    v is guided by eq. 6 of arXiv 2207.12598.
    """
    steps: list[Step] = []
    options = {"duration": 1.28, "steps": 1, "seed": 5, "guidance_scale": 3.0, "apg_eta": 1.0}
    options["guidance_start"] = 0.0
    [clip] = tiny.generate("a dog", on_step=steps.append, normalize="none", **options)
    z = torch.randn(4, 16, 8, generator=torch.Generator().manual_seed(5))[None]
    t = torch.tensor([999])
    cond = tiny.unet(z, t, encode_prompts(tiny.encoders, ["a dog"], 1, 16))
    uncond = tiny.unet(z, t, encode_unconditional(tiny.encoders, 1, 1, 16))
    betas = torch.linspace(0.0015**0.5, 0.0195**0.5, 1000, dtype=torch.float64) ** 2
    alpha = float((1 - betas).prod().sqrt())
    x0 = alpha * z - (1 - alpha**2) ** 0.5 * (uncond + 3.0 * (cond - uncond))
    torch.testing.assert_close(steps[0].z, x0, atol=1e-4, rtol=1e-4)
    wave = tiny.vocoder(tiny.vae.decode(Latent(steps[0].z)))[0, :, :20480].numpy()
    np.testing.assert_allclose(clip.samples, fade_edges(limit_peak(wave), 16000), atol=1e-6)


@pytest.mark.parametrize(
    ("duration", "frames", "tokens"),
    [(0.5, 128, 1), (1.28, 128, 1), (1.29, 144, 2), (5.12, 512, 4), (10.24, 1024, 8)],
)
def test_a_duration_has_so_many_frames_and_tokens(tiny, duration, frames, tokens):
    assert tiny.codec.num_frames(duration) == frames
    assert WindowConditioner(tiny).num_loa_tokens(frames) == tokens


def test_without_guidance_no_unconditional_input_is_encoded(tiny, monkeypatch):
    encoded = []

    def recorded(encoders, batch):
        encoded.extend(batch)
        return encode(encoders, batch)

    monkeypatch.setattr("latentaudio.generation.system.encode", recorded)
    assert tiny.generate("a fresh dog", guidance_scale=1, **QUICK)
    assert [inputs.is_unconditional for inputs in encoded] == [False]
    # the prompt is in the cache now
    assert tiny.generate("a fresh dog", guidance_scale=2, negative_prompt="an old cat", **QUICK)
    assert [inputs.is_unconditional for inputs in encoded] == [False, True]


def test_audioldm1_generates_by_the_same_code(film_folder):
    model = load(film_folder, "cpu", "fp32")
    first, second = model.generate(["a dog", "bell"], **QUICK)
    assert first.samples.shape == (1, 8000)
    assert np.abs(first.samples - second.samples).max() > 1e-3


class ConstantVocoder(torch.nn.Module):
    """Returns one number as every sample."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, mel):
        return torch.full((len(mel), 1, mel.shape[2] * 160), self.value)


@pytest.mark.parametrize("value", [torch.nan, 0.0])
def test_silence_and_nan_are_errors(tiny_folder, value):
    model = load(tiny_folder, "cpu", "fp32")
    model.components.replace("vocoder", ConstantVocoder(value))
    with pytest.raises(GenerationError, match="another seed"):
        model.generate("a dog", **QUICK)


class FirstSilentVocoder(torch.nn.Module):
    """A vocoder whose first clip is silent."""

    def __init__(self, vocoder):
        super().__init__()
        self.vocoder = vocoder
        self.num_calls = 0

    def forward(self, mel):
        self.num_calls += 1
        return self.vocoder(mel) * float(self.num_calls > 1)


def test_a_silent_candidate_loses_and_the_others_count(tiny_folder):
    model = load(tiny_folder, "cpu", "fp32")
    vocoder = FirstSilentVocoder(model.vocoder)
    model.components.replace("vocoder", vocoder)
    [clip] = model.generate("a dog", **{**QUICK, "candidates": 3, "seed": 5})
    assert vocoder.num_calls == 3
    assert clip.seed in (6, 7) and np.isfinite(clip.score)


@torch.no_grad()
def test_reconstruction_is_the_vae_and_the_vocoder(tiny):
    samples = (0.2 * np.sin(np.arange(5000) / 7)).astype(np.float32)
    reconstructed = tiny.reconstruct(samples)
    assert reconstructed.shape == (1, 5000)
    padded = np.pad(samples, (0, 120))  # 5120 = 4 latent frames of 8 frames of 160 samples
    gain = tiny.codec.source_gain(samples)
    mel = vae_mel(torch.from_numpy(gain * padded)[None], tiny.config.mel)
    decoded = tiny.vae.decoder(tiny.vae.post_quant_conv(tiny.vae.encode(mel).mean))
    wave = tiny.vocoder(decoded)[0, :, :5000].numpy() / gain
    np.testing.assert_allclose(reconstructed, limit_peak(wave), atol=1e-4)


def test_long_clips_have_windows_of_the_trained_length(tiny_folder, monkeypatch):
    model = load(tiny_folder, "cpu", "fp32")
    lengths = []
    call = PreparedUNet.__call__

    def recorded(unet, z, t, conditioning):
        lengths.append(z.shape[2])
        return call(unet, z, t, conditioning)

    monkeypatch.setattr(PreparedUNet, "__call__", recorded)
    options = {"steps": 1, "seed": 3, "guidance_scale": 1.0, "cache_interval": 2}
    [clip] = model.generate("a dog", duration=20.0, **options)
    assert clip.samples.shape == (1, 320000)
    assert lengths == [128, 128, 128]  # 10.24 s each
    lengths.clear()
    model.generate("a dog", duration=40.0, **options)
    assert len(lengths) == 5  # linear in time
    levels = [clip.samples[0, k * 40000 : (k + 1) * 40000].std() for k in range(8)]
    assert min(levels) > 0.2 * max(levels)


def test_other_references_have_no_windows(tiny_folder):
    with pytest.raises(
        UsageError, match=r"duration = 11 s is longer than mini can generate; the limit is 10\.24 s"
    ):
        load(tiny_folder, "cpu", "fp32", reference="original").generate("a dog", duration=11)


@pytest.mark.parametrize("preset", ["paper", "quality", "balanced", "fast", "draft"])
def test_a_preset_sets_the_options_that_are_not_set(tiny, preset):
    [request] = tiny.resolve_requests(["a dog"], preset=preset)
    for name, value in PRESETS[preset].resolve(tiny.config).items():
        assert getattr(request.options, name) == value
    [other] = tiny.resolve_requests(["a dog"], preset=preset, steps=3, guidance_stop=0.5)
    assert (other.options.steps, other.options.guidance_stop) == (3, 0.5)
    assert other.options.sampler == request.options.sampler


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({}, 0.3),
        ({"preset": "paper"}, 0.0),
        ({"negative_prompt": "hiss"}, 0.0),
        ({"guidance_stop": 0.2}, 0.2),
        ({"guidance_start": 0.1, "negative_prompt": "hiss"}, 0.1),
    ],
)
def test_guidance_of_mini_begins_later_unless_something_asks_for_it_early(tiny, options, start):
    [request] = tiny.resolve_requests(["a dog"], **options)
    assert request.options.guidance_start == start


@pytest.mark.parametrize(
    ("reference", "preset"), [("clean", "quality"), ("original", "paper"), ("diffusers", "paper")]
)
def test_references_have_the_published_preset(tiny_folder, reference, preset):
    model = load(tiny_folder, "cpu", "fp32", reference=reference)
    [request] = model.resolve_requests(["a dog"])
    assert request.options.preset == preset


def test_windows_of_a_long_clip_have_their_own_deep_cache(tiny_folder):
    steps = {1: [], 2: []}
    for interval in (1, 2):
        load(tiny_folder, "cpu", "fp32").generate(
            "a dog",
            duration=20.0,
            steps=3,
            seed=3,
            guidance_scale=1.0,
            cache_interval=interval,
            on_step=steps[interval].append,
        )
    torch.testing.assert_close(steps[1][0].z, steps[2][0].z, atol=1e-5, rtol=1e-5)
    assert (steps[1][1].z - steps[2][1].z).abs().max() > 1e-4


def test_bf16_gives_nearly_the_same_latent(tiny_folder):
    latents = []
    for precision in ("fp32", "bf16"):
        steps: list[Step] = []
        load(tiny_folder, "cpu", precision).generate("a dog", on_step=steps.append, **QUICK)
        latents.append(steps[-1].z)
    assert 0 < (latents[0] - latents[1]).std() < 0.03 * latents[0].std()


def test_wrong_arguments_are_errors(tiny):
    with pytest.raises(UsageError, match="there is no prompt"):
        tiny.generate([])
    with pytest.raises(UsageError, match="prompt is empty"):
        tiny.generate(["a dog", " "])
    # raised by the call, not by the first clip
    with pytest.raises(UsageError, match="has no distilled UNet"):
        tiny.run([GenerationOptions(prompt="a dog", sampler="distilled")])
    with pytest.raises(UsageError, match="device 'tpu' is not available"):
        load(tiny.source.path, device="tpu")
    with pytest.raises(UsageError, match="precision = 'int4' must be one of"):
        load(tiny.source.path, precision="int4")


def test_overrides_of_generate_are_the_options():
    options = set(GenerationOptions.model_fields) - {"prompt", "model", "edit"}
    assert set(GenerationOverrides.__annotations__) == options
    parameters = inspect.signature(AudioLDM.generate).parameters
    explicit = {name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    audio_prompt = {"audio_prompt", "audio_prompt_mode", "audio_prompt_weight"}
    assert explicit == {"progress", "on_step", *audio_prompt}


def test_clips_have_the_license_in_their_tags(tiny):
    [clip] = tiny.generate("a dog", **QUICK)
    assert isinstance(clip, Audio)
    assert clip.tags["license"] == "Apache-2.0"
    assert clip.tags["prompt"] == "a dog"


def test_a_stream_leaves_torchs_modes_alone(tiny):
    for _ in tiny.run([GenerationOptions(prompt="a dog", **QUICK)], on_step=lambda step: None):
        leaf = torch.ones(1, requires_grad=True)
        (2 * leaf).backward()
        assert leaf.grad is not None
    assert not torch.is_inference_mode_enabled()
