"""HiFi-GAN against transformers' SpeechT5HifiGan and the published counts.

The inverse STFT against torch.stft.
"""

from dataclasses import replace
from typing import get_args, get_type_hints

import pytest
import torch
from torch.nn import functional as F
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from latentaudio.audio.mel import vae_mel
from latentaudio.config.architecture import MelSpec, VocoderConfig
from latentaudio.errors import ConfigError
from latentaudio.models import istft_vocoder
from latentaudio.models.istft_vocoder import InverseSTFT
from latentaudio.models.vocoders import VOCODERS, build_vocoder

BASE = VocoderConfig()
HIRES = VocoderConfig(
    n_mels=256,
    channels=1536,
    upsample_rates=(6, 5, 4, 2, 2),
    upsample_kernel_sizes=(12, 10, 8, 4, 4),
    resblock_kernel_sizes=(3, 7, 11, 15),
    n_fft=2048,
    hop_length=480,
)
TINY = VocoderConfig(n_mels=8, channels=64)
SMALL = VocoderConfig(kind="istft", n_mels=16, channels=24, ffn_dim=48, num_layers=2)
ALL_SOURCES = replace(SMALL, attack_n_fft=256, use_harmonics=True)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("config", "count", "extra"), [(BASE, 55_264_897, 32), (HIRES, 190_281_889, 16)]
)
def test_published_counts_and_lengths(config, count, extra):
    with torch.device("meta"):
        vocoder = build_vocoder(config)
        samples = vocoder(torch.zeros(2, 1, 20, config.n_mels))
    assert parameters(vocoder) == count
    assert samples.shape == (2, 1, 20 * config.hop_length + extra)


def test_every_kind_of_the_config_is_in_the_table():
    assert set(get_args(get_type_hints(VocoderConfig)["kind"])) == set(VOCODERS)


def oracle(config):
    return SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=config.n_mels,
            upsample_initial_channel=config.channels,
            upsample_rates=list(config.upsample_rates),
            upsample_kernel_sizes=list(config.upsample_kernel_sizes),
            resblock_kernel_sizes=list(config.resblock_kernel_sizes),
            resblock_dilation_sizes=[list(config.resblock_dilations)]
            * len(config.resblock_kernel_sizes),
            leaky_relu_slope=0.1,
            normalize_before=False,
        )
    ).eval()


def test_matches_transformers():
    torch.manual_seed(0)
    theirs, ours = oracle(TINY), build_vocoder(TINY)
    # its own initial weights are so small that every output would be the last bias
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    weights = {
        k.replace("upsampler.", "ups."): v
        for k, v in theirs.state_dict().items()
        if k not in ("mean", "scale")
    }
    ours.load_state_dict(weights, strict=True)
    log_mel = torch.randn(2, 1, 13, TINY.n_mels)
    with torch.no_grad():
        expected, actual = theirs(log_mel[:, 0]), ours(log_mel)[:, 0]
    assert expected.std() > 0.1
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 160), (2048, 480)])
def test_inverse_stft_inverts_the_mel_framing_to_the_last_sample(n_fft, hop):
    samples, edge = torch.randn(2, 30 * hop), (n_fft - hop) // 2
    padded = F.pad(samples[:, None], (edge, edge), mode="reflect")[:, 0]
    spectrum = torch.stft(
        padded, n_fft, hop, window=torch.hann_window(n_fft), center=False, return_complex=True
    )
    restored = InverseSTFT(n_fft, hop)(spectrum.transpose(1, 2))
    torch.testing.assert_close(restored, samples, atol=1e-5, rtol=0)


def test_inverse_stft_keeps_a_constant_flat_up_to_both_ends():
    spectrum = torch.fft.rfft(torch.hann_window(1024)).repeat(1, 7, 1)
    torch.testing.assert_close(
        InverseSTFT(1024, 160)(spectrum), torch.ones(1, 7 * 160), atol=1e-5, rtol=0
    )


def test_an_untrained_istft_vocoder_already_has_the_loudness_of_its_mel():
    torch.manual_seed(0)
    spec, noise = MelSpec(), 0.1 * torch.randn(1, 32000)
    log_mel = vae_mel(noise, spec)
    istft_vocoder = build_vocoder(
        VocoderConfig(kind="istft", channels=16, ffn_dim=32, num_layers=1)
    ).eval()
    with torch.no_grad():
        again = istft_vocoder(log_mel)
        torch.testing.assert_close(
            istft_vocoder(log_mel.expand(2, -1, -1, -1))[1], again[0], atol=1e-5, rtol=0
        )  # batch-free, seeded
    assert again.shape == (1, 1, 32000)
    assert (vae_mel(again[0], spec) - log_mel).mean().abs() < 0.3


@pytest.mark.parametrize("config", [SMALL, ALL_SOURCES])
def test_istft_vocoder_in_chunks_and_sections_equals_the_whole(config, monkeypatch):
    torch.manual_seed(0)
    system = build_vocoder(replace(config, pitch_smoothing_frames=20)).eval()
    # float32 knows phases of 350 turns to 2^-15 turns, and those of high harmonics to 2^-14
    chunk_tolerance = 1e-6
    section_tolerance = 2 * torch.pi * 2**-15
    if config.use_harmonics:
        torch.nn.init.normal_(system.attacks.gains.weight, std=0.5)
        torch.nn.init.constant_(system.attacks.head.bias, 2.0)
        chunk_tolerance = section_tolerance = 2 * torch.pi * 2**-14
    mel = torch.randn(1, 1, 700, 16)
    with torch.no_grad():
        whole = system(mel)
        monkeypatch.setattr(istft_vocoder, "CHUNK_FRAMES", 40)
        loudest = float(whole.abs().max())
        torch.testing.assert_close(system(mel), whole, atol=chunk_tolerance * loudest, rtol=0)
        monkeypatch.setattr(istft_vocoder, "SECTION_FRAMES", 120)
        torch.testing.assert_close(system(mel), whole, atol=section_tolerance * loudest, rtol=0)


def test_a_clip_in_a_batch_equals_the_clip_alone():
    torch.manual_seed(0)
    system = build_vocoder(ALL_SOURCES).eval()
    mel = torch.randn(3, 1, 40, 16)
    with torch.no_grad():
        batch = system(mel)
        alone = system(mel[1:2])
    assert batch.shape == (3, 1, 40 * SMALL.hop_length)
    torch.testing.assert_close(batch[1:2], alone, atol=1e-3 * float(batch.abs().max()), rtol=0)


def test_variants_differ_in_their_noise_only():
    torch.manual_seed(0)
    system = build_vocoder(ALL_SOURCES).eval()
    mel = torch.randn(2, 1, 40, 16)
    with torch.no_grad():
        samples, frequency = system.synthesize(mel)
        variants, controls = system.synthesize_variants(mel, 40)
    assert variants.shape == (40, 2, 40 * SMALL.hop_length)
    assert controls.attacks.long_gain.shape == (2, 40 * SMALL.hop_length)
    torch.testing.assert_close(controls.frequency, frequency, rtol=1e-4, atol=1e-2)
    difference = (variants[0] - variants[1]).std()
    assert difference > 0.01 * variants.std()
    # the mean has hardly any noise, so only that of `samples` remains in the difference
    noise_std = difference / 2**0.5
    assert (variants.mean(0) - samples[:, 0]).std() < 1.1 * noise_std


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attack_n_fft": 300}, "must divide n_fft"),
        ({"attack_n_fft": 1024}, "must divide n_fft"),
        ({"attack_n_fft": 128}, "at least hop_length"),
        ({"attack_n_fft": 256, "hop_length": 162}, "multiple of 4"),
    ],
)
def test_a_window_for_attacks_that_does_not_fit_is_an_error(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **changes)


def test_istft_vocoder_synthesizes_in_float32_under_autocast():
    torch.manual_seed(0)
    istft_vocoder, log_mel = build_vocoder(SMALL).eval(), torch.randn(1, 1, 9, SMALL.n_mels)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        samples = istft_vocoder(log_mel)
    with torch.no_grad():
        expected = istft_vocoder(log_mel)
    assert samples.dtype == torch.float32
    assert (samples - expected).std() < 0.05 * expected.std()
