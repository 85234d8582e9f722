"""Pre-encoded data sets: when they are computed, and the arrays in them."""

import os
import shutil
import warnings
from dataclasses import replace

import pytest
import torch
from conftest import TINY

from latentaudio.audio.mel import vae_mel
from latentaudio.conditioning import collect
from latentaudio.conditioning.clap import clap_text_embeds
from latentaudio.conditioning.encodings import Encoding
from latentaudio.conditioning.t5 import t5_states
from latentaudio.data.dataset import read_crop, seeded_generator
from latentaudio.data.manifest import read_manifest
from latentaudio.data.pre_encoded import PreEncodedDataset
from latentaudio.errors import ConfigError, DataError
from latentaudio.loaders.model_folder import load_component, save_component
from latentaudio.train import pre_encode as module
from latentaudio.train.pre_encode import pre_encode
from latentaudio.train.stages.base import STAGES, build_stage, stage_class
from latentaudio.train.stages.latent_stage import TRUE_LOA, LatentStage
from latentaudio.train.unconditional import load_unconditional_inputs
from latentaudio.types import Context


@pytest.fixture
def model_folder(tmp_path, tiny_folder):
    """The model folder of a run."""
    folder = tmp_path / "run" / "model"
    folder.parent.mkdir()
    folder.symlink_to(tiny_folder)
    return folder


@pytest.fixture
def encoded(data, model_folder):
    """The folder of the pre-encoded data."""
    reports = []

    def progress(num_done, total):
        reports.append((num_done, total))

    folder = pre_encode((data,), model_folder, TINY, progress)
    num_clips = len((data / "metadata.jsonl").read_text().splitlines())
    assert reports == sorted(reports)
    assert reports[-1] == (num_clips, num_clips)
    return folder


@pytest.mark.slow
def test_several_processes_give_the_same_arrays(encoded, data, tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr(module, "CLIPS_PER_WORKER", 4)
    monkeypatch.setattr(module, "SHARD_SIZE", 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    other_folder = tmp_path / "elsewhere" / "run" / "model"
    other_folder.parent.mkdir(parents=True)
    other_folder.symlink_to(tiny_folder)
    other = PreEncodedDataset(pre_encode((data,), other_folder, TINY))
    buckets = zip(PreEncodedDataset(encoded).buckets, other.buckets, strict=True)
    for bucket, other_bucket in buckets:
        assert bucket.arrays.keys() == other_bucket.arrays.keys()
        for name, rows in bucket.arrays.items():
            # Half precision, and another number of threads.
            torch.testing.assert_close(rows, other_bucket.arrays[name], atol=1e-3, rtol=1e-3)


def test_another_decoder_shares_the_data_but_another_encoder_does_not(
    encoded, data, model_folder, tiny_folder
):
    model_folder.unlink()
    shutil.copytree(tiny_folder, model_folder)
    vae = load_component(model_folder, "vae", TINY)
    torch.nn.init.normal_(vae.decoder.conv_out.weight)
    torch.nn.init.normal_(vae.post_quant_conv.weight)
    save_component(model_folder, "vae", vae.state_dict())
    assert pre_encode((data,), model_folder, TINY) == encoded
    torch.nn.init.normal_(vae.quant_conv.weight)
    save_component(model_folder, "vae", vae.state_dict())
    assert pre_encode((data,), model_folder, TINY) != encoded


def test_data_is_encoded_once_and_batches_repeat(encoded, data, model_folder):
    modified = (encoded / "index.json").stat().st_mtime_ns
    assert pre_encode((data,), model_folder, TINY) == encoded
    assert (encoded / "index.json").stat().st_mtime_ns == modified
    batch = PreEncodedDataset(encoded).batch(0, 5, 512)
    repeated = PreEncodedDataset(encoded).batch(0, 5, 512)
    assert all(torch.equal(batch[name], repeated[name]) for name in batch)
    num_clips = len(batch["latent"])
    num_frames = batch["latent"].shape[2] * TINY.vae.downsampling
    assert batch["latent"].shape[1:] == (4, num_frames // 8, 8)
    assert batch[TRUE_LOA].shape == (num_clips, num_frames // 128, 16)
    assert batch["caption/t5.mask"].shape == batch["caption/t5.tokens"].shape[:2]


def test_latents_are_those_of_the_vae_in_half_precision(encoded, data, tiny_folder):
    clip = next(c for c in read_manifest(data) if abs(c.duration - 1.28) < 1e-6)
    vae = load_component(tiny_folder, "vae", TINY)
    samples = torch.from_numpy(read_crop(clip, 16000, 20480, seeded_generator(0)))[None]
    with torch.no_grad():
        expected = vae.normalize(vae.encode(vae_mel(samples, TINY.mel)).mode()).z
    [bucket] = [b for b in PreEncodedDataset(encoded).buckets if b.num_frames == 128]
    assert torch.allclose(bucket.rows("latent", [0]), expected, atol=5e-3)


def test_samples_of_the_posterior_have_its_mean_its_variance_and_fresh_noise(
    encoded, data, tiny_folder
):
    clip = next(c for c in read_manifest(data) if abs(c.duration - 1.28) < 1e-6)
    vae = load_component(tiny_folder, "vae", TINY)
    samples = torch.from_numpy(read_crop(clip, 16000, 20480, seeded_generator(0)))[None]
    with torch.no_grad():
        posterior = vae.encode(vae_mel(samples, TINY.mel))
    dataset = PreEncodedDataset(encoded, sample_posterior=True)
    bucket = dataset.buckets[0]
    expected = posterior.logvar - 2 * torch.log(vae.latent_std)
    assert torch.allclose(bucket.rows("latent_logvar", [0]), expected, atol=5e-3)
    modes = PreEncodedDataset(encoded)
    noises = []
    for position in range(12):
        batch = dataset.batch(0, position, 1024)
        mode = modes.batch(0, position, 1024)
        assert batch.keys() == mode.keys()
        assert torch.equal(batch["latent"], dataset.batch(0, position, 1024)["latent"])
        for name in batch.keys() - {"latent"}:
            assert torch.equal(batch[name], mode[name])
        noises.append((batch["latent"] - mode["latent"]).flatten())
    deviation = torch.exp(0.5 * bucket.arrays["latent_logvar"].float()).square().mean().sqrt()
    noise = torch.cat(noises)
    assert abs(noise.mean()) < 0.05 * deviation
    assert 0.5 < noise.std() / deviation < 2
    assert not torch.equal(noises[0][:64], noises[1][:64])


def test_unconditional_inputs_are_zeros_and_the_empty_text(encoded, tiny):
    loa = Encoding(context=Context.unmasked(torch.randn(2, 3, 16)))
    text = Encoding(context=Context.unmasked(torch.randn(2, 5, 24)))
    vector = Encoding(vector=torch.randn(2, 8))
    prior = Encoding(latent=torch.randn(2, 4, 2, 8))
    names = ("clap", "t5", "latent_prior", "language_of_audio")
    encodings = collect(TINY, dict(zip(names, (vector, text, prior, loa), strict=True)))
    unconditional = load_unconditional_inputs(encoded).like(encodings)
    torch.testing.assert_close(
        unconditional["clap"].vector, clap_text_embeds(tiny.encoders, ["", ""])
    )
    conditioning = unconditional.conditioning(TINY.unet)
    assert not conditioning.prior.any()
    loa, text = conditioning.contexts
    assert not loa.tokens.any()
    assert bool(loa.mask.all())
    empty = t5_states(tiny.encoders, [""]).tokens[0]
    assert torch.allclose(text.tokens[0, : len(empty)], empty, atol=2e-3)
    assert text.mask[0].tolist() == [1.0] * len(empty) + [0.0] * (5 - len(empty))


def test_a_model_without_an_encoder_of_clips_cannot_be_trained(data, model_folder):
    with pytest.raises(ConfigError, match="has no audiomae"):
        pre_encode((data,), model_folder, replace(TINY, audiomae=None))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("index.json", b"{", "cannot be read"),
        ("index.json", b'{"captions": 3, "buckets": []}', "format 1, not 3"),
        ("index.json", b'{"format": 3, "captions": 3, "buckets": [{}]}', "damaged"),
        ("frames_128.safetensors", b"12345678", "damaged"),
    ],
)
def test_a_damaged_or_older_folder_is_an_error_that_says_what_to_do(
    file, content, message, encoded, tmp_path
):
    folder = shutil.copytree(encoded, tmp_path / "other")
    (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=f"{message}.*; remove the folder and start"):
        PreEncodedDataset(folder)


LATENT_STAGES = [name for name in STAGES if issubclass(stage_class(name), LatentStage)]


@pytest.fixture
def three_data_sets(data, tmp_path):
    """Folders with two clips each."""
    lines = (data / "metadata.jsonl").read_text().splitlines()
    folders = []
    for part in range(3):
        folder = shutil.copytree(data, tmp_path / f"part_{part}")
        (folder / "metadata.jsonl").write_text("\n".join(lines[2 * part : 2 * part + 2]))
        folders.append(folder)
    return folders


def build_with_all_kinds_of_data(name, folders, runs, stage_recipe):
    """A stage with data, held-out data and, if it can have them, old data."""
    new, held_out, old = folders
    options = {"frames_per_batch": 512}
    if name == "distillation":
        options["timesteps"] = [999, 500]
    if name == "finetune":
        options["old_data"] = [str(old)]
    sources = (new, old) if name == "finetune" else (new,)
    recipe = stage_recipe(name, options=options, validate={"data": [str(held_out)]})
    return build_stage(recipe, TINY, sources, runs / "run" / "model")


@pytest.mark.parametrize("name", LATENT_STAGES)
def test_one_line_tells_of_data_sets_that_a_run_does_not_use(
    name, encoded_data, three_data_sets, tmp_path, tiny_folder, stage_recipe
):
    runs = tmp_path / "runs"
    (runs / "run").mkdir(parents=True)
    (runs / "run" / "model").symlink_to(tiny_folder)
    root = runs / "pre_encoded"
    arguments = (name, three_data_sets, runs, stage_recipe)
    with warnings.catch_warnings(action="error"):
        build_with_all_kinds_of_data(*arguments)  # all of them are used
    used = {path.name for path in root.iterdir() if path.is_dir()}
    assert len(used) == 3 if name == "finetune" else 2
    shutil.rmtree(root / min(used))
    stale = shutil.copytree(next(encoded_data.glob("*/index.json")).parent, root / "stale")
    num_bytes = sum(path.stat().st_size for path in stale.iterdir())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stage = build_with_all_kinds_of_data(*arguments)
    [line] = [str(each.message) for each in caught]
    assert f"holds {num_bytes / 1e6:.1f} MB of encoded data" in line
    assert line.endswith(f"this one uses {', '.join(sorted(used))})")
    assert {path.name for path in stage.used_folders} == used
    with warnings.catch_warnings(action="error"):
        build_with_all_kinds_of_data(*arguments)  # nothing is encoded
