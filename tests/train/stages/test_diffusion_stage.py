"""The diffusion stages: the switcher of the language of audio, timesteps and channel weights."""

import shutil

import numpy as np
import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file, save_file

import latentaudio
from latentaudio.loaders.model_folder import load_component
from latentaudio.train.pre_encode import pre_encode
from latentaudio.train.stages.latent_stage import GENERATED_LOA, TRUE_LOA
from latentaudio.types import Context

NO_DROPOUT = {"cfg_dropout_prob": 0.0, "cond_dropout_prob": 0.0}


class RecordingUNet:
    """A UNet that records the language of audio it is conditioned on."""

    def __init__(self, unet):
        self.unet = unet
        self.loa = []

    def __call__(self, z, t, conditioning):
        self.loa.append(conditioning.contexts[0].tokens.detach())
        return self.unet(z, t, conditioning)


def translate(model_folder, batch):
    translator = load_component(model_folder, "translator", TINY)
    vector = batch["caption/clap.vector"]
    states = Context(batch["caption/t5.tokens"], batch["caption/t5.mask"])
    sources = (Context.unmasked(vector[:, None]), states)
    with torch.no_grad():
        return translator.generate(sources, batch[TRUE_LOA].shape[1]).tokens


def fraction_of_equal_clips(first, second, tolerance=0.0):
    is_equal = ((first - second).abs() <= tolerance).all(dim=(1, 2))
    return float(is_equal.float().mean())


def test_errors_are_weighted_by_the_energy_of_their_channel(tiny_stage, tmp_path, tiny_folder):
    folder = shutil.copytree(tiny_folder, tmp_path / "run" / "model")
    state = load_file(folder / "vae.safetensors")
    weight = state["post_quant_conv.weight"]
    weight[:] = 0
    # The second channel is the first at twice the level. The others have no effect on the mel.
    weight[0, 0] = 0.01
    weight[0, 1] = 0.02
    save_file(state, folder / "vae.safetensors")
    num_channels = TINY.vae.latent_channels

    def build(weighting):
        options = {"frames_per_batch": 512, "channel_loss_weighting": weighting}
        return tiny_stage("diffusion", options, folder)

    first, second, *others = build(1.0).channel_weights.flatten().tolist()
    assert second / first == pytest.approx(4.0, rel=0.1)
    assert others == [0.0] * (num_channels - 2)
    assert first + second == pytest.approx(num_channels)
    stage = build(0.5)
    first, second, *_ = stage.channel_weights.flatten().tolist()
    assert second / first == pytest.approx(2.0, rel=0.1)
    losses = stage.losses(stage.batch(0), "unet", torch.Generator().manual_seed(0))
    losses["unet/mse"].backward()
    gradient = stage.unet.conv_out.weight.grad.flatten(1).norm(dim=1)
    assert (gradient > 0).tolist() == [True, True] + [False] * len(others)


def test_the_unet_can_overfit_one_batch(run_stage, tiny_folder):
    options = {"frames_per_batch": 1024} | NO_DROPOUT
    _, log = run_stage("diffusion", tiny_folder, steps=40, options=options)
    losses = [entry["unet/mse"] for entry in log]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])


def test_the_unet_alone_may_use_the_translators_language_of_audio(
    run_stage, tiny_stage, tmp_path, tiny_folder
):
    fraction_true = {}
    for probability in (0.0, 0.5, 1.0):
        options = {"frames_per_batch": 512, "true_loa_prob": probability} | NO_DROPOUT
        folder = tmp_path / str(probability)
        run_folder, _ = run_stage("diffusion", tiny_folder, folder, steps=1, options=options)
        stage = tiny_stage("diffusion", options, run_folder / "model")
        batch = stage.batch(0)
        generated = translate(tiny_folder, batch)
        stage.unet = RecordingUNet(stage.unet)
        for seed in range(8):
            stage.losses(batch, "unet", torch.Generator().manual_seed(seed))
        loa = torch.stack(stage.unet.loa)
        is_true = (loa == batch[TRUE_LOA]).all(dim=(2, 3))
        is_generated = ((loa - generated).abs() < 1e-2).all(dim=(2, 3))
        assert (is_true ^ is_generated).all()
        fraction_true[probability] = float(is_true.float().mean())
    assert fraction_true[0.0] == 0
    assert fraction_true[1.0] == 1
    assert 0.2 < fraction_true[0.5] < 0.8


def test_the_translators_language_of_audio_is_computed_once(
    data, run_stage, tiny_stage, tiny_folder
):
    options = {"frames_per_batch": 512, "true_loa_prob": 0.0}
    run_folder, _ = run_stage("diffusion", tiny_folder, steps=1, options=options)
    model_folder = run_folder / "model"
    [path] = pre_encode((data,), model_folder, TINY).glob("generated_loa_*.safetensors")
    save_file({key: value + 1 for key, value in load_file(path).items()}, path)
    reports = []

    def on_prepare(num_done, total):
        reports.append((num_done, total))

    batch = tiny_stage("diffusion", options, model_folder, on_prepare).batch(0)
    generated = translate(tiny_folder, batch)
    torch.testing.assert_close(batch[GENERATED_LOA], generated + 1, atol=1e-2, rtol=0)
    assert reports == []
    path.unlink()
    batch = tiny_stage("diffusion", options, model_folder, on_prepare).batch(0)
    torch.testing.assert_close(batch[GENERATED_LOA], generated, atol=1e-2, rtol=0)
    assert reports[-1][0] == reports[-1][1] > 0


@pytest.mark.parametrize("logit_mean", [None, -0.3])
def test_timesteps_are_uniform_or_logit_normal(logit_mean, run_stage, tiny_stage, tiny_folder):
    options = {"frames_per_batch": 512}
    run_folder, _ = run_stage("diffusion", tiny_folder, steps=1, options=options)
    quartiles = torch.tensor([0.25, 0.5, 0.75])
    expected = quartiles
    if logit_mean is not None:
        expected = torch.sigmoid(logit_mean + 0.6745 * torch.tensor([-1.0, 0, 1]))
        options = options | {"logit_mean": logit_mean, "logit_std": 1.0}
    stage = tiny_stage("diffusion", options, run_folder / "model")
    timesteps = stage.sample_timesteps(20000, torch.Generator().manual_seed(0))
    assert timesteps.min() >= 0
    assert timesteps.max() <= 999
    actual = timesteps.float().quantile(quartiles) / 1000
    torch.testing.assert_close(actual, expected, atol=0.01, rtol=0)


def test_audioldm_1_is_the_same_stage_with_another_model(run_stage, film_folder):
    options = {"frames_per_batch": 512}
    run_folder, log = run_stage("diffusion", film_folder, model="mini-film", options=options)
    assert np.isfinite(log[-1]["unet/mse"])
    model = latentaudio.load(run_folder, precision="fp32")
    [clip] = model.generate("a bell", duration=0.6, steps=2, seed=1)
    assert clip.samples.shape == (1, 9600)


def test_the_joint_stage_uses_the_true_language_of_audio_with_its_probability(
    tiny_stage, tmp_path, tiny_folder
):
    model_folder = tmp_path / "run" / "model"
    model_folder.parent.mkdir(parents=True)
    model_folder.symlink_to(tiny_folder)
    fraction_true = {}
    for probability in (0.0, 0.25, 1.0):
        options = {"true_loa_prob": probability, "frames_per_batch": 128 * 64} | NO_DROPOUT
        stage = tiny_stage("joint", options, model_folder)
        stage.unet = RecordingUNet(stage.unet)
        batch = stage.batch(0)
        stage.losses(batch, "model", torch.Generator().manual_seed(0))
        [loa] = stage.unet.loa
        fraction_true[probability] = fraction_of_equal_clips(loa, batch[TRUE_LOA])
    assert fraction_true[0.0] == 0.0
    assert fraction_true[1.0] == 1.0
    assert 0 < fraction_true[0.25] < 0.6
