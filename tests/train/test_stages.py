"""Every stage learns from a corpus in a few steps, and what it leaves behind loads and sounds."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_FILM
from safetensors.torch import load_file, save_file

import latentaudio
from latentaudio import variants
from latentaudio.conditioning.encode import encode_prompts
from latentaudio.data.encoded import Encoded
from latentaudio.data.render.corpus import render_corpus
from latentaudio.errors import ConfigError, UsageError
from latentaudio.train import encode
from latentaudio.train.config import Recipe
from latentaudio.train.encode import encoded_folder, nulls
from latentaudio.train.loop import read_log, train
from latentaudio.train.stages import make_stage
from latentaudio.train.stages.encoded import sources_of
from latentaudio.train.stages.vae import _patches_apart, _two_takes
from latentaudio.types import Conditioning, Context
from latentaudio.weights.folder import load_part, read_config, save_part, write_config

KINDS = ("dog", "bell", "rain")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "data"
    render_corpus(folder, hours=24 / 3600, seed=3, kinds=KINDS, seconds=(1.28, 2.56), weights=(1, 1), workers=1)
    return folder


@pytest.fixture(autouse=True)
def tiny_rows(monkeypatch):
    for name, config in (("mini", TINY), ("mini-film", TINY_FILM)):
        monkeypatch.setitem(variants.VARIANTS, name, replace(variants.VARIANTS[name], config=config))


def recipe(stage: str, steps: int = 2, **changes) -> Recipe:
    changes = {"batch": 4, "precision": "fp32", "log_every": 1, "device": "cpu", "optim": {"lr": 3e-3, "warmup": 1}} | changes
    return Recipe(stage=stage, steps=steps, **changes)


def run(stage, data, tmp_path, init, **changes):
    out = tmp_path / "runs" / stage
    train(recipe(stage, **changes), (data,), out, (init,))
    return out, read_log(out)


@pytest.mark.parametrize(
    ("stage", "options", "told"),
    [
        ("vocoder", {"frames": 20, "adversarial": 1.0, "critic_channels": 2}, {"vocoder/matching", "critics/hinge"}),
        ("vocoder", {"frames": 32, "decoded": 0.5, "pitch": 3.0}, {"vocoder/pitch", "vocoder/mel"}),
        (
            "vocoder",
            {"frames": 32, "decoded": 0.5, "energy": 1.0, "steady": 1.0, "attack": 4.0, "pure": 1.0},
            {"vocoder/apart", "vocoder/steady", "vocoder/pure"},
        ),
        ("vae", {"frames": 32, "adversarial": 0.1, "patch_channels": 4, "statistics_over": 4}, {"vae/kl", "critic/hinge"}),
        ("vae", {"frames": 32, "decoder_only": True, "energy": 1.0}, {"vae/patches", "vae/apart"}),
        ("audiomae", {"frames": 128}, {"audiomae/patches"}),
        ("clap", {}, {"clap/sound", "clap/words"}),
        ("translator", {"frames": 512}, {"translator/l1", "translator/free"}),
        ("draft", {"frames": 512, "dropout": 0.1}, {"draft/mse"}),
        ("draft", {"frames": 1024, "pairs": 0.5}, {"draft/mse"}),
        ("diffusion", {"frames": 512}, {"unet/mse"}),
        ("diffusion", {"frames": 512, "truth": 0.25}, {"unet/mse"}),
        ("joint", {"frames": 512}, {"unet/mse", "translator/l1"}),
        ("student", {"frames": 512, "stops": [999, 499], "substeps": 2}, {"unet/mse"}),
    ],
)
def test_a_stage_trains_its_part_and_leaves_a_model_that_sounds(stage, options, told, data, tmp_path, tiny_folder):
    out, log = run(stage, data, tmp_path, tiny_folder, options=options)
    assert told <= log[-1].keys()
    assert all(np.isfinite(value) for value in log[-1].values())
    part = {"diffusion": "unet", "joint": "translator"}.get(stage, stage)
    before = load_part(tiny_folder, "unet" if stage == "student" else part, TINY).state_dict()
    after = load_part(out / "model", part, TINY).state_dict()
    assert any(not torch.equal(before[k], after[k]) for k in before)
    [clip] = latentaudio.load(out, precision="fp32").generate("a dog barking", seconds=0.6, steps=2, seed=1)
    assert clip.samples.shape == (1, 9600)


@pytest.mark.parametrize(
    ("stage", "options", "precision"),
    [
        ("vae", {"frames": 32, "adversarial": 0.1, "patch_channels": 4, "statistics_over": 4}, "bf16"),
        ("vocoder", {"frames": 20, "adversarial": 1.0, "critic_channels": 2}, "fp32"),
        ("draft", {"frames": 1024, "pairs": 0.5, "dropout": 0.1}, "fp32"),
        ("diffusion", {"frames": 512, "truth": 0.25}, "bf16"),
        ("joint", {"frames": 512}, "fp32"),
        ("student", {"frames": 512, "substeps": 2}, "fp32"),
    ],
)
def test_any_stage_resumes_to_the_bit(stage, options, precision, data, tmp_path, tiny_folder):
    asked = recipe(stage, 4, options=options, precision=precision, save_every=2, accumulate=2)
    whole, parts = (tmp_path / "runs" / name for name in ("whole", "parts"))
    train(asked, (data,), whole, (tiny_folder,))
    assert train(asked, (data,), parts, (tiny_folder,), minutes=1e-6) == 1
    assert train(asked, (data,), parts) == 4
    for part in whole.glob("model/*.safetensors"):
        one, other = load_file(part), load_file(parts / "model" / part.name)
        assert all(torch.equal(one[key], other[key]) for key in one), part.name


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("hifigan", {"pitch": 1.0}, "sines of their own"),
        ("hifigan", {"energy": 1.0}, "sines of their own"),
        ("istft", {"frames": 31, "decoded": 0.5}, "multiple of"),
    ],
)
def test_a_vocoder_stage_says_what_it_needs(kind, options, words, data, tmp_path, monkeypatch):
    config = replace(TINY, vocoder=replace(TINY.vocoder, kind=kind, channels=32))
    monkeypatch.setitem(variants.VARIANTS, "mini", replace(variants.VARIANTS["mini"], config=config))
    with pytest.raises(ConfigError, match=words):
        train(recipe("vocoder", options=options), (data,), tmp_path / "run")


def test_an_audiomae_that_lost_its_decoder_cannot_learn(data, tmp_path, tiny_folder):
    slim = replace(TINY, audiomae=replace(TINY.audiomae, decoder_depth=0))
    folder = shutil.copytree(tiny_folder, tmp_path / "slim")
    write_config(folder, slim, "mini")
    with pytest.raises(ConfigError, match="has lost its decoder"):
        run("audiomae", data, tmp_path, folder, options={"frames": 128})


def test_a_vocoder_hears_and_is_taught_in_float32_whatever_the_precision(data, tiny_folder, monkeypatch):
    stage = make_stage(recipe("vocoder", options={"frames": 32, "pitch": 1.0}), TINY, (data,), tiny_folder)
    seen = []
    monkeypatch.setattr(stage.vocoder, "played", lambda mel, played=stage.vocoder.played: (seen.append(mel), played(mel))[1])
    monkeypatch.setattr(stage, "_detuned", lambda *given, detuned=stage._detuned: (seen.append(detuned(*given)), seen[-1])[1])
    for fast in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            stage.losses(stage.batch(0), "vocoder", torch.Generator())
    mel, taught, mel_fast, taught_fast = seen
    assert torch.equal(mel, mel_fast)
    torch.testing.assert_close(taught_fast, taught, rtol=0.02, atol=1e-3)  # the network's own half is in bf16


def test_the_vae_can_learn_to_draw_while_its_latents_stay(data, tmp_path, tiny_folder):
    out, _ = run("vae", data, tmp_path, tiny_folder, options={"frames": 32, "decoder_only": True})
    before, after = (load_part(folder, "vae", TINY).state_dict() for folder in (tiny_folder, out / "model"))
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"decoder", "post_quant"}
    stored = [read_config(folder)[1] for folder in (tiny_folder, out / "model")]
    assert stored[0].latent_std == stored[1].latent_std


def test_a_texture_as_rough_as_the_true_one_has_the_least_energy_distance():
    dice = torch.Generator().manual_seed(0)
    truth, one, other = torch.randn(3, 8, 1, 64, 64, generator=dice)

    def score(spread: float, energy: float) -> float:
        near = _patches_apart(spread * one, truth)
        return float(near - energy / 2 * _patches_apart(spread * one, spread * other))

    spreads = (0.0, 0.5, 0.8, 1.0, 1.25, 2.0)
    assert min(spreads, key=lambda s: score(s, 1.0)) == 1.0
    assert min(spreads, key=lambda s: score(s, 0.0)) == 0.0  # without: the flat median


def test_noise_goes_into_idle_channels_only():
    drawn = torch.randn(4, 3, 8, 8)
    idle = torch.tensor([False, True, True])[None, :, None, None]
    one, other = _two_takes(drawn, idle, torch.Generator().manual_seed(0)).chunk(2)
    assert torch.equal(one[:, 0], drawn[:, 0]) and torch.equal(other[:, 0], drawn[:, 0])
    for takes in (one[:, 1:], other[:, 1:], (one - other)[:, 1:] / 2**0.5):
        assert float(takes.std()) == pytest.approx(1.0, abs=0.1)


def test_an_energy_distance_is_for_a_decoder_alone(data, tmp_path):
    for options, words in (({"frames": 32}, "decoder_only=true"), ({"frames": 40, "decoder_only": True}, "multiple of 16")):
        with pytest.raises(ConfigError, match=words):
            train(recipe("vae", options=options | {"energy": 1.0}), (data,), tmp_path / words)


def test_an_energy_distance_needs_idle_channels_and_finds_takes_apart(data, tmp_path, tiny_folder):
    chatty = shutil.copytree(tiny_folder, tmp_path / "chatty")
    state = load_file(chatty / "vae.safetensors")
    state["quant.bias"][: TINY.vae.latent] += 1.0
    save_file(state, chatty / "vae.safetensors")
    with pytest.raises(ConfigError, match="say nothing"):
        run("vae", data, tmp_path, chatty, options={"frames": 32, "decoder_only": True, "energy": 1.0})
    state["quant.weight"].zero_()
    state["quant.bias"].zero_()[0] += 1.0
    save_file(state, chatty / "vae.safetensors")
    stage = make_stage(recipe("vae", options={"frames": 32, "decoder_only": True, "energy": 1.0}), TINY, (data,), chatty)
    assert stage.idle.flatten().tolist() == [False] + [True] * (TINY.vae.latent - 1)
    losses = stage.losses(stage.batch(0), "vae", torch.Generator().manual_seed(0))
    assert losses["vae/apart"].item() > 1e-3


def test_an_error_counts_as_much_as_it_is_heard(data, tmp_path, tiny_folder):
    folder = shutil.copytree(tiny_folder, tmp_path / "run" / "model")
    state = load_file(folder / "vae.safetensors")
    weight = state["post_quant.weight"]
    weight[:] = 0
    weight[0, 0], weight[0, 1] = 0.01, 0.02  # the second channel is the first, twice as loud; the others are not heard
    save_file(state, folder / "vae.safetensors")

    def learning(audible):
        options = {"frames": 512, "audible": audible}
        return make_stage(recipe("diffusion", options=options), TINY, (data,), folder)

    first, second, *others = learning(1.0).audible.flatten().tolist()
    assert second / first == pytest.approx(4.0, rel=0.1)
    assert others == [0.0] * (TINY.vae.latent - 2) and first + second == pytest.approx(TINY.vae.latent)
    stage = learning(0.5)
    first, second, *_ = stage.audible.flatten().tolist()
    assert second / first == pytest.approx(2.0, rel=0.1)
    stage.losses(stage.batch(0), "unet", torch.Generator().manual_seed(0))["unet/mse"].backward()
    assert (stage.unet.conv_out.weight.grad.flatten(1).norm(dim=1) > 0).tolist() == [True, True] + [False] * len(others)


def test_latents_get_a_mean_each_and_one_deviation(data, tmp_path, tiny_folder):
    out, _ = run("vae", data, tmp_path, tiny_folder, options={"frames": 32, "statistics_over": 64})
    config = read_config(out / "model")[1]
    assert (len(config.latent_mean), len(config.latent_std)) == (TINY.vae.latent, 1)
    stage = make_stage(recipe("vae", options={"frames": 32, "statistics_over": 64}), config, (data,), out / "model")
    vae = load_part(out / "model", "vae", config)
    with torch.no_grad():
        z = torch.cat([vae.latent(vae.encode(stage.batch(i)).mode()).z for i in range(16)])
    torch.testing.assert_close(z.mean(dim=(0, 2, 3)), torch.zeros(TINY.vae.latent), atol=1e-3, rtol=0)
    assert float(z.square().mean()) == pytest.approx(1.0, abs=1e-2)


def test_the_unet_can_learn_one_batch_by_heart(data, tmp_path, tiny_folder):
    _, log = run("diffusion", data, tmp_path, tiny_folder, steps=40, options={"frames": 1024, "drop": 0.0, "drop_each": 0.0})
    losses = [entry["unet/mse"] for entry in log]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])


def test_a_unet_alone_may_hear_what_the_translator_writes(data, tmp_path, tiny_folder):
    options = {"frames": 512, "drop": 0.0, "drop_each": 0.0}
    hearing = {}
    for truth in (0.0, 0.5, 1.0):
        out, _ = run("diffusion", data, tmp_path / str(truth), tiny_folder, steps=1, options=options | {"truth": truth})
        stage = make_stage(recipe("diffusion", options=options | {"truth": truth}), TINY, (data,), out / "model")
        batch = stage.batch(0)
        translator = load_part(tiny_folder, "translator", TINY)
        with torch.no_grad():
            written = translator.generate(sources_of(batch), batch["loa"].shape[1]).tokens
        heard = []
        stage._denoising = lambda batch, loa, dice, heard=heard: heard.append(loa) or {}
        for seed in range(8):
            stage.losses(batch, "unet", torch.Generator().manual_seed(seed))
        is_true = torch.stack([(h == batch["loa"]).all(dim=(1, 2)) for h in heard])
        is_written = torch.stack([((h - written).abs() < 1e-2).all(dim=(1, 2)) for h in heard])
        assert (is_true ^ is_written).all()
        hearing[truth] = float(is_true.float().mean())
    assert hearing[0.0] == 0 and hearing[1.0] == 1 and 0.2 < hearing[0.5] < 0.8


def test_what_the_translator_writes_is_written_once(data, tmp_path, tiny_folder):
    options = {"frames": 512, "truth": 0.0}
    out, _ = run("diffusion", data, tmp_path, tiny_folder, steps=1, options=options)
    [kept] = encoded_folder((data,), out / "model", TINY).glob("written_*.safetensors")
    save_file({key: value + 1 for key, value in load_file(kept).items()}, kept)
    told = []
    stage = make_stage(recipe("diffusion", options=options), TINY, (data,), out / "model", lambda *done: told.append(done))
    batch = stage.batch(0)
    with torch.no_grad():
        anew = load_part(tiny_folder, "translator", TINY).generate(sources_of(batch), batch["loa"].shape[1]).tokens
    torch.testing.assert_close(batch["written"], anew + 1, atol=1e-2, rtol=0)
    assert told == []
    kept.unlink()
    stage = make_stage(recipe("diffusion", options=options), TINY, (data,), out / "model", lambda *done: told.append(done))
    torch.testing.assert_close(stage.batch(0)["written"], anew, atol=1e-2, rtol=0)
    assert told[-1][0] == told[-1][1] > 0


def test_steps_are_drawn_evenly_or_logit_normally(data, tiny_folder, tmp_path):
    out, _ = run("diffusion", data, tmp_path, tiny_folder, steps=1, options={"frames": 512})
    quartiles = torch.tensor([0.25, 0.5, 0.75])
    for logit_normal, want in ((None, quartiles), ([-0.3, 1.0], torch.sigmoid(-0.3 + 0.6745 * torch.tensor([-1.0, 0, 1])))):
        options = {"frames": 512, "logit_normal": logit_normal}
        stage = make_stage(recipe("diffusion", options=options), TINY, (data,), out / "model")
        times = stage._times(20000, torch.Generator().manual_seed(0))
        assert times.min() >= 0 and times.max() <= 999
        torch.testing.assert_close(times.float().quantile(quartiles) / 1000, want, atol=0.01, rtol=0)


def test_audioldm_1_is_the_same_stage_with_another_row(data, tmp_path, film_folder):
    out, log = run("diffusion", data, tmp_path, film_folder, model="mini-film", options={"frames": 512})
    assert np.isfinite(log[-1]["unet/mse"])
    [clip] = latentaudio.load(out, precision="fp32").generate("a bell", seconds=0.6, steps=2, seed=1)
    assert clip.samples.shape == (1, 9600)


@pytest.fixture
def encoded(data, tmp_path, tiny_folder):
    model, told = tmp_path / "run" / "model", []
    model.parent.mkdir()
    model.symlink_to(tiny_folder)
    folder = encoded_folder((data,), model, TINY, lambda done, total: told.append((done, total)))
    clips = len((data / "metadata.jsonl").read_text().splitlines())
    assert told == sorted(told) and told[-1] == (clips, clips)
    return folder


def test_encoding_is_the_same_by_several_processes(encoded, data, tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr(encode, "_WORTH_A_WORKER", 4)
    monkeypatch.setattr(encode, "_SHARD", 4)
    monkeypatch.setattr(encode.os, "cpu_count", lambda: 2)
    model = tmp_path / "elsewhere" / "run" / "model"
    model.parent.mkdir(parents=True)
    model.symlink_to(tiny_folder)
    again = Encoded(encoded_folder((data,), model, TINY))
    for mine, other in zip(Encoded(encoded).buckets, again.buckets, strict=True):
        assert mine.arrays.keys() == other.arrays.keys()
        for name, rows in mine.arrays.items():
            torch.testing.assert_close(rows, other.arrays[name], atol=1e-3, rtol=1e-3)  # half precision, other thread counts


def test_encoding_outlives_another_decoder_but_not_another_encoder(encoded, data, tmp_path, tiny_folder):
    model = tmp_path / "run" / "model"
    model.unlink()
    shutil.copytree(tiny_folder, model)
    vae = load_part(model, "vae", TINY)
    torch.nn.init.normal_(vae.decoder.conv_out.weight)
    torch.nn.init.normal_(vae.post_quant.weight)
    save_part(model, "vae", vae.state_dict())
    assert encoded_folder((data,), model, TINY) == encoded
    torch.nn.init.normal_(vae.quant.weight)
    save_part(model, "vae", vae.state_dict())
    assert encoded_folder((data,), model, TINY) != encoded


def test_encoding_is_made_once_and_batches_repeat(encoded, data, tmp_path, tiny_folder):
    made = (encoded / "index.json").stat().st_mtime_ns
    assert encoded_folder((data,), tmp_path / "run" / "model", TINY) == encoded
    assert (encoded / "index.json").stat().st_mtime_ns == made
    first, again = (Encoded(encoded).batch(0, 5, 512) for _ in range(2))
    assert all(torch.equal(first[k], again[k]) for k in first)
    size = len(first["latent"])
    frames = first["latent"].shape[2] * TINY.vae.factor
    assert first["latent"].shape[1:] == (4, frames // 8, 8)
    assert first["loa"].shape == (size, frames // 128, 16)
    assert first["text_mask"].shape == first["text"].shape[:2]


def test_latents_are_those_of_the_vae_to_half_precision(encoded, data, tiny_folder):
    from latentaudio.audio.mel import vae_mel
    from latentaudio.data.dataset import dice, read_crop
    from latentaudio.data.manifest import read_manifest

    [clip, *_] = [c for c in read_manifest(data) if abs(c.seconds - 1.28) < 1e-6]
    vae = load_part(tiny_folder, "vae", TINY)
    samples = torch.from_numpy(read_crop(clip, 16000, 20480, dice(0)))[None]
    with torch.no_grad():
        expected = vae.latent(vae.encode(vae_mel(samples, TINY.mel)).mode()).z
    [bucket] = [b for b in Encoded(encoded).buckets if b.frames == 128]
    assert torch.allclose(bucket.rows("latent", [0]), expected, atol=5e-3)


def test_nulls_are_zeros_for_the_language_of_audio_and_the_empty_text(encoded, tiny):
    null = nulls(encoded)
    like = Conditioning(None, (Context.full(torch.randn(2, 3, 16)), Context.full(torch.randn(2, 5, 24))))
    loa, text = null.of(like).contexts
    assert not loa.tokens.any()
    assert bool(loa.mask.all())
    from latentaudio.conditioning.encode import t5_states

    empty = t5_states(tiny.text, [""]).tokens[0]
    assert torch.allclose(text.tokens[0, : len(empty)], empty, atol=2e-3)
    assert text.mask[0].tolist() == [1.0] * len(empty) + [0.0] * (5 - len(empty))


def test_the_switcher_gives_the_true_language_of_audio_to_its_share(data, tmp_path, tiny_folder):
    model = tmp_path / "run" / "model"
    model.parent.mkdir()
    model.symlink_to(tiny_folder)
    heard = {}
    for share in (0.0, 0.25, 1.0):
        options = {"truth": share, "frames": 128 * 64}
        stage = make_stage(recipe("joint", options=options), TINY, (data,), model)
        stage._denoising = lambda batch, loa, dice, share=share: heard.setdefault(share, (batch["loa"], loa)) and {}
        stage.losses(stage.batch(0), "model", torch.Generator().manual_seed(0))
    shares = {share: float((truth == loa).all(dim=(1, 2)).float().mean()) for share, (truth, loa) in heard.items()}
    assert shares[0.0] == 0.0
    assert shares[1.0] == 1.0
    assert 0 < shares[0.25] < 0.6


def test_a_student_takes_its_leaps_and_nothing_else(data, tmp_path, tiny_folder):
    out, _ = run("student", data, tmp_path, tiny_folder, options={"frames": 512, "stops": [999, 600, 300], "substeps": 2})
    model, steps = latentaudio.load(out, "cpu", "fp32"), []
    [clip] = model.generate("a dog", seconds=1.28, seed=4, preset="draft", on_step=steps.append)
    assert (clip.options.sampler, clip.options.steps, [s.t for s in steps]) == ("leaps", 3, [999, 600, 300])
    z = torch.randn(steps[0].z.shape[1:], generator=torch.Generator().manual_seed(4))[None]
    heard, bar = encode_prompts(model.text, ["a dog"], 1, 16), model.config.schedule
    bar = torch.cumprod(1 - torch.linspace(bar.beta_start**0.5, bar.beta_end**0.5, 1000, dtype=torch.float64) ** 2, 0)
    with torch.inference_mode():
        for t, s in ((999, 600), (600, 300), (300, -1)):
            a, b = float(bar[t]), float(bar[s]) if s >= 0 else 1.0
            v = model.parts["student"](z, torch.tensor([t]), heard)
            x0, noise = a**0.5 * z - (1 - a) ** 0.5 * v, (1 - a) ** 0.5 * z + a**0.5 * v
            z = b**0.5 * x0 + (1 - b) ** 0.5 * noise
    torch.testing.assert_close(steps[-1].z, z, atol=1e-3, rtol=1e-3)
    for wish in ({"steps": 5}, {"guidance": 2.0}, {"negative": "hiss"}):
        assert model.requests(["a dog"], {"preset": "draft", **wish})[0].sampler == "dpm++"
        with pytest.raises(UsageError, match="takes 3 steps, unguided"):
            model.requests(["a dog"], {"sampler": "leaps", **wish})


@pytest.mark.parametrize("stops", [[999, 0], [1000, 500], [10, 5]])
def test_stops_that_leave_no_room_are_refused(stops, data, tmp_path, tiny_folder):
    with pytest.raises(ConfigError, match="leave no room"):
        run("student", data, tmp_path, tiny_folder, options={"frames": 512, "stops": stops, "substeps": 8})


def test_a_student_is_asked_for_what_one_step_of_its_teacher_and_its_own_leap_give(data, tmp_path, tiny_folder):
    out, _ = run("student", data, tmp_path, tiny_folder, steps=3, options={"frames": 512, "substeps": 4})
    stage = make_stage(recipe("student", options={"frames": 512, "substeps": 4}), TINY, (data,), out / "model")
    batch, schedule = stage.batch(0), stage.schedule
    heard, teacher = stage._conditioning(batch, stage._heard(batch)), stage.teacher
    z = torch.randn(batch["latent"].shape, generator=torch.Generator().manual_seed(1))

    def leap(z, x0, t, s):  # DDIM (arXiv 2010.02502, eq. 12) in the plain numbers of the schedule
        a, b = (float(schedule.alphas_cumprod[k]) if k >= 0 else 1.0 for k in (t, s))
        return b**0.5 * x0 + (1 - b) ** 0.5 * (z - a**0.5 * x0) / (1 - a) ** 0.5

    def asked(network, z, t, heard):
        times = torch.full((len(z),), t)
        return schedule.split(z, times, network(z, times, heard).detach())[0]

    for t, u, s, scale in (
        (999, 936, 749, 3.0),
        (812, 749, 749, 3.0),
        (249, 186, -1, 3.0),
        (62, -1, -1, 1.0),
        (186, 124, -1, 1.0),
    ):
        with_, without = asked(teacher, z, t, heard), asked(teacher, z, t, stage.null.of(heard))
        apart = with_ - without
        along = (apart * with_).sum((1, 2, 3), True) / with_.square().sum((1, 2, 3), True) * with_
        first = with_ + (scale - 1) * (apart - along)
        between = leap(z, first, t, u)
        want = between if u == s else leap(between, asked(stage.unet, between, u, heard), u, s)
        times = (torch.full((len(z),), k) for k in (t, u, s))
        target = stage._target(z, *times, heard)
        got = leap(z, schedule.split(z, torch.full((len(z),), t), target)[0], t, s)
        torch.testing.assert_close(got, want, atol=2e-4, rtol=2e-4)
