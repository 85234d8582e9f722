"""One model in three layouts: tensors survive bit for bit, and diffusers opens what is written."""

import json
from dataclasses import replace

import published
import pytest
import torch
from comparison import KINDS, same, states
from diffusers import (
    AudioLDM2Pipeline,
    AudioLDM2UNet2DConditionModel,
    AudioLDMPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file
from transformers import GPT2LMHeadModel

from latentaudio import load
from latentaudio.cli.main import main
from latentaudio.config import registry
from latentaudio.errors import DataError, UsageError, WeightsError
from latentaudio.loaders.convert import convert
from latentaudio.loaders.resolve import resolve_model

# Weights are mapped from their file. On some processors, products of matrices round differently if
# the same weights lie at another offset of a file.
ROUNDING = 2e-5

QUICK = {"duration": 0.32, "steps": 2, "candidates": 1, "seed": 3}


@pytest.mark.parametrize("through", ["latentaudio", "original"])
def test_a_round_trip_is_bit_identical(folder, tiny_spec, tmp_path, through):
    middle = tmp_path / ("tiny-published.ckpt" if through == "original" else "ours")
    convert(resolve_model(folder), middle, through)
    back = tmp_path / "back"
    convert(
        resolve_model(middle, architecture="tiny-published" if through == "original" else None),
        back,
        "diffusers",
    )
    assert not same(states(resolve_model(folder)), states(resolve_model(back)))
    for file in folder.rglob("*.safetensors"):
        expected, actual = load_file(file), load_file(back / file.relative_to(folder))
        bare = {
            k.removeprefix("transformer."): v for k, v in expected.items() if k != "lm_head.weight"
        }
        expected_state = {
            k: v
            for k, v in bare.items()
            if k in actual or not k.endswith(("position_ids", "relative_position_index"))
        }
        assert not same(expected_state, actual)
    for name in ("tokenizer", "tokenizer_2"):
        if (folder / name).is_dir():
            assert (back / name / "tokenizer.json").is_file()
    one, two = (
        load(place, "cpu", "fp32", reference="diffusers").generate("a dog", **QUICK)[0]
        for place in (folder, back)
    )
    assert (one.samples == two.samples).all()


MORE = {
    "large": lambda folder_root: published.save(
        published.audioldm2((None, 16, 24, None), depth=2), folder_root / "large"
    ),
    "speech": lambda folder_root: published.save(
        published.audioldm2(speech=True), folder_root / "speech"
    ),
    "48k": lambda folder_root: published.write_unpublished(folder_root, "audioldm_48k"),
    "t5": lambda folder_root: published.write_unpublished(folder_root, "audioldm_16k_crossattn_t5"),
}


@pytest.mark.parametrize("name", MORE)
def test_every_model_passes_all_layouts_bit_for_bit(name, tmp_path, monkeypatch):
    first = resolve_model(MORE[name](tmp_path), reference="diffusers")
    spec = replace(
        first.spec, name="tiny-published", unet_parameters=1, original_checkpoint="tiny.ckpt"
    )
    monkeypatch.setitem(registry.MODELS, "tiny-published", spec)
    expected, model = states(first), first
    for place, layout in (
        ("tiny-published.ckpt", "original"),
        ("ours-again", "latentaudio"),
        ("back", "diffusers"),
    ):
        convert(model, tmp_path / place, layout)
        model = resolve_model(
            tmp_path / place,
            architecture="tiny-published" if layout == "original" else None,
            reference="diffusers",
        )
        assert not same(expected, states(model)), layout
        assert model.config.latent_std == pytest.approx(
            first.config.latent_std, rel=1e-6
        )  # float32 in an authors' file
        assert replace(model.config, latent_std=first.config.latent_std) == first.config, layout


def test_diffusers_opens_a_converted_folder(folder, tmp_path):
    model = load(folder, "cpu", "fp32", reference="diffusers")
    convert(model.source, tmp_path / "out", "diffusers")
    unet_class = (
        UNet2DConditionModel if model.config.unet.film_dim else AudioLDM2UNet2DConditionModel
    )
    unet, info = unet_class.from_pretrained(tmp_path / "out" / "unet", output_loading_info=True)
    assert not any(info.values())
    first = unet_class.from_pretrained(folder / "unet").state_dict()
    assert not same(first, unet.state_dict())
    if model.config.unet.film_dim:
        pipe = AudioLDMPipeline.from_pretrained(tmp_path / "out")
        pipe.set_progress_bar_config(disable=True)
        made = pipe("a dog", num_inference_steps=2, audio_length_in_s=0.32).audios
        assert made.shape == (1, 5120)


def test_a_checkpoint_with_unused_tensors_loads(folder, tiny_spec, tmp_path):
    path = published.write_checkpoint(resolve_model(folder), tmp_path / "tiny-published.ckpt")
    raw_model = resolve_model(path, architecture="tiny-published", reference="diffusers")
    assert not same(states(resolve_model(folder)), states(raw_model))
    averaged = (
        resolve_model(path, architecture="tiny-published", reference="clean")
        .load_component("unet")
        .state_dict()
    )
    plain = raw_model.load_component("unet").state_dict()
    assert all(torch.equal(averaged[key], plain[key] * 1.01) for key in plain)
    assert raw_model.config.latent_std == pytest.approx((1 / 0.7,))
    one, two = (
        load(place, "cpu", "fp32", reference="diffusers", architecture="tiny-published").generate(
            "a dog", **QUICK
        )[0]
        for place in (folder, path)
    )
    assert abs(one.samples - two.samples).max() < ROUNDING


def test_unexpected_keys_are_reported_with_shapes(folder, tiny_spec, tmp_path):
    path = published.write_checkpoint(
        resolve_model(folder), tmp_path / "tiny-published.ckpt", extra=False
    )
    content = torch.load(path, weights_only=True)
    torch.save(
        {"state_dict": {**content["state_dict"], "model.control.weight": torch.zeros(2, 5)}}, path
    )
    with pytest.raises(WeightsError, match=r"does not have, first model\.control\.weight \[2, 5\]"):
        resolve_model(path, architecture="tiny-published")
    content["state_dict"]["model.diffusion_model.out.2.bias"] = torch.zeros(7)
    del content["state_dict"]["model.diffusion_model.out.0.bias"]
    content["state_dict"]["model.diffusion_model.odd"] = torch.zeros(1, 2)
    torch.save(content, path)
    with pytest.raises(
        WeightsError,
        match=(
            r"missing: out\.0\.bias \[32\]; unexpected: odd \[1, 2\]; "
            r"wrong shape: out\.2\.bias is \[7\], not \[4\]"
        ),
    ):
        resolve_model(path, architecture="tiny-published", reference="diffusers").load_component(
            "unet"
        )


def test_impossible_conversions_are_refused(folder, tmp_path, tiny_folder):
    model = resolve_model(folder)
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="exists already"):
        convert(model, tmp_path / "there", "diffusers")
    with pytest.raises(UsageError, match=r"ends in \.ckpt or \.pth"):
        convert(model, tmp_path / "folder", "original")
    with pytest.raises(UsageError, match="only latentaudio has"):
        convert(resolve_model(tiny_folder), tmp_path / "mini", "diffusers")
    with pytest.raises(UsageError, match="only latentaudio has"):
        convert(resolve_model(tiny_folder), tmp_path / "mini.ckpt", "original")
    with pytest.raises(UsageError, match="has no config, and no published model"):
        convert(model, tmp_path / "tiny.ckpt", "original")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]


def test_the_command_verifies_its_output(folder, tmp_path, capsys):
    assert (
        main(
            ["convert", str(folder), str(tmp_path / "ours"), "--layout", "latentaudio", "--verify"]
        )
        == 0
    )
    difference = capsys.readouterr().out.split()[-1]
    assert float(difference) < ROUNDING


def test_output_that_fails_verification_is_removed(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("latentaudio.cli.convert.compare_models", lambda *_: 0.5)
    assert (
        main(
            ["convert", str(folder), str(tmp_path / "ours"), "--layout", "latentaudio", "--verify"]
        )
        == 2
    )
    assert "generates another clip" in capsys.readouterr().err and not (tmp_path / "ours").exists()


def test_rounding_is_no_failed_verification(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("latentaudio.cli.convert.compare_models", lambda *_: 2e-5)
    command = ["convert", str(folder), str(tmp_path / "ours"), "--layout", "latentaudio"]
    assert main([*command, "--verify"]) == 0
    assert capsys.readouterr().out.strip().endswith("difference 2e-05")
    assert (tmp_path / "ours" / "model.json").is_file()


def test_conversion_keeps_the_class_of_the_language_model(tmp_path):
    folder = published.save(published.audioldm2(), tmp_path / "model")
    convert(resolve_model(folder), tmp_path / "copy", "diffusers")
    for place in (folder, tmp_path / "copy"):
        index = json.loads((place / "model_index.json").read_text())
        config = json.loads((place / "language_model" / "config.json").read_text())
        assert index["language_model"] == ["transformers", "GPT2LMHeadModel"]
        assert config["architectures"] == ["GPT2LMHeadModel"]
    loaded = GPT2LMHeadModel.from_pretrained(tmp_path / "copy" / "language_model")
    expected = GPT2LMHeadModel.from_pretrained(folder / "language_model")
    assert not same(expected.state_dict(), loaded.state_dict())


def test_text_tower_of_audioldm1_alone_passes_the_authors_layout(tmp_path, monkeypatch):
    source = resolve_model(published.save(published.audioldm(), tmp_path / "model"))
    spec = replace(
        source.spec, name="tiny-published", unet_parameters=1, original_checkpoint="tiny.ckpt"
    )
    full_clap = replace(source.config.clap, audio_depths=(1, 1), audio_num_heads=(4, 8))
    complete = replace(source.config, clap=full_clap)
    monkeypatch.setitem(registry.MODELS, "tiny-published", replace(spec, config=complete))
    convert(source, tmp_path / "tiny-published.ckpt", "original")
    again = resolve_model(tmp_path / "tiny-published.ckpt", architecture="tiny-published")
    assert not again.config.can_rank
    assert not same(states(source), states(again))
    convert(again, tmp_path / "back", "diffusers")
    config = json.loads((tmp_path / "back" / "text_encoder" / "config.json").read_text())
    assert config["architectures"] == ["ClapTextModelWithProjection"]
    assert "text_config" not in config
    assert not same(states(source), states(resolve_model(tmp_path / "back")))


@pytest.mark.parametrize("layout", ["latentaudio", "diffusers"])
def test_verification_uses_the_weights_and_heads_that_were_written(
    folder, tiny_spec, tmp_path, monkeypatch, capsys, layout
):
    """The checkpoint has averaged weights, too, and other heads than published folders state."""
    trained = replace(tiny_spec.config, unet=replace(tiny_spec.config.unet, num_heads=(2, 4)))
    monkeypatch.setitem(registry.MODELS, "tiny-published", replace(tiny_spec, config=trained))
    source, target = (
        published.write_checkpoint(resolve_model(folder), tmp_path / "tiny-published.ckpt"),
        tmp_path / "out",
    )
    line = [
        "convert",
        str(source),
        str(target),
        "--layout",
        layout,
        "--architecture",
        "tiny-published",
        "--verify",
    ]
    assert main(line) == 0, capsys.readouterr().err
    architecture = "tiny-published" if layout == "diffusers" else None
    assert resolve_model(
        target, architecture=architecture, reference="diffusers"
    ).config.unet.num_heads == (8, 8)
    assert resolve_model(target, architecture=architecture).config.unet.num_heads == (2, 4)


@pytest.mark.parametrize("name", ["audioldm2", "v1", "speech"])
@pytest.mark.parametrize("through", ["latentaudio", None])
def test_a_converted_pipeline_sounds_the_same_in_diffusers(name, through, tmp_path):
    if name == "speech":
        pipe = published.audioldm2((None, 16), speech=True)
        pipe.tokenizer_2 = published.phoneme_symbols(tmp_path / "symbols")
    else:
        pipe = KINDS[name]()
    source = model = resolve_model(published.save(pipe, tmp_path / "source"), reference="diffusers")
    if through:
        convert(source, tmp_path / "ours", through)
        model = resolve_model(tmp_path / "ours", reference="diffusers")
    convert(model, tmp_path / "out", "diffusers")
    audios = []
    for folder in (source.path, tmp_path / "out"):
        more = {}
        if name != "v1":  # the class with which diffusers' loop still runs
            more["language_model"] = GPT2LMHeadModel.from_pretrained(folder / "language_model")
        if (
            name == "audioldm2"
        ):  # whole words are its tokens, which transformers' class for T5 does not read
            more["tokenizer_2"] = pipe.tokenizer_2
        opened = (AudioLDMPipeline if name == "v1" else AudioLDM2Pipeline).from_pretrained(
            folder, **more
        )
        opened.set_progress_bar_config(disable=True)
        extra = {"transcription": "həlˈoʊ", "max_new_tokens": 8} if name == "speech" else {}
        latents = torch.randn(1, 4, 8, 4, generator=torch.Generator().manual_seed(1))
        audios.append(
            opened(
                "a dog", num_inference_steps=2, audio_length_in_s=0.32, latents=latents, **extra
            ).audios
        )
    assert (audios[0] == audios[1]).all()
    assert audios[0].std() > 0


def test_a_checkpoint_is_written_completely_or_not_at_all(folder, tiny_spec, tmp_path, monkeypatch):
    """Tokenizers of another model stay, and a failure leaves no files."""
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("another")
    with pytest.raises(DataError, match="of another model"):
        convert(resolve_model(folder), tmp_path / "x.ckpt", "original")
    assert (tmp_path / "tokenizer" / "tokenizer.json").read_text() == "another"

    def full(*_):
        raise RuntimeError(
            "[enforce fail at inline_container.cc:1] . "
            "PytorchStreamWriter failed writing file data/3"
        )

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match="cannot write"):
        convert(resolve_model(folder), tmp_path / "y" / "x.ckpt", "original")
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]


def test_the_scheduler_and_the_default_length_are_kept(folder, tmp_path):
    model = load(folder, "cpu", "fp32", reference="diffusers")
    numbers = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    (folder / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({**numbers, "timestep_spacing": "trailing"})
    )
    convert(model.source, tmp_path / "out", "diffusers")
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(numbers))
    assert "trailing" in (tmp_path / "out" / "scheduler" / "scheduler_config.json").read_text()
    cells = json.loads((folder / "unet" / "config.json").read_text())["sample_size"]
    assert (
        json.loads((tmp_path / "out" / "unet" / "config.json").read_text())["sample_size"] == cells
    )
