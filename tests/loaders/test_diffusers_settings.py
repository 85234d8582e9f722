"""A whole folder of diffusers is read by its configuration files, tokenizers and front end."""

import json
import shutil

import numpy as np
import published
import pytest
import torch
from published import PROMPTS
from transformers import ClapFeatureExtractor, ClapModel

from latentaudio.conditioning.clap import embed_clips
from latentaudio.conditioning.g2p import SYMBOLS
from latentaudio.errors import LatentAudioError, WeightsError
from latentaudio.loaders.component_store import ComponentStore
from latentaudio.loaders.diffusers_settings import read_config
from latentaudio.loaders.resolve import resolve_model
from latentaudio.loaders.tokenizers import load_encoders


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An AudioLDM 2 and a speech model as diffusers writes them."""
    root = tmp_path_factory.mktemp("saved")
    published.save(published.audioldm2(), root / "model")
    published.save(published.audioldm2(speech=True), root / "speech")
    return root


def changed(saved, tmp_path, file, name="model", **values):
    """A copy of a folder's configuration files with some keys of one changed."""
    for path in (saved / name).rglob("*.json"):
        target = tmp_path / path.relative_to(saved / name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    content = json.loads((tmp_path / file).read_text())
    (tmp_path / file).write_text(json.dumps({**content, **values}))
    return tmp_path


def text_encoders(folder):
    source = resolve_model(folder, reference="diffusers")
    components = ComponentStore(source, torch.device("cpu"), None)
    return load_encoders(source.path, source.config, components, source.layout, source.reference)


def test_folder_as_it_is_written_is_read(saved):
    config = read_config(saved / "model")
    assert config.clap.text_max_length == published.TINY.clips
    assert config.t5.max_length == 20
    assert read_config(saved / "speech").phonemes.max_length == published.TINY.phonemes


REFUSED = {
    "unet/config.json": {"resnet_time_scale_shift": "scale_shift"},
    "vae/config.json": {"mid_block_add_attention": False},
    "vocoder/config.json": {"resblock_dilation_sizes": [[1, 3, 5], [1, 3, 7]]},
    "text_encoder/config.json": {"projection_dim": -4},
    "text_encoder_2/config.json": {"is_decoder": True},
    "language_model/config.json": {"add_cross_attention": True},
    "projection_model/config.json": {"text_encoder_dim": 2.5},
    "scheduler/scheduler_config.json": {"thresholding": True},
    "tokenizer/tokenizer_config.json": {"padding_side": "left"},
    "tokenizer_2/tokenizer_config.json": {"truncation_side": "left"},
    "feature_extractor/preprocessor_config.json": {"sampling_rate": 16000},
}


@pytest.mark.parametrize("file", REFUSED)
def test_refusal_names_file_key_and_value(saved, tmp_path, file):
    [(key, value)] = REFUSED[file].items()
    folder = changed(saved, tmp_path, file, **REFUSED[file])
    with pytest.raises(WeightsError) as caught:
        read_config(folder)
    message = str(caught.value)
    spelled = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    assert str(folder / file) in message and f"{key} = {spelled}" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "file", [file for file in REFUSED if not file.startswith(("tokenizer", "feature"))]
)
def test_unknown_key_is_refused_with_similar_ones(saved, tmp_path, file):
    known = next(iter(REFUSED[file]))
    folder = changed(saved, tmp_path, file, **{known + "x": 3})
    with pytest.raises(WeightsError, match=f"has the key {known}x.*similar keys are.*{known}"):
        read_config(folder)


@pytest.mark.parametrize("key", ["_anything", "transformers_version", "_diffusers_version"])
def test_stamps_are_no_keys(saved, tmp_path, key):
    folder = changed(saved, tmp_path, "unet/config.json", **{key: "5"})
    assert read_config(folder) == read_config(saved / "model")


def test_key_inside_a_tower_of_clap_is_named_with_its_place(saved, tmp_path):
    path = "text_encoder/config.json"
    content = json.loads((saved / "model" / path).read_text())
    audio = {**content["audio_config"], "enable_fusion": True}
    folder = changed(saved, tmp_path, path, audio_config=audio)
    with pytest.raises(WeightsError, match=r"audio_config\.enable_fusion = true"):
        read_config(folder)


@pytest.mark.parametrize("limit", [6, 8, 10**30])
def test_tokenizers_cut_prompts_where_the_folder_says(saved, tmp_path, limit):
    folder = tmp_path / "own"
    shutil.copytree(saved / "model", folder)
    for name in ("tokenizer", "tokenizer_2"):
        path = folder / name / "tokenizer_config.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "model_max_length": limit}))
    encoders = text_encoders(folder)
    prompt = PROMPTS[2]  # 9 words
    end_tokens = {"clap": 2, "t5": 1}
    for name, num_end_tokens in end_tokens.items():
        ids, _ = encoders.tokenizers[name]([prompt])
        assert ids.shape[1] == min(limit, 9 + num_end_tokens), name


def test_phonemes_in_another_order_are_refused(saved, tmp_path):
    folder = changed(saved, tmp_path, "model_index.json", name="speech")
    path = folder / "tokenizer_2" / "vocab.json"
    symbols = {symbol: index for index, symbol in enumerate(SYMBOLS)}
    path.write_text(json.dumps(symbols))
    assert read_config(folder).phonemes.vocab_size == 183
    path.write_text(json.dumps({**symbols, "a": symbols["b"], "b": symbols["a"]}))
    with pytest.raises(WeightsError, match="symbols in another order"):
        read_config(folder)
    path.write_text(json.dumps(dict(list(symbols.items())[:60])))  # as one published folder has it
    assert read_config(folder).phonemes.vocab_size == 183


@torch.no_grad()
def test_clap_with_four_input_channels_ranks_as_in_transformers(saved, tmp_path):
    folder = tmp_path / "four"
    shutil.copytree(saved / "model", folder)
    clap = ClapModel.from_pretrained(folder / "text_encoder")
    clap.config.audio_config.patch_embed_input_channels = 4
    clap = published.randomize(ClapModel(clap.config))
    clap.save_pretrained(folder / "text_encoder")
    with pytest.raises(WeightsError, match="fusion goes with 4 channels"):
        read_config(folder)
    extractor = ClapFeatureExtractor(truncation="fusion", frequency_min=30)
    extractor.save_pretrained(folder / "feature_extractor")
    clip = np.random.default_rng(0).standard_normal(48_000 * 2).astype(np.float32) * 0.1
    features = extractor(clip, sampling_rate=48_000, return_tensors="pt")
    expected = clap.get_audio_features(**features).pooler_output
    encoders = text_encoders(folder)
    ours = embed_clips(encoders, [clip], 48_000)
    assert torch.allclose(ours, torch.nn.functional.normalize(expected, dim=-1), atol=1e-5)


@pytest.mark.parametrize("value", [0, -1, 3, "x", None, [], 10**9])
def test_impossible_sizes_end_in_one_line(saved, tmp_path, value):
    folder = changed(saved, tmp_path, "text_encoder_2/config.json", d_kv=value, num_heads=value)
    try:
        config = read_config(folder)
    except LatentAudioError as error:
        assert "\n" not in str(error)
    else:
        assert value == 3 and config.t5.num_heads == 3
