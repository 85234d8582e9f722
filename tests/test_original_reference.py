"""Reference "original" against the authors' formulas, computed here in other ways."""

import math
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import published
import pytest
import torch

from latentaudio import load
from latentaudio.audio.mel import clap_mel, vae_mel
from latentaudio.config.architecture import MelSpec
from latentaudio.config.reference import REFERENCES
from latentaudio.config.registry import MODELS
from latentaudio.diffusion.samplers.ddim import ddim
from latentaudio.diffusion.sampling import Noise
from latentaudio.diffusion.schedule import Schedule
from latentaudio.diffusion.sdedit import keep_known_region
from latentaudio.editing.latent_mask import latent_mask
from latentaudio.errors import UsageError
from latentaudio.generation.window_conditioning import WindowConditioner
from latentaudio.loaders.layouts import ModelSource
from latentaudio.loaders.resolve import apply_reference
from latentaudio.models.unet import UNet
from latentaudio.pipeline import AudioLDM
from latentaudio.types import Conditioning, Context

ORIGINAL, CLEAN, DIFFUSERS = (REFERENCES[name] for name in ("original", "clean", "diffusers"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return published.save(published.audioldm2(), tmp_path_factory.mktemp("original") / "audioldm2")


def test_an_ancestral_step_draws_noise_after_the_prediction():
    """In float64 numpy: tau = {0, c, ...} + 1, the last step goes to abar[0], eta = 1."""
    betas = np.linspace(math.sqrt(0.0015), math.sqrt(0.0195), 1000) ** 2
    bar, noise_source, calls = np.cumprod(1 - betas), Noise([3]), []
    z = noise_source((2, 4, 3))
    epsilon = torch.sin(z * 3)

    def denoise(x, t):
        calls.append(int(t[0]))
        return epsilon

    def noise(shape):
        calls.append("noise")
        return noise_source(shape)

    first_step, *_, last = list(
        ddim(denoise, z, Schedule(), Schedule().timesteps(10, "leading"), 1.0, noise)
    )
    assert calls == [x for t in range(901, 0, -100) for x in (t, "noise")]
    check = Noise([3])
    check((2, 4, 3))
    a, a_prev = bar[901], bar[801]
    sigma = math.sqrt((1 - a_prev) / (1 - a) * (1 - a / a_prev))
    x0 = (z.double() - math.sqrt(1 - a) * epsilon) / math.sqrt(a)
    expected = (
        math.sqrt(a_prev) * x0
        + math.sqrt(1 - a_prev - sigma**2) * epsilon
        + sigma * check((2, 4, 3))
    )
    torch.testing.assert_close(first_step.z.double(), expected, atol=1e-5, rtol=1e-5)
    a, a_prev = bar[1], bar[0]
    sigma = math.sqrt((1 - a_prev) / (1 - a) * (1 - a / a_prev))
    for _ in range(8):
        noise_draw = check((2, 4, 3))
    noise_draw = check((2, 4, 3))
    expected = (
        math.sqrt(a_prev) * last.x0
        + math.sqrt(1 - a_prev - sigma**2) * epsilon
        + sigma * noise_draw
    )
    torch.testing.assert_close(last.z, expected.float(), atol=1e-5, rtol=1e-5)


def test_inpainting_mixes_in_the_source_before_each_prediction():
    """In float64 numpy: x := m q_sample(z0, t) + (1 - m) x, its noise drawn first.

    The source is not mixed in again at the end.
    """
    betas = np.linspace(math.sqrt(0.0015), math.sqrt(0.0195), 1000) ** 2
    bar, check, inputs = np.cumprod(1 - betas), Noise([4]), []
    shape = (2, 8, 4)
    z0 = torch.cos(torch.arange(64.0)).view(1, *shape)
    mask = torch.ones(1, 1, 8, 4)
    mask[:, :, int(8 * 0.4) : int(8 * 0.6)] = 0
    mask[..., int(4 * 0.75) :] = 0

    def denoise(x, t):
        inputs.append(x)
        return torch.sin(x * 3)

    noise_source = Noise([4])
    steps = list(
        ddim(
            denoise,
            noise_source(shape),
            Schedule(),
            Schedule().timesteps(10, "leading"),
            1.0,
            noise_source,
            pre_step=keep_known_region(z0, 1 - mask, Schedule(), noise_source),
        )
    )
    x = check(shape).double()
    for k, t in enumerate(range(901, 0, -100)):
        a, a_prev = bar[t], bar[t - 100] if t > 1 else bar[0]
        x = mask * (math.sqrt(a) * z0 + math.sqrt(1 - a) * check(shape)) + (1 - mask) * x
        torch.testing.assert_close(inputs[k].double(), x, atol=1e-4, rtol=1e-4)
        epsilon = torch.sin(x * 3)
        sigma = math.sqrt((1 - a_prev) / (1 - a) * (1 - a / a_prev))
        x = math.sqrt(a_prev) * (x - math.sqrt(1 - a) * epsilon) / math.sqrt(a)
        x = x + math.sqrt(1 - a_prev - sigma**2) * epsilon + sigma * check(shape)
        torch.testing.assert_close(steps[k].z.double(), x, atol=1e-4, rtol=1e-4)


def test_eta_is_one_by_default_and_for_ddim_only(folder):
    model = load(folder, "cpu", "fp32", reference="original")
    settings = model.resolve_requests(["a dog"], duration=0.32, sampler="ddim")
    assert settings[0].options.eta == 1.0
    assert model.resolve_requests(["a dog"], duration=0.32, eta=0.5)[0].options.eta == 0.5
    assert model.resolve_requests(["a dog"], duration=0.32, sampler="dpm++")[0].options.eta == 0.0
    assert (
        load(folder, "cpu", "fp32").resolve_requests(["a dog"], duration=0.32)[0].options.eta == 0.0
    )


def test_the_unconditional_language_of_audio_is_zeros_and_not_masked(folder):
    models = {name: load(folder, "cpu", "fp32", reference=name) for name in REFERENCES}
    unconditional = {}
    for name, model in models.items():
        options = model.resolve_requests(["a dog in the rain"], duration=0.32, seed=1)
        unconditional[name] = WindowConditioner(model).encode_windows([options])[0][0][0].uncond
    for name in ("original", "clean"):
        loa, t5 = unconditional[name].contexts
        assert loa.tokens.shape == (1, 8, 16) and not loa.tokens.any() and loa.mask.all()
        assert t5.tokens.shape[1] == 1 and t5.mask.all()  # the end token alone
    loa, t5 = unconditional["diffusers"].contexts
    assert loa.tokens.std() > 0.1
    assert t5.mask.tolist() == [[1.0] + [0.0] * 5]  # padded to the six of "a dog in the rain </s>"


def test_references_set_the_heads_of_each_level():
    for name, row in MODELS.items():
        if row.is_published:
            width = 64 if name == "audioldm-l-full" else 32
            assert apply_reference(row, "original", ORIGINAL).unet.num_heads == tuple(
                w // width for w in row.config.unet.widths
            )
            assert apply_reference(row, "original", DIFFUSERS).unet.num_heads == (8, 8, 8, 8)
    assert apply_reference(MODELS["mini"], "latentaudio", DIFFUSERS) == MODELS["mini"].config


@torch.no_grad()
def test_the_number_of_heads_changes_the_result_as_defined():
    """Attention of h heads, written out with loops."""
    config = replace(
        MODELS["audioldm2-full"].config.unet,
        channels=32,
        channel_mult=(1, 2),
        num_heads=(1, 2),
        attention=(False, True),
        contexts=(None, 16, 24),
        num_groups=8,
        latent_channels=4,
    )
    unet = published.randomize(UNet(config))
    block = unet.middle[0].transformers[1].blocks[0].attn2
    x, context = torch.randn(1, 5, 64), torch.randn(1, 3, 16)
    q, k, v = (
        layer(y)[0] for layer, y in ((block.to_q, x), (block.to_k, context), (block.to_v, context))
    )
    for heads in (2, 8):
        width = 64 // heads
        parts = []
        for h in range(heads):
            cut = slice(h * width, (h + 1) * width)
            scores = torch.stack(
                [torch.stack([(a * b).sum() for b in k[:, cut]]) for a in q[:, cut]]
            ) / math.sqrt(width)
            parts.append(scores.softmax(1) @ v[:, cut])
        block.num_heads = heads
        torch.testing.assert_close(
            block(x, block.project_kv(context))[0],
            block.to_out(torch.cat(parts, 1)),
            atol=1e-5,
            rtol=1e-5,
        )
    z, t = torch.randn(1, 4, 8, 4), torch.tensor([500])
    conditioning = Conditioning(
        contexts=(Context.unmasked(torch.randn(1, 8, 16)), Context.unmasked(torch.randn(1, 4, 24)))
    )
    eight_heads = UNet(replace(config, num_heads=(8, 8)))
    eight_heads.load_state_dict(unet.state_dict())
    block.num_heads = 2
    assert (unet(z, t, conditioning) - eight_heads.eval()(z, t, conditioning)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("spec", "half_hop"), [(MelSpec(), 80), (MODELS["audioldm_48k"].config.mel, 240)]
)
def test_mel_framings_differ_by_half_a_hop(spec, half_hop):
    assert (ORIGINAL.mel_framing, CLEAN.mel_framing) == ("centered", "vocoder")
    samples = torch.randn(1, spec.sample_rate, generator=torch.Generator().manual_seed(0)) * 0.1
    centered, plain = (vae_mel(samples, spec, f)[0, 0].numpy() for f in ("centered", "vocoder"))
    assert len(centered) == len(plain) + 1 == 101
    shifted = np.pad(samples[0].numpy(), (spec.hop_length // 2, 0))[
        : spec.sample_rate
    ]  # what comes half a hop later
    mel = librosa.feature.melspectrogram(
        y=np.pad(samples[0].numpy(), spec.n_fft // 2, mode="reflect"),
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        center=False,
        power=1.0,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
    )
    np.testing.assert_allclose(np.exp(centered), np.maximum(mel.T, 1e-5), rtol=1e-3, atol=1e-6)
    later = vae_mel(torch.from_numpy(shifted)[None], spec)[0, 0].numpy()
    assert spec.hop_length // 2 == half_hop
    np.testing.assert_allclose(np.exp(later[5:-5]), np.exp(centered[5:-6]), rtol=1e-3, atol=1e-6)


def test_clips_are_neither_trimmed_nor_padded(folder):
    settings = {"duration": 0.32, "steps": 2, "candidates": 1, "seed": 4}
    [untrimmed] = load(folder, "cpu", "fp32", reference="original").generate("a dog", **settings)
    assert untrimmed.samples.shape == (1, 32 * 160 + 32)
    assert untrimmed.extra_tags["reference"] == "original"
    [clean] = load(folder, "cpu", "fp32").generate("a dog", **settings)
    assert clean.samples.shape == (1, 5120)


@pytest.mark.parametrize(("seconds", "cells"), [(2.5, 64), (5, 128), (10, 256), (15, 384)])
def test_durations_have_the_authors_latent_frames(seconds, cells):
    """The authors have 25.6 latent frames per second, and 12.8 at 48 kHz."""
    model = AudioLDM(
        ModelSource("t5", Path(), MODELS["audioldm_16k_crossattn_t5"], {}, reference=ORIGINAL),
        "cpu",
    )
    assert model.codec.num_frames(seconds) == 4 * cells
    high = AudioLDM(
        ModelSource("48k", Path(), MODELS["audioldm_48k"], {}, reference=ORIGINAL), "cpu"
    )
    assert high.codec.num_frames(seconds) == 4 * cells  # 12.8 cells a second, each of 8 frames


@pytest.mark.parametrize("name", ["original", "clean"])
def test_reconstruction_uses_the_mel_framing_of_the_reference(folder, name):
    """Frames as librosa cuts them: centered, or of a signal padded by 432 samples."""
    samples = np.sin(np.arange(5120) ** 1.3 / 90).astype(np.float32)
    samples *= 0.5 / np.abs(samples).max()  # the level of training clips
    model = load(folder, "cpu", "fp32", reference=name)
    spec, is_centered = model.config.mel, name == "original"
    padded = samples if is_centered else np.pad(samples, 432, mode="reflect")
    plane = np.abs(
        librosa.stft(padded, n_fft=1024, hop_length=160, center=is_centered, pad_mode="reflect")
    )
    bank = librosa.filters.mel(
        sr=16000, n_fft=1024, n_mels=spec.n_mels, fmin=spec.fmin, fmax=spec.fmax
    )
    mel = torch.from_numpy(np.log(np.maximum(bank @ plane, 1e-5)).T[None, None, :32])
    with torch.inference_mode():
        latent = model.vae.normalize(model.vae.encode(mel).mode())
        expected = model.vocoder(model.vae.decode(latent))[0, :, :5120].numpy()
    actual = model.reconstruct(samples)
    assert np.abs(actual - expected).max() / expected.std() < 1e-3
    other = load(
        folder, "cpu", "fp32", reference="clean" if is_centered else "original"
    ).reconstruct(samples)
    assert np.abs(other - expected).max() / expected.std() > 1e-2


def test_diverging_latents_of_audioldm_1_are_clamped(tmp_path):
    folder = published.save(published.audioldm(), tmp_path / "v1")
    model, clean_model = (
        load(folder, "cpu", "fp32", reference=name) for name in ("original", "clean")
    )
    z = torch.randn(1, 4, 8, 4) * 3
    z[0, 0, 0, 0] = 101.0
    assert np.array_equal(model.codec.decode(z)[0], clean_model.codec.decode(z.clamp(-10, 10))[0])
    audioldm2_config = replace(
        model.config, unet=replace(model.config.unet, contexts=(None, None))
    )  # as the 48 kHz model is
    model.codec.config, z[0, 0, 0, 0] = audioldm2_config, 101.0
    assert np.array_equal(model.codec.decode(z)[0], clean_model.codec.decode(z)[0])
    model.codec.config, z[0, 0, 0, 0] = clean_model.config, 99.0
    assert np.array_equal(model.codec.decode(z)[0], clean_model.codec.decode(z)[0])


def test_audioldm_1_repeats_short_clips_for_clap(folder, monkeypatch):
    paddings = []
    monkeypatch.setattr(
        "latentaudio.conditioning.clap.clap_mel",
        lambda samples, padding, *rest: (
            paddings.append(padding) or clap_mel(samples, padding, *rest)
        ),
    )
    model = load(folder, "cpu", "fp32", reference="original")
    model.similarity([np.ones((1, 4800), np.float32)], ["a dog"])
    audioldm1_config = replace(
        model.config, unet=replace(model.config.unet, contexts=(None,), film_dim=8)
    )
    model.encoders.__dict__["config"] = audioldm1_config
    model.similarity([np.ones((1, 4800), np.float32)], ["a dog"])
    assert paddings == ["stretch", "repeatpad"]


def test_guidance_below_one_is_off_in_diffusers_only(folder):
    clips = {}
    for name in ("original", "diffusers"):
        model = load(folder, "cpu", "fp32", reference=name)
        for scale in (0.5, 1.0):
            [clip] = model.generate(
                "a dog",
                duration=0.32,
                steps=2,
                candidates=1,
                seed=1,
                guidance_scale=scale,
                sampler="dpm++",
            )
            clips[name, scale] = clip.samples
    assert np.array_equal(clips["diffusers", 0.5], clips["diffusers", 1.0])
    assert (
        np.abs(clips["original", 0.5] - clips["original", 1.0]).max()
        > 0.01 * clips["original", 1.0].std()
    )


def test_a_tenth_of_clap_embeddings_is_dropped(folder):
    model = load(folder, "cpu", "fp32", reference="original")
    requests = [
        model.resolve_requests(["a dog"], duration=0.32, seed=seed)[0] for seed in range(400)
    ]
    dropout_fraction = np.mean(WindowConditioner(model).clap_dropout_mask(requests))
    assert 0.05 < dropout_fraction < 0.15
    assert not any(WindowConditioner(load(folder, "cpu", "fp32")).clap_dropout_mask(requests))


def test_a_short_clip_is_stretched_by_the_network_and_not_repeated():
    samples = torch.randn(1, 48000)
    assert clap_mel(samples, "stretch").shape == (1, 1, 101, 64)
    assert clap_mel(samples, "repeatpad").shape == (1, 1, 1001, 64)
    stretched, tiled = (
        clap_mel(samples, padding)[..., 5:95, :] for padding in ("stretch", "repeatpad")
    )
    torch.testing.assert_close(stretched, tiled, atol=1e-3, rtol=1e-4)


def test_inpainting_masks_are_the_authors_slices(tiny_folder):
    """Rows int(h t0) to int(h t1) and columns int(w f0) to int(w f1) are zero."""
    codec = load(tiny_folder, "cpu", "fp32", reference="original").codec
    frames, factor, mel = 1024, codec.config.vae.downsampling, codec.config.mel
    h, w, seconds = (
        frames // factor,
        mel.n_mels // factor,
        frames * mel.hop_length / mel.sample_rate,
    )
    ratios = (
        (0.1, 0.15, 1.0, 1.0),
        (0.4, 0.6, 1.0, 1.0),
        (1.0, 1.0, 0.75, 1.0),
        (0.25, 0.75, 0.33, 0.8),
    )
    for t0, t1, f0, f1 in ratios:
        expected = np.ones((h, w), np.float32)
        expected[int(h * t0) : int(h * t1)] = 0.0
        expected[:, int(w * f0) : int(w * f1)] = 0.0
        times = [(t0 * seconds, t1 * seconds)] if t0 < t1 else []
        bands = (
            [
                tuple(
                    float(x)
                    for x in librosa.mel_to_hz(np.array([f0, f1]) * librosa.hz_to_mel(8000.0))
                )
            ]
            if f0 < f1
            else []
        )
        mask = latent_mask(times, bands, seconds, codec, frames)
        # the authors mark what is kept, and so does `expected`
        np.testing.assert_array_equal(mask[0, 0].numpy(), 1 - expected)
    with pytest.raises(UsageError, match="less than one cell"):
        latent_mask([(0.001, 0.002)], [], seconds, codec, frames)
