"""One model in three layouts: every tensor comes back to the bit, and what was written opens in the library it is meant for."""

import json
import shutil
from dataclasses import replace

import published
import pytest
import torch
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
from latentaudio.loaders import resolve as loading
from latentaudio.loaders.convert import convert
from latentaudio.loaders.diffusers_format import component_configs
from latentaudio.loaders.diffusers_format import model_index
from latentaudio.loaders.components import component_names
from latentaudio.loaders.model_folder import save_component
from latentaudio.loaders.resolve import resolve_model

QUICK = {"duration": 0.32, "steps": 2, "candidates": 1, "seed": 3}
KINDS = {"audioldm2": published.audioldm2, "v1": published.audioldm}


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return published.save(
        KINDS[request.param](), tmp_path_factory.mktemp("convert") / request.param
    )


@pytest.fixture
def tiny_rows(monkeypatch, folder):
    """The table with a row of the tiny system's shapes, so that `like` and names reach it."""
    row = replace(
        resolve_model(folder).spec,
        name="tiny-published",
        unet_parameters=1,
        use_ema=True,
        original_checkpoint="tiny.ckpt",
    )
    monkeypatch.setitem(registry.MODELS, "tiny-published", row)
    return row


def states(found):
    return {
        f"{p}.{k}": v
        for p in component_names(found.config)
        for k, v in found.load_component(p, as_stored=True).state_dict().items()
    }


def same(first, second):
    assert first.keys() == second.keys()
    return [
        key
        for key in first
        if first[key].dtype != second[key].dtype or not torch.equal(first[key], second[key])
    ]


@pytest.mark.parametrize("through", ["latentaudio", "original"])
def test_a_round_trip_is_exact_to_the_bit(folder, tiny_rows, tmp_path, through):
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
        want, got = load_file(file), load_file(back / file.relative_to(folder))
        bare = {k.removeprefix("transformer."): v for k, v in want.items() if k != "lm_head.weight"}
        kept = {
            k: v
            for k, v in bare.items()
            if k in got or not k.endswith(("position_ids", "relative_position_index"))
        }
        assert not same(kept, got)
    for kind in ("tokenizer", "tokenizer_2"):
        if (folder / kind).is_dir():
            assert (back / kind / "tokenizer.json").is_file()
    one, two = (
        load(place, "cpu", "fp32", reference="diffusers").generate("a dog", **QUICK)[0]
        for place in (folder, back)
    )
    assert (one.samples == two.samples).all()


MORE = {
    "large": lambda home: published.save(
        published.audioldm2((None, 16, 24, None), depth=2), home / "large"
    ),
    "speech": lambda home: published.save(published.audioldm2(speech=True), home / "speech"),
    "48k": lambda home: published.rewritten(home, "audioldm_48k"),
    "t5": lambda home: published.rewritten(home, "audioldm_16k_crossattn_t5"),
}


@pytest.mark.parametrize("kind", MORE)
def test_every_kind_goes_through_all_layouts_and_comes_back_to_the_bit(kind, tmp_path, monkeypatch):
    first = resolve_model(MORE[kind](tmp_path), reference="diffusers")
    row = replace(
        first.spec, name="tiny-published", unet_parameters=1, original_checkpoint="tiny.ckpt"
    )
    monkeypatch.setitem(registry.MODELS, "tiny-published", row)
    want, found = states(first), first
    for place, layout in (
        ("tiny-published.ckpt", "original"),
        ("ours-again", "latentaudio"),
        ("back", "diffusers"),
    ):
        convert(found, tmp_path / place, layout)
        found = resolve_model(
            tmp_path / place,
            architecture="tiny-published" if layout == "original" else None,
            reference="diffusers",
        )
        assert not same(want, states(found)), layout
        assert found.config.latent_std == pytest.approx(
            first.config.latent_std, rel=1e-6
        )  # float32 in an authors' file
        assert replace(found.config, latent_std=first.config.latent_std) == first.config, layout


def test_what_is_written_opens_in_diffusers(folder, tmp_path):
    model = load(folder, "cpu", "fp32", reference="diffusers")
    convert(model.found, tmp_path / "out", "diffusers")
    kind = UNet2DConditionModel if model.config.unet.film_dim else AudioLDM2UNet2DConditionModel
    unet, info = kind.from_pretrained(tmp_path / "out" / "unet", output_loading_info=True)
    assert not any(info.values())
    first = kind.from_pretrained(folder / "unet").state_dict()
    assert not same(first, unet.state_dict())
    if model.config.unet.film_dim:
        pipe = AudioLDMPipeline.from_pretrained(tmp_path / "out")
        pipe.set_progress_bar_config(disable=True)
        made = pipe("a dog", num_inference_steps=2, audio_length_in_s=0.32).audios
        assert made.shape == (1, 5120)


def test_an_authors_checkpoint_with_its_leftovers_loads(folder, tiny_rows, tmp_path):
    path = published.authors(resolve_model(folder), tmp_path / "tiny-published.ckpt")
    raw = resolve_model(path, architecture="tiny-published", reference="diffusers")
    assert not same(states(resolve_model(folder)), states(raw))
    averaged = (
        resolve_model(path, architecture="tiny-published", reference="clean")
        .load_component("unet")
        .state_dict()
    )
    plain = raw.load_component("unet").state_dict()
    assert all(torch.equal(averaged[key], plain[key] * 1.01) for key in plain)
    assert raw.config.latent_std == pytest.approx((1 / 0.7,))
    one, two = (
        load(place, "cpu", "fp32", reference="diffusers", architecture="tiny-published").generate(
            "a dog", **QUICK
        )[0]
        for place in (folder, path)
    )
    assert (one.samples == two.samples).all()


def test_keys_nobody_knows_stop_the_load_with_their_shapes(folder, tiny_rows, tmp_path):
    path = published.authors(resolve_model(folder), tmp_path / "tiny-published.ckpt", extra=False)
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
        match=r"missing: out\.0\.bias \[32\]; unexpected: odd \[1, 2\]; wrong shape: out\.2\.bias is \[7\], not \[4\]",
    ):
        resolve_model(path, architecture="tiny-published", reference="diffusers").load_component(
            "unet"
        )


def test_a_lone_component_takes_the_place_of_a_part(folder, tmp_path):
    state = {
        k: v * 2 for k, v in resolve_model(folder).load_component("vocoder").state_dict().items()
    }
    torch.save({"generator": state}, tmp_path / "hifigan.ckpt")
    found = resolve_model(folder, components={"vocoder": tmp_path / "hifigan.ckpt"})
    assert not same(found.load_component("vocoder").state_dict(), state)
    assert not same(
        resolve_model(folder, components={"vae": folder / "vae"})
        .load_component("vae")
        .state_dict(),
        resolve_model(folder).load_component("vae").state_dict(),
    )
    with pytest.raises(UsageError, match="has no component 'ear'"):
        resolve_model(folder, components={"ear": tmp_path})


def test_double_precision_is_cast(folder, tmp_path):
    file = next((folder / "text_encoder").glob("*.safetensors"))
    state = {k: v.double() if v.is_floating_point() else v for k, v in load_file(file).items()}
    torch.save(state, tmp_path / "clap.bin")
    part = resolve_model(folder, components={"clap": tmp_path / "clap.bin"}).load_component("clap")
    assert {p.dtype for p in part.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", [torch.int32, torch.complex64])
def test_weights_that_are_no_floats_are_told(folder, tmp_path, kind):
    file = next((folder / "vocoder").glob("*.safetensors"))
    torch.save({k: v.to(kind) for k, v in load_file(file).items()}, tmp_path / "vocoder.bin")
    with pytest.raises(
        WeightsError, match=f"has type {str(kind).removeprefix('torch.')} and must have float32"
    ):
        resolve_model(folder, components={"vocoder": tmp_path / "vocoder.bin"}).load_component(
            "vocoder"
        )


@pytest.mark.parametrize("widths", ["x", 3, [], [0, 0]])
def test_numbers_that_cannot_be_are_told(folder, tmp_path, widths):
    own = shutil.copytree(folder, tmp_path / "own")
    numbers = json.loads((own / "unet" / "config.json").read_text())
    (own / "unet" / "config.json").write_text(json.dumps({**numbers, "block_out_channels": widths}))
    with pytest.raises(WeightsError, match="has an impossible value"):
        resolve_model(own)


def test_refusals(folder, tmp_path, tiny_folder):
    found = resolve_model(folder)
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="exists already"):
        convert(found, tmp_path / "there", "diffusers")
    with pytest.raises(UsageError, match=r"ends in \.ckpt or \.pth"):
        convert(found, tmp_path / "folder", "original")
    with pytest.raises(UsageError, match="only latentaudio has"):
        convert(resolve_model(tiny_folder), tmp_path / "mini", "diffusers")
    with pytest.raises(UsageError, match="only latentaudio has"):
        convert(resolve_model(tiny_folder), tmp_path / "mini.ckpt", "original")
    with pytest.raises(UsageError, match="has no config, and no published model"):
        convert(found, tmp_path / "tiny.ckpt", "original")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]


def test_the_command_proves_what_it_wrote(folder, tmp_path, capsys):
    assert (
        main(
            ["convert", str(folder), str(tmp_path / "ours"), "--layout", "latentaudio", "--verify"]
        )
        == 0
    )
    assert capsys.readouterr().out.strip().endswith("difference 0")


def test_what_sounds_otherwise_is_not_left_behind(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("latentaudio.cli.convert._apart", lambda *_: 0.5)
    assert (
        main(
            ["convert", str(folder), str(tmp_path / "ours"), "--layout", "latentaudio", "--verify"]
        )
        == 2
    )
    assert "sounded otherwise" in capsys.readouterr().err and not (tmp_path / "ours").exists()


@pytest.mark.parametrize("layout", ["latentaudio", "diffusers"])
def test_the_proof_compares_the_weights_and_heads_that_were_written(
    folder, tiny_rows, tmp_path, monkeypatch, capsys, layout
):
    """A checkpoint with averaged weights too, of a model trained with other heads than converted folders state."""
    trained = replace(tiny_rows.config, unet=replace(tiny_rows.config.unet, num_heads=(2, 4)))
    monkeypatch.setitem(registry.MODELS, "tiny-published", replace(tiny_rows, config=trained))
    source, target = (
        published.authors(resolve_model(folder), tmp_path / "tiny-published.ckpt"),
        tmp_path / "out",
    )
    line = [
        "convert",
        str(source),
        str(target),
        "--layout",
        layout,
        "--like",
        "tiny-published",
        "--verify",
    ]
    assert main(line) == 0, capsys.readouterr().err
    like = "tiny-published" if layout == "diffusers" else None
    assert resolve_model(
        target, architecture=like, reference="diffusers"
    ).config.unet.num_heads == (8, 8)
    assert resolve_model(target, architecture=like).config.unet.num_heads == (2, 4)


@pytest.mark.parametrize("kind", ["audioldm2", "v1", "speech"])
@pytest.mark.parametrize("through", ["latentaudio", None])
def test_a_converted_pipeline_opens_in_diffusers_whole_and_sounds_the_same(kind, through, tmp_path):
    if kind == "speech":
        pipe = published.audioldm2((None, 16), speech=True)
        pipe.tokenizer_2 = published.phoneme_symbols(tmp_path / "symbols")
    else:
        pipe = KINDS[kind]()
    source = found = resolve_model(published.save(pipe, tmp_path / "source"), reference="diffusers")
    if through:
        convert(source, tmp_path / "ours", through)
        found = resolve_model(tmp_path / "ours", reference="diffusers")
    convert(found, tmp_path / "out", "diffusers")
    audios = []
    for folder in (source.path, tmp_path / "out"):
        more = {}
        if kind != "v1":  # the class with which diffusers' loop still runs
            more["language_model"] = GPT2LMHeadModel.from_pretrained(folder / "language_model")
        if (
            kind == "audioldm2"
        ):  # whole words are its tokens, which transformers' class for T5 does not read
            more["tokenizer_2"] = pipe.tokenizer_2
        opened = (AudioLDMPipeline if kind == "v1" else AudioLDM2Pipeline).from_pretrained(
            folder, **more
        )
        opened.set_progress_bar_config(disable=True)
        said = {"transcription": "həlˈoʊ", "max_new_tokens": 8} if kind == "speech" else {}
        latents = torch.randn(1, 4, 8, 4, generator=torch.Generator().manual_seed(1))
        audios.append(
            opened(
                "a dog", num_inference_steps=2, audio_length_in_s=0.32, latents=latents, **said
            ).audios
        )
    assert (audios[0] == audios[1]).all()
    assert audios[0].std() > 0


@pytest.mark.parametrize(("stated", "taken"), [(8, (2, 4)), (16, (16, 16)), ([1, 2], (1, 2))])
def test_heads_other_than_converted_folders_state_are_meant(
    folder, tiny_rows, tmp_path, monkeypatch, stated, taken
):
    trained = replace(tiny_rows.config, unet=replace(tiny_rows.config.unet, num_heads=(2, 4)))
    monkeypatch.setitem(registry.MODELS, "tiny-published", replace(tiny_rows, config=trained))
    own = shutil.copytree(folder, tmp_path / "own")
    numbers = json.loads((own / "unet" / "config.json").read_text())
    numbers.pop("num_attention_heads", None)
    (own / "unet" / "config.json").write_text(json.dumps({**numbers, "attention_head_dim": stated}))
    assert resolve_model(own).config.unet.num_heads == taken


def test_converting_to_one_file_leaves_all_or_nothing(folder, tiny_rows, tmp_path, monkeypatch):
    """Another model's tokenizers stay as they are; what fails leaves nothing; usual lengths and schedulers are kept."""
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("another")
    with pytest.raises(DataError, match="of another model"):
        convert(resolve_model(folder), tmp_path / "x.ckpt", "original")
    assert (tmp_path / "tokenizer" / "tokenizer.json").read_text() == "another"

    def full(*_):
        raise RuntimeError(
            "[enforce fail at inline_container.cc:1] . PytorchStreamWriter failed writing file data/3"
        )

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match="cannot write"):
        convert(resolve_model(folder), tmp_path / "y" / "x.ckpt", "original")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer", "y"]
    assert not any((tmp_path / "y").iterdir())


def test_schedulers_and_usual_lengths_are_kept(folder, tmp_path):
    model = load(folder, "cpu", "fp32", reference="diffusers")
    numbers = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    (folder / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({**numbers, "timestep_spacing": "trailing"})
    )
    convert(model.found, tmp_path / "out", "diffusers")
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(numbers))
    assert "trailing" in (tmp_path / "out" / "scheduler" / "scheduler_config.json").read_text()
    cells = json.loads((folder / "unet" / "config.json").read_text())["sample_size"]
    assert (
        json.loads((tmp_path / "out" / "unet" / "config.json").read_text())["sample_size"] == cells
    )


@pytest.mark.parametrize("part", ["translator", "phonemes", "clap", "unet"])
def test_parts_that_lie_in_two_folders_are_taken_from_the_folder_above(tmp_path, part):
    folder = published.save(published.audioldm2(speech=True), tmp_path / "speech")
    first, second = resolve_model(folder), resolve_model(folder, components={part: folder})
    assert not same(
        first.load_component(part).state_dict(), second.load_component(part).state_dict()
    )


def test_a_lone_part_of_ours_may_be_stored_in_whole_numbers(folder, tmp_path):
    found = resolve_model(folder)
    state = found.load_component("clap").state_dict()
    rows = next(k for k in state if k.endswith("word_embeddings.weight"))
    save_component(tmp_path, "clap", state, int8_keys=[rows])
    back = (
        resolve_model(folder, components={"clap": tmp_path / "clap.safetensors"})
        .load_component("clap")
        .state_dict()
    )
    assert same(state, back) == [rows]
    assert (state[rows] - back[rows]).abs().max() < state[rows].abs().max() / 100


def test_a_folder_is_asked_whether_it_is_like(folder, tmp_path, tiny_folder):
    with pytest.raises(UsageError, match="does not have the shapes of audioldm_48k"):
        resolve_model(folder, architecture="audioldm_48k")
    with pytest.raises(UsageError, match="has its own model.json"):
        resolve_model(tiny_folder, architecture="audioldm2-full")


def test_a_name_of_the_table_reaches_its_hub(monkeypatch):
    asked = []
    monkeypatch.setattr(
        loading,
        "_fetched",
        lambda name: asked.append(loading.hub_location(name)) or loading.ASSETS / "mini",
    )
    resolve_model("audioldm2-full")
    resolve_model("audioldm_48k")
    resolve_model("someone/else")
    assert asked == [
        ("cvssp/audioldm2", None),
        ("haoheliu/audioldm_48k", "audioldm_48k.pth"),
        ("someone/else", None),
    ]
    with pytest.raises(
        WeightsError, match=r"get audioldm-s-text-ft\.ckpt from the authors' record on zenodo"
    ):
        loading.hub_location("audioldm-s-text-ft")


@pytest.mark.parametrize(
    "name",
    [name for name, row in registry.MODELS.items() if row.hub_id and row.config.phonemes is None],
)
def test_a_folder_of_published_shapes_is_known_and_dressed(name, tmp_path):
    """Every published row's JSONs, with the 8 heads that converted folders state, read back as that row."""
    row = registry.MODELS[name]
    stated = replace(row.config, unet=replace(row.config.unet, num_heads=(8, 8, 8, 8)))
    for file, content in {
        **component_configs(stated),
        "model_index.json": model_index(stated),
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(json.dumps(content))
    clean, theirs = resolve_model(tmp_path), resolve_model(tmp_path, reference="diffusers")
    assert clean.spec.config.unet == row.config.unet and theirs.config.unet == stated.unet
    assert (clean.config.vae, clean.config.vocoder, clean.config.t5) == (
        row.config.vae,
        row.config.vocoder,
        row.config.t5,
    )
    assert clean.config.latent_std == pytest.approx(row.config.latent_std)
    assert (clean.config.translator, clean.spec.unet_parameters) == (
        row.config.translator,
        row.unet_parameters,
    )
    assert (clean.config.clap.text_layer_norm_eps, theirs.config.clap.text_layer_norm_eps) == (
        1e-5,
        1e-12,
    )
