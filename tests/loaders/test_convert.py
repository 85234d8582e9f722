"""One model in three layouts: tensors survive bit for bit, and diffusers opens what is written."""

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
from latentaudio.loaders import hub, resolve
from latentaudio.loaders.components import component_names
from latentaudio.loaders.convert import convert
from latentaudio.loaders.diffusers_format import component_configs, model_index
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
def tiny_spec(monkeypatch, folder):
    """The table with a row of the tiny system's shapes, so that `like` and names reach it."""
    spec = replace(
        resolve_model(folder).spec,
        name="tiny-published",
        unet_parameters=1,
        use_ema=True,
        original_checkpoint="tiny.ckpt",
    )
    monkeypatch.setitem(registry.MODELS, "tiny-published", spec)
    return spec


def states(model):
    return {
        f"{p}.{k}": v
        for p in component_names(model.config)
        for k, v in model.load_component(p, as_stored=True).state_dict().items()
    }


def same(first, second):
    assert first.keys() == second.keys()
    return [
        key
        for key in first
        if first[key].dtype != second[key].dtype or not torch.equal(first[key], second[key])
    ]


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
    assert (one.samples == two.samples).all()


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


def test_a_component_is_replaced_by_a_file_of_its_own(folder, tmp_path):
    state = {
        k: v * 2 for k, v in resolve_model(folder).load_component("vocoder").state_dict().items()
    }
    torch.save({"generator": state}, tmp_path / "hifigan.ckpt")
    model = resolve_model(folder, components={"vocoder": tmp_path / "hifigan.ckpt"})
    assert not same(model.load_component("vocoder").state_dict(), state)
    assert not same(
        resolve_model(folder, components={"vae": folder / "vae"})
        .load_component("vae")
        .state_dict(),
        resolve_model(folder).load_component("vae").state_dict(),
    )
    with pytest.raises(UsageError, match="has no component 'ear'"):
        resolve_model(folder, components={"ear": tmp_path})


def test_double_precision_is_converted(folder, tmp_path):
    file = next((folder / "text_encoder").glob("*.safetensors"))
    state = {k: v.double() if v.is_floating_point() else v for k, v in load_file(file).items()}
    torch.save(state, tmp_path / "clap.bin")
    component = resolve_model(folder, components={"clap": tmp_path / "clap.bin"}).load_component(
        "clap"
    )
    assert {p.dtype for p in component.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.int32, torch.complex64])
def test_weights_of_another_kind_of_number_are_refused(folder, tmp_path, dtype):
    file = next((folder / "vocoder").glob("*.safetensors"))
    torch.save({k: v.to(dtype) for k, v in load_file(file).items()}, tmp_path / "vocoder.bin")
    with pytest.raises(
        WeightsError, match=f"has type {str(dtype).removeprefix('torch.')} and must have float32"
    ):
        resolve_model(folder, components={"vocoder": tmp_path / "vocoder.bin"}).load_component(
            "vocoder"
        )


@pytest.mark.parametrize("block_widths", ["x", 3, [], [0, 0]])
def test_impossible_values_in_a_config_are_refused(folder, tmp_path, block_widths):
    own = shutil.copytree(folder, tmp_path / "own")
    numbers = json.loads((own / "unet" / "config.json").read_text())
    (own / "unet" / "config.json").write_text(
        json.dumps({**numbers, "block_out_channels": block_widths})
    )
    with pytest.raises(WeightsError, match=r"unet/config\.json has block_out_channels = .*must be"):
        resolve_model(own)


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
    assert capsys.readouterr().out.strip().endswith("difference 0")


def test_output_that_fails_verification_is_removed(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("latentaudio.cli.convert.compare_models", lambda *_: 0.5)
    assert (
        main(
            ["convert", str(folder), str(tmp_path / "ours"), "--layout", "latentaudio", "--verify"]
        )
        == 2
    )
    assert "generates another clip" in capsys.readouterr().err and not (tmp_path / "ours").exists()


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


@pytest.mark.parametrize(
    ("stated_heads", "expected_heads"), [(8, (2, 4)), (16, (16, 16)), ([1, 2], (1, 2))]
)
def test_heads_that_a_folder_states_itself_are_kept(
    folder, tiny_spec, tmp_path, monkeypatch, stated_heads, expected_heads
):
    trained = replace(tiny_spec.config, unet=replace(tiny_spec.config.unet, num_heads=(2, 4)))
    monkeypatch.setitem(registry.MODELS, "tiny-published", replace(tiny_spec, config=trained))
    own = shutil.copytree(folder, tmp_path / "own")
    numbers = json.loads((own / "unet" / "config.json").read_text())
    numbers.pop("num_attention_heads", None)
    (own / "unet" / "config.json").write_text(
        json.dumps({**numbers, "attention_head_dim": stated_heads})
    )
    assert resolve_model(own).config.unet.num_heads == expected_heads


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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer", "y"]
    assert not any((tmp_path / "y").iterdir())


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


@pytest.mark.parametrize("component", ["translator", "phonemes", "clap", "unet"])
def test_components_in_two_folders_are_replaced_from_a_model_folder(tmp_path, component):
    folder = published.save(published.audioldm2(speech=True), tmp_path / "speech")
    first, second = resolve_model(folder), resolve_model(folder, components={component: folder})
    assert not same(
        first.load_component(component).state_dict(), second.load_component(component).state_dict()
    )


def test_a_replacement_file_can_have_8_bit_rows(folder, tmp_path):
    model = resolve_model(folder)
    state = model.load_component("clap").state_dict()
    rows = next(k for k in state if k.endswith("word_embeddings.weight"))
    save_component(tmp_path, "clap", state, int8_keys=[rows])
    back = (
        resolve_model(folder, components={"clap": tmp_path / "clap.safetensors"})
        .load_component("clap")
        .state_dict()
    )
    assert same(state, back) == [rows]
    assert (state[rows] - back[rows]).abs().max() < state[rows].abs().max() / 100


def test_an_architecture_must_match_the_folder(folder, tmp_path, tiny_folder):
    with pytest.raises(UsageError, match="does not have the shapes of audioldm_48k"):
        resolve_model(folder, architecture="audioldm_48k")
    with pytest.raises(UsageError, match=r"has its own model\.json"):
        resolve_model(tiny_folder, architecture="audioldm2-full")


def test_names_of_the_table_are_downloaded_from_their_repository(monkeypatch):
    requests = []

    def fetch(repository):
        requests.append((repository, None))
        return resolve.ASSETS / "mini"

    def fetch_file(repository, file):
        requests.append((repository, file))
        return resolve.ASSETS / "mini"

    monkeypatch.setattr(hub, "fetch", fetch)
    monkeypatch.setattr(hub, "fetch_file", fetch_file)
    resolve_model("audioldm2-full")
    resolve_model("audioldm_48k")
    resolve_model("someone/else")
    assert requests == [
        ("cvssp/audioldm2", None),
        ("haoheliu/audioldm_48k", "audioldm_48k.pth"),
        ("someone/else", None),
    ]
    with pytest.raises(
        WeightsError, match=r"get audioldm-s-text-ft\.ckpt from the authors' record on zenodo"
    ):
        resolve.hub_location("audioldm-s-text-ft")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, spec in registry.MODELS.items()
        if spec.hub_id and spec.config.phonemes is None
    ],
)
def test_folders_of_published_shapes_are_identified(name, tmp_path):
    """The JSON files of every published model, with 8 heads, are read as that model."""
    spec = registry.MODELS[name]
    stated_heads = replace(spec.config, unet=replace(spec.config.unet, num_heads=(8, 8, 8, 8)))
    for file, content in {
        **component_configs(stated_heads),
        "model_index.json": model_index(stated_heads),
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(json.dumps(content))
    clean, diffusers_model = resolve_model(tmp_path), resolve_model(tmp_path, reference="diffusers")
    assert (
        clean.spec.config.unet == spec.config.unet
        and diffusers_model.config.unet == stated_heads.unet
    )
    assert (clean.config.vae, clean.config.vocoder, clean.config.t5) == (
        spec.config.vae,
        spec.config.vocoder,
        spec.config.t5,
    )
    assert clean.config.latent_std == pytest.approx(spec.config.latent_std)
    assert (clean.config.translator, clean.spec.unet_parameters) == (
        spec.config.translator,
        spec.unet_parameters,
    )
    assert (
        clean.config.clap.text_layer_norm_eps,
        diffusers_model.config.clap.text_layer_norm_eps,
    ) == (
        1e-5,
        1e-12,
    )
