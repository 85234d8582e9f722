"""Options of stages that published recipes need, against the formulas of their papers."""

import math
import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from conftest import TINY, TINY_FILM
from torch import nn
from torch.nn import functional as F

from latentaudio.errors import ConfigError
from latentaudio.models.audiomae import AudioMAE
from latentaudio.models.discriminators import DiscriminatorOutput, HiFiGANDiscriminator
from latentaudio.models.lpips import LAST_LAYERS, LPIPS, VGG16_WIDTHS
from latentaudio.train.stages.adversarial import (
    WAVEFORM_GANS,
    adaptive_weight,
    no_training,
)
from latentaudio.train.stages.condition_dropout import ConditionDropoutOptions, draw
from latentaudio.train.stages.latent_stage import LOA, TRUE_LOA
from latentaudio.train.stages.perceptual import LINEAR_FILE, VGG16_FILE, load_lpips

NO_DROPOUT = {"cfg_dropout_prob": 0.0, "cond_dropout_prob": 0.0}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def outputs(seed):
    """Outputs of two discriminators, with two feature maps each."""
    generator = seeded(seed)
    return [
        DiscriminatorOutput(
            torch.randn(2, 1, 5, generator=generator),
            [torch.randn(2, 3, 7, generator=generator) for _ in range(2)],
        )
        for _ in range(2)
    ]


def test_hifigan_sums_least_squares_and_features():
    real, fake = outputs(0), outputs(1)
    gan = WAVEFORM_GANS["hifigan"]
    ones, zeros = torch.ones(2, 1, 5), torch.zeros(2, 1, 5)
    expected = sum(F.mse_loss(r.logits, ones) + F.mse_loss(f.logits, zeros)
                   for r, f in zip(real, fake, strict=True))  # fmt: skip
    torch.testing.assert_close(gan.disc_loss(real, fake), expected)
    expected = sum(F.mse_loss(f.logits, ones) for f in fake)
    torch.testing.assert_close(gan.gen_loss(fake), expected)
    expected = 0
    for r, f in zip(real, fake, strict=True):
        for first, second in zip([*r.features, r.logits], [*f.features, f.logits], strict=True):
            expected = expected + F.l1_loss(first, second)
    torch.testing.assert_close(gan.feature_distance(real, fake), expected)


def test_univnet_means_hinges_and_relative_features():
    real, fake = outputs(0), outputs(1)
    gan = WAVEFORM_GANS["univnet"]
    hinges = []
    for r, f in zip(real, fake, strict=True):
        # torch's hinge embedding: max(0, margin - x) for the target -1
        real_hinge = F.hinge_embedding_loss(r.logits, -torch.ones_like(r.logits), margin=1.0)
        fake_hinge = F.hinge_embedding_loss(-f.logits, -torch.ones_like(f.logits), margin=1.0)
        hinges.append(real_hinge + fake_hinge)
    torch.testing.assert_close(gan.disc_loss(real, fake), torch.stack(hinges).mean())
    equal = gan.feature_distance(real, [output._replace(logits=-output.logits) for output in real])
    assert float(equal) == 0


def test_discriminators_of_hifigan_have_the_published_sizes():
    with torch.device("meta"):
        published = HiFiGANDiscriminator(32)
    plain = {"periods": 0, "scales": 0}
    for kind in plain:
        for module in getattr(published, kind).modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                out, inner = module.out_channels, module.in_channels // module.groups
                plain[kind] += out * inner * math.prod(module.kernel_size) + out
    # 41.1 and 29.6 million, as HiFi-GAN's training counts them
    assert plain["periods"] / 1e6 == pytest.approx(41.1, abs=0.1)
    assert plain["scales"] / 1e6 == pytest.approx(29.6, abs=0.1)


def test_each_scale_hears_half_the_rate_of_the_one_before():
    discriminators = HiFiGANDiscriminator(4).eval()
    result = discriminators(torch.randn(2, 1, 1024, generator=seeded()))
    assert len(result) == len(discriminators.periods) + len(discriminators.scales)
    lengths = [output.features[0].shape[2] for output in result[len(discriminators.periods) :]]
    assert lengths[0] == 1024
    assert all(second == first // 2 + 1 for first, second in pairwise(lengths))


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e9])
def test_the_adaptive_weight_makes_gradients_of_equal_norm(factor):
    weight = torch.randn(4, 4, generator=seeded()).requires_grad_()
    x = torch.randn(8, 4, generator=seeded(1))
    reconstruction = (x @ weight).square().sum()
    adversarial = factor * (x @ weight).sin().sum()
    result = adaptive_weight(reconstruction, adversarial, weight)
    [first] = torch.autograd.grad(reconstruction, weight, retain_graph=True)
    [second] = torch.autograd.grad(adversarial, weight, retain_graph=True)
    expected = (first.norm() / (second.norm() + 1e-4)).clamp(0, 1e4)
    torch.testing.assert_close(result, expected)
    assert not result.requires_grad


def test_a_discriminator_waits_for_its_start(tiny_stage, tmp_path, tiny_folder):
    folder = tmp_path / "run" / "model"
    shutil.copytree(tiny_folder, folder)
    options = {
        "crop_frames": 64,
        "disc_channels": 4,
        "disc_start": 3,
        "disc_first": True,
        "adaptive_adv_weight": True,
        "weights": {"reconstruction": 4096.0, "kl": 10.0, "adv_gen": 0.5},
    }
    stage = tiny_stage("vae", options, folder)
    assert list(stage.trainables) == ["disc", "vae"]
    batch = stage.batch(0)
    stage.step = 2
    assert set(stage.losses(batch, "vae", seeded())) == {"vae/kl", "vae/l1"}
    waiting = stage.losses(batch, "disc", seeded())["disc/hinge"]
    waiting.backward()
    assert waiting.item() == 0
    assert all(not p.grad.any() for p in stage.discriminator.parameters())
    stage.step = 3
    losses = stage.losses(batch, "vae", seeded())
    last = stage.vae.decoder.conv_out.weight
    norms = []
    for name in ("vae/l1", "vae/adv_gen"):
        weight = 4096.0 if name == "vae/l1" else 1.0
        [gradient] = torch.autograd.grad(weight * losses[name], last, retain_graph=True)
        norms.append(float(gradient.norm()))
    assert norms[1] == pytest.approx(norms[0], rel=0.05)
    assert stage.losses(batch, "disc", seeded())["disc/hinge"].item() > 0


def test_no_training_leaves_a_module_as_it_is():
    module = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=0.0)
    before = module.weight.clone()
    no_training(module).backward()
    optimizer.step()
    assert torch.equal(module.weight, before)


def test_hifigan_trains_with_the_mel_of_the_model(tiny_stage, tmp_path, tiny_folder):
    folder = shutil.copytree(tiny_folder, tmp_path / "run" / "model")
    weights = {"mel": 0, "magnitude": 0, "model_mel": 45, "adv_gen": 1, "feature_matching": 2}
    options = {
        "crop_frames": 20,
        "gan": "hifigan",
        "disc_channels": 4,
        "disc_first": True,
        "weights": weights,
    }
    stage = tiny_stage("vocoder", options, folder)
    assert list(stage.trainables) == ["disc", "vocoder"]
    batch = stage.batch(0)
    losses = stage.losses(batch, "vocoder", seeded())
    names = {"vocoder/model_mel", "vocoder/adv_gen", "vocoder/feature_matching"}
    assert set(losses) == names
    assert [stage.loss_weights[name] for name in sorted(names)] == [1, 2, 45]
    assert set(stage.losses(batch, "disc", seeded())) == {"disc/least_squares"}


def write_lpips(folder):
    """Random weights under the names of torchvision and lpips; return them."""
    generator = seeded()
    vgg, linear, in_channels, index, taps = {}, {}, 3, 0, 0
    for width in VGG16_WIDTHS:
        if width == 0:
            index += 1
            continue
        shape = (width, in_channels, 3, 3)
        scale = (2 / (9 * in_channels)) ** 0.5
        vgg[f"features.{index}.weight"] = scale * torch.randn(shape, generator=generator)
        vgg[f"features.{index}.bias"] = torch.zeros(width)
        in_channels = width
        if index + 1 in LAST_LAYERS:
            linear[f"lin{taps}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=generator)
            taps += 1
        index += 2
    vgg["classifier.0.weight"] = torch.zeros(1)
    torch.save(vgg, folder / VGG16_FILE)
    torch.save(linear, folder / LINEAR_FILE)
    return vgg, linear


def test_lpips_is_read_from_the_files_of_other_packages(tmp_path):
    vgg, linear = write_lpips(tmp_path)
    module = load_lpips(str(tmp_path))
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert sum(p.numel() for p in module.features.parameters()) == 14_714_688  # VGG16's own count
    first = torch.rand(2, 1, 32, 16, generator=seeded()) * 2 - 1
    second = torch.rand(2, 1, 32, 16, generator=seeded(1)) * 2 - 1
    distances = module(first, second)
    assert distances.shape == (2,)
    assert torch.equal(module(first, first), torch.zeros(2))
    torch.testing.assert_close(distances, module(second, first))
    # the first term, by hand (arXiv 1801.03924, eq. 1)
    maps = []
    for image in (first, second):
        shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        x = (image.expand(-1, 3, -1, -1) - shift) / scale
        for index in (0, 2):
            x = F.conv2d(x, vgg[f"features.{index}.weight"], padding=1).relu()
        maps.append(x / x.norm(dim=1, keepdim=True))
    term = ((maps[0] - maps[1]).square() * linear["lin0.model.1.weight"]).sum(1).mean((1, 2))
    for convolution in list(module.lin)[1:]:
        nn.init.zeros_(convolution.weight)
    torch.testing.assert_close(module(first, second), term)


def test_lpips_without_its_files_says_which_ones_it_needs(tmp_path):
    with pytest.raises(ConfigError, match=rf"{VGG16_FILE}.*{LINEAR_FILE}.*options\.lpips_folder"):
        load_lpips("")
    write_lpips(tmp_path)
    (tmp_path / LINEAR_FILE).unlink()
    with pytest.raises(ConfigError, match=rf"without {LINEAR_FILE}"):
        load_lpips(str(tmp_path))
    assert len(LPIPS().lin) == len(LAST_LAYERS)


def test_dropout_is_drawn_for_a_clip_or_for_a_batch():
    whole = ConditionDropoutOptions(cfg_dropout_per="batch")
    single = ConditionDropoutOptions()
    fractions = [float(draw(64, 0.5, whole, seeded(seed)).float().mean()) for seed in range(64)]
    assert set(fractions) == {0.0, 1.0}
    assert 0.2 < sum(fractions) / 64 < 0.8
    assert 0.2 < float(draw(64, 0.5, single, seeded()).float().mean()) < 0.8


def test_pools_of_the_language_of_audio_are_drawn_and_captions_left_out(
    tiny_stage, tmp_path, tiny_folder
):
    config = replace(TINY, unet=replace(TINY.unet, use_prior=False), latent_prior=None)
    folder = shutil.copytree(tiny_folder, tmp_path / "run" / "model")
    (folder / "unet.safetensors").unlink()
    options = {"frames_per_batch": 512, "loa_pools": [1, 2, 4, 8], "caption_dropout_prob": 1.0}
    stage = tiny_stage("diffusion", options | NO_DROPOUT, folder, config=config)
    batch = stage.batch(0)
    patches = batch[TRUE_LOA]
    num_frames = batch["latent"].shape[2] * config.vae.downsampling
    assert patches.shape[1] == num_frames // 16 * 8
    audiomae = AudioMAE(config.audiomae)
    lengths = set()
    for seed in range(24):
        loa = stage.select_loa(batch, seeded(seed))
        lengths.add(loa.shape[1])
        pool = math.isqrt(patches.shape[1] // loa.shape[1])
        cls = torch.zeros(len(patches), 1, patches.shape[2])
        expected = audiomae.pool(torch.cat([cls, patches], dim=1), num_frames, pool, pool)
        assert torch.equal(loa, expected)
    assert lengths == {patches.shape[1] // pool**2 for pool in (1, 2, 4, 8)}
    encodings = stage.complete_encodings(batch, loa)
    dropped = stage.drop_conditions(encodings, seeded())
    empty = stage.unconditional.encoding_like("t5", encodings["t5"]).context
    assert torch.equal(dropped["t5"].context.tokens, empty.tokens)
    assert torch.equal(dropped[LOA].context.tokens, loa)
    losses = stage.losses(batch, "unet", seeded())
    assert torch.isfinite(losses["unet/mse"])


def test_pools_need_the_true_language_of_audio(tiny_stage, tmp_path, tiny_folder):
    folder = shutil.copytree(tiny_folder, tmp_path / "run" / "model")
    with pytest.raises(ConfigError, match=r"true_loa_prob to be 1.*it is 0\.25"):
        tiny_stage("diffusion", {"loa_pools": [8], "true_loa_prob": 0.25}, folder)
    with pytest.raises(ConfigError, match="belongs to the stage diffusion"):
        tiny_stage("joint", {"loa_pools": [8]}, folder)


@pytest.mark.parametrize(("probability", "part"), [(0.0, "audio"), (1.0, "caption")])
def test_audioldm_1_is_conditioned_on_sounds_or_captions(
    probability, part, tiny_stage, tmp_path, film_folder
):
    folder = shutil.copytree(film_folder, tmp_path / "run" / "model")
    options = {"frames_per_batch": 512, "clap_text_prob": probability, "clap_dropout_prob": 0.0}
    stage = tiny_stage("diffusion", options | NO_DROPOUT, folder, config=TINY_FILM)
    batch = stage.batch(0)
    seen = []
    unet = stage.unet

    def record(z, t, conditioning):
        seen.append(conditioning.film)
        return unet(z, t, conditioning)

    stage.unet = record
    stage.losses(batch, "unet", seeded())
    assert torch.equal(seen[0], batch[f"{part}/clap.vector"])
    assert not torch.equal(batch["audio/clap.vector"], batch["caption/clap.vector"])


def test_clap_vectors_are_dropped_for_each_clip(tiny_stage, tmp_path, film_folder):
    folder = shutil.copytree(film_folder, tmp_path / "run" / "model")
    options = {"frames_per_batch": 4096, "clap_dropout_prob": 1.0} | NO_DROPOUT
    stage = tiny_stage("diffusion", options, folder, config=TINY_FILM)
    batch = stage.batch(0)
    encodings = stage.complete_encodings(batch, None)
    dropped = stage.drop_conditions(encodings, seeded())
    empty = stage.unconditional.encoding_like("clap", encodings["clap"]).vector
    assert torch.equal(dropped["clap"].vector, empty)
