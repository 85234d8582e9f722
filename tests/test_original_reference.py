"""The preset "original" against the formulas of the spec, worked out here by other means than the package's."""

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
from latentaudio.config.reference import FIDELITIES
from latentaudio.config.registry import VARIANTS
from latentaudio.diffusion.samplers import Noise, ddim, kept
from latentaudio.diffusion.schedule import Schedule
from latentaudio.editing.plan import kept_cells
from latentaudio.errors import UsageError
from latentaudio.loaders.resolve import Found, dressed
from latentaudio.models.unet import UNet
from latentaudio.pipeline import AudioLDM
from latentaudio.types import Conditioning, Context

ORIGINAL, CLEAN, DIFFUSERS = (FIDELITIES[name] for name in ("original", "clean", "diffusers"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return published.save(published.audioldm2(), tmp_path_factory.mktemp("original") / "audioldm2")


def test_one_ancestral_step_draws_its_noise_after_the_prediction():
    """Spec 5.2 in float64 numpy: tau = {0, c, ...} + 1, the last step goes to abar[0], eta = 1."""
    betas = np.linspace(math.sqrt(0.0015), math.sqrt(0.0195), 1000) ** 2
    bar, dice, order = np.cumprod(1 - betas), Noise([3]), []
    z = dice((2, 4, 3))
    epsilon = torch.sin(z * 3)

    def denoise(x, t):
        order.append(int(t[0]))
        return epsilon

    def noise(shape):
        order.append("noise")
        return dice(shape)

    first, *_, last = list(ddim(denoise, z, Schedule(), 10, 1.0, noise))
    assert order == [x for t in range(901, 0, -100) for x in (t, "noise")]
    check = Noise([3])
    check((2, 4, 3))
    a, a_prev = bar[901], bar[801]
    sigma = math.sqrt((1 - a_prev) / (1 - a) * (1 - a / a_prev))
    x0 = (z.double() - math.sqrt(1 - a) * epsilon) / math.sqrt(a)
    want = (
        math.sqrt(a_prev) * x0
        + math.sqrt(1 - a_prev - sigma**2) * epsilon
        + sigma * check((2, 4, 3))
    )
    torch.testing.assert_close(first.z.double(), want, atol=1e-5, rtol=1e-5)
    a, a_prev = bar[1], bar[0]
    sigma = math.sqrt((1 - a_prev) / (1 - a) * (1 - a / a_prev))
    for _ in range(8):
        drawn = check((2, 4, 3))
    drawn = check((2, 4, 3))
    want = math.sqrt(a_prev) * last.x0 + math.sqrt(1 - a_prev - sigma**2) * epsilon + sigma * drawn
    torch.testing.assert_close(last.z, want.float(), atol=1e-5, rtol=1e-5)


def test_inpainting_mixes_before_each_prediction_with_noise_drawn_first():
    """Spec 5.6 and 8.2 in float64 numpy: x := m q_sample(z0, t) + (1 - m) x, its noise first; no paste at the end."""
    betas = np.linspace(math.sqrt(0.0015), math.sqrt(0.0195), 1000) ** 2
    bar, check, seen = np.cumprod(1 - betas), Noise([4]), []
    shape = (2, 8, 4)
    z0 = torch.cos(torch.arange(64.0)).view(1, *shape)
    mask = torch.ones(1, 1, 8, 4)
    mask[:, :, int(8 * 0.4) : int(8 * 0.6)] = 0
    mask[..., int(4 * 0.75) :] = 0

    def denoise(x, t):
        seen.append(x)
        return torch.sin(x * 3)

    dice = Noise([4])
    steps = list(
        ddim(
            denoise, dice(shape), Schedule(), 10, 1.0, dice, before=kept(z0, mask, Schedule(), dice)
        )
    )
    x = check(shape).double()
    for k, t in enumerate(range(901, 0, -100)):
        a, a_prev = bar[t], bar[t - 100] if t > 1 else bar[0]
        x = mask * (math.sqrt(a) * z0 + math.sqrt(1 - a) * check(shape)) + (1 - mask) * x
        torch.testing.assert_close(seen[k].double(), x, atol=1e-4, rtol=1e-4)
        epsilon = torch.sin(x * 3)
        sigma = math.sqrt((1 - a_prev) / (1 - a) * (1 - a / a_prev))
        x = math.sqrt(a_prev) * (x - math.sqrt(1 - a) * epsilon) / math.sqrt(a)
        x = x + math.sqrt(1 - a_prev - sigma**2) * epsilon + sigma * check(shape)
        torch.testing.assert_close(steps[k].z.double(), x, atol=1e-4, rtol=1e-4)


def test_eta_is_one_unless_asked_otherwise_and_only_of_ddim(folder):
    model = load(folder, "cpu", "fp32", fidelity="original")
    ask = model.requests(["a dog"], {"seconds": 0.32, "sampler": "ddim"})
    assert ask[0].eta == 1.0
    assert model.requests(["a dog"], {"seconds": 0.32, "eta": 0.5})[0].eta == 0.5
    assert model.requests(["a dog"], {"seconds": 0.32, "sampler": "dpm++"})[0].eta == 0.0
    assert load(folder, "cpu", "fp32").requests(["a dog"], {"seconds": 0.32})[0].eta == 0.0


def test_the_null_language_of_audio_is_zeros_and_looked_at(folder):
    models = {name: load(folder, "cpu", "fp32", fidelity=name) for name in FIDELITIES}
    nulls = {}
    for name, model in models.items():
        options = model.requests(["a dog in the rain"], {"seconds": 0.32, "seed": 1})
        nulls[name] = model.hearing.voices([options], {})[0][0][0].uncond
    for name in ("original", "clean"):
        loa, t5 = nulls[name].contexts
        assert loa.tokens.shape == (1, 8, 16) and not loa.tokens.any() and loa.mask.all()
        assert t5.tokens.shape[1] == 1 and t5.mask.all()  # the end token alone
    loa, t5 = nulls["diffusers"].contexts
    assert loa.tokens.std() > 0.1
    assert t5.mask.tolist() == [[1.0] + [0.0] * 5]  # padded to the six of "a dog in the rain </s>"


def test_heads_of_each_level():
    for name, row in VARIANTS.items():
        if row.parameters:
            width = 64 if name == "audioldm-l-full" else 32
            assert dressed(row, "original", ORIGINAL).unet.heads == tuple(
                w // width for w in row.config.unet.widths
            )
            assert dressed(row, "original", DIFFUSERS).unet.heads == (8, 8, 8, 8)
    assert dressed(VARIANTS["mini"], "latentaudio", DIFFUSERS) == VARIANTS["mini"].config


@torch.no_grad()
def test_heads_change_the_function_and_attend_as_written():
    """Attention of h heads, written out with loops."""
    config = replace(VARIANTS["audioldm2-full"].config.unet, channels=32, mult=(1, 2), heads=(1, 2), attention=(False, True),
                     contexts=(None, 16, 24), groups=8, latent=4)  # fmt: skip
    unet = published.randomise(UNet(config))
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
        block.heads = heads
        torch.testing.assert_close(
            block(x, block.look_at(context))[0],
            block.to_out(torch.cat(parts, 1)),
            atol=1e-5,
            rtol=1e-5,
        )
    z, t = torch.randn(1, 4, 8, 4), torch.tensor([500])
    heard = Conditioning(
        contexts=(Context.full(torch.randn(1, 8, 16)), Context.full(torch.randn(1, 4, 24)))
    )
    eight = UNet(replace(config, heads=(8, 8)))
    eight.load_state_dict(unet.state_dict())
    block.heads = 2
    assert (unet(z, t, heard) - eight.eval()(z, t, heard)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("spec", "earlier"), [(MelSpec(), 80), (VARIANTS["audioldm_48k"].config.mel, 240)]
)
def test_the_two_framings_lie_half_a_hop_apart(spec, earlier):
    assert (ORIGINAL.framing, CLEAN.framing) == ("centred", "vocoder")
    samples = torch.randn(1, spec.rate, generator=torch.Generator().manual_seed(0)) * 0.1
    centred, plain = (vae_mel(samples, spec, f)[0, 0].numpy() for f in ("centred", "vocoder"))
    assert len(centred) == len(plain) + 1 == 101
    shifted = np.pad(samples[0].numpy(), (spec.hop // 2, 0))[
        : spec.rate
    ]  # what comes half a hop later
    mel = librosa.feature.melspectrogram(
        y=np.pad(samples[0].numpy(), spec.n_fft // 2, mode="reflect"), sr=spec.rate, n_fft=spec.n_fft, hop_length=spec.hop,
        center=False, power=1.0, n_mels=spec.bins, fmin=spec.fmin, fmax=spec.fmax,
    )  # fmt: skip
    np.testing.assert_allclose(np.exp(centred), np.maximum(mel.T, 1e-5), rtol=1e-3, atol=1e-6)
    later = vae_mel(torch.from_numpy(shifted)[None], spec)[0, 0].numpy()
    assert spec.hop // 2 == earlier
    np.testing.assert_allclose(np.exp(later[5:-5]), np.exp(centred[5:-6]), rtol=1e-3, atol=1e-6)


def test_nothing_is_trimmed_and_a_short_clip_is_sampled_short(folder):
    ask = {"seconds": 0.32, "steps": 2, "candidates": 1, "seed": 4}
    [whole] = load(folder, "cpu", "fp32", fidelity="original").generate("a dog", **ask)
    assert whole.samples.shape == (1, 32 * 160 + 32)
    assert whole.notes["fidelity"] == "original"
    [clean] = load(folder, "cpu", "fp32").generate("a dog", **ask)
    assert clean.samples.shape == (1, 5120)


@pytest.mark.parametrize(("seconds", "cells"), [(2.5, 64), (5, 128), (10, 256), (15, 384)])
def test_lengths_have_the_authors_cells(seconds, cells):
    """Spec 1.5."""
    model = AudioLDM(
        Found("t5", Path(), VARIANTS["audioldm_16k_crossattn_t5"], {}, fidelity=ORIGINAL), "cpu"
    )
    assert model.codec.frames(seconds) == 4 * cells
    high = AudioLDM(Found("48k", Path(), VARIANTS["audioldm_48k"], {}, fidelity=ORIGINAL), "cpu")
    assert high.codec.frames(seconds) == 4 * cells  # 12.8 cells a second, each of 8 frames


@pytest.mark.parametrize("name", ["original", "clean"])
def test_a_sound_is_read_in_the_presets_framing(folder, name):
    """Frames as librosa cuts them: centred (spec 1.1-2), or of a signal padded by 432 samples."""
    sound = np.sin(np.arange(5120) ** 1.3 / 90).astype(np.float32)
    model = load(folder, "cpu", "fp32", fidelity=name)
    spec, centred = model.config.mel, name == "original"
    padded = sound if centred else np.pad(sound, 432, mode="reflect")
    plane = np.abs(
        librosa.stft(padded, n_fft=1024, hop_length=160, center=centred, pad_mode="reflect")
    )
    bank = librosa.filters.mel(
        sr=16000, n_fft=1024, n_mels=spec.bins, fmin=spec.fmin, fmax=spec.fmax
    )
    mel = torch.from_numpy(np.log(np.maximum(bank @ plane, 1e-5)).T[None, None, :32])
    with torch.inference_mode():
        latent = model.vae.latent(model.vae.encode(mel).mode())
        want = model.vocoder(model.vae.decode(latent))[0, :, :5120].numpy()
    got = model.resynthesise(sound)
    assert np.abs(got - want).max() / want.std() < 1e-3
    other = load(folder, "cpu", "fp32", fidelity="clean" if centred else "original").resynthesise(
        sound
    )
    assert np.abs(other - want).max() / want.std() > 1e-2


def test_runaway_latents_of_audioldm_1_are_clamped(tmp_path):
    folder = published.save(published.audioldm(), tmp_path / "v1")
    model, free = (load(folder, "cpu", "fp32", fidelity=name) for name in ("original", "clean"))
    z = torch.randn(1, 4, 8, 4) * 3
    z[0, 0, 0, 0] = 101.0
    assert np.array_equal(model.codec.sound(z)[0], free.codec.sound(z.clamp(-10, 10))[0])
    second = replace(
        model.config, unet=replace(model.config.unet, contexts=(None, None))
    )  # as the 48 kHz model is
    model.codec.config, z[0, 0, 0, 0] = second, 101.0
    assert np.array_equal(model.codec.sound(z)[0], free.codec.sound(z)[0])
    model.codec.config, z[0, 0, 0, 0] = free.config, 99.0
    assert np.array_equal(model.codec.sound(z)[0], free.codec.sound(z)[0])


def test_audioldm_1_tiles_what_clap_hears(folder, monkeypatch):
    ears = []
    monkeypatch.setattr(
        "latentaudio.conditioning.base.clap_mel",
        lambda samples, ear: ears.append(ear) or clap_mel(samples, ear),
    )
    model = load(folder, "cpu", "fp32", fidelity="original")
    model.similarity([np.ones((1, 4800), np.float32)], ["a dog"])
    first = replace(model.config, unet=replace(model.config.unet, contexts=(None,), film=8))
    model.text.__dict__["config"] = first
    model.similarity([np.ones((1, 4800), np.float32)], ["a dog"])
    assert ears == ["stretch", "tile"]


def test_guidance_below_one_is_none_in_diffusers_only(folder):
    clips = {}
    for name in ("original", "diffusers"):
        model = load(folder, "cpu", "fp32", fidelity=name)
        for scale in (0.5, 1.0):
            [clip] = model.generate(
                "a dog",
                seconds=0.32,
                steps=2,
                candidates=1,
                seed=1,
                guidance=scale,
                sampler="dpm++",
            )
            clips[name, scale] = clip.samples
    assert np.array_equal(clips["diffusers", 0.5], clips["diffusers", 1.0])
    assert (
        np.abs(clips["original", 0.5] - clips["original", 1.0]).max()
        > 0.01 * clips["original", 1.0].std()
    )


def test_clap_is_deaf_to_a_tenth_of_the_prompts(folder):
    model = load(folder, "cpu", "fp32", fidelity="original")
    tries = [model.requests(["a dog"], {"seconds": 0.32, "seed": seed})[0] for seed in range(400)]
    share = np.mean(model.hearing.unheard(tries))
    assert 0.05 < share < 0.15
    assert not any(load(folder, "cpu", "fp32").hearing.unheard(tries))


def test_a_short_sound_is_stretched_by_the_network_not_tiled():
    sound = torch.randn(1, 48000)
    assert clap_mel(sound, "stretch").shape == (1, 1, 101, 64)
    assert clap_mel(sound, "tile").shape == (1, 1, 1001, 64)
    stretched, tiled = (clap_mel(sound, ear)[..., 5:95, :] for ear in ("stretch", "tile"))
    torch.testing.assert_close(stretched, tiled, atol=1e-3, rtol=1e-4)


def test_masks_are_the_authors_slices(tiny_folder):
    """Spec 8.2: zero rows int(h t0) to int(h t1) over all frequencies, zero columns int(w f0) to int(w f1) over all times."""
    codec = load(tiny_folder, "cpu", "fp32", fidelity="original").codec
    frames, factor, mel = 1024, codec.config.vae.factor, codec.config.mel
    h, w, seconds = frames // factor, mel.bins // factor, frames * mel.hop / mel.rate
    ratios = (
        (0.1, 0.15, 1.0, 1.0),
        (0.4, 0.6, 1.0, 1.0),
        (1.0, 1.0, 0.75, 1.0),
        (0.25, 0.75, 0.33, 0.8),
    )
    for t0, t1, f0, f1 in ratios:
        wanted = np.ones((h, w), np.float32)
        wanted[int(h * t0) : int(h * t1)] = 0.0
        wanted[:, int(w * f0) : int(w * f1)] = 0.0
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
        found = kept_cells(times, bands, seconds, codec, frames)
        np.testing.assert_array_equal(found[0, 0].numpy(), wanted)
    with pytest.raises(UsageError, match="less than a cell"):
        kept_cells([(0.001, 0.002)], [], seconds, codec, frames)
