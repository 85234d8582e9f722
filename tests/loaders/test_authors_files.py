"""The authors' files open with the whole key set that their own classes save.

Buffers, classifiers, losses and leftovers of training included. All tensors are on the meta
device.
"""

import re
from argparse import Namespace
from pathlib import Path

import layouts
import pytest
import torch

from latentaudio.audio.mel import clap_mel
from latentaudio.conditioning.clap_buffers import clap_buffers
from latentaudio.config.architecture import (
    AudioMAEConfig,
    MelSpec,
    ModelConfig,
    VAEConfig,
    VocoderConfig,
)
from latentaudio.config.registry import get_model_spec
from latentaudio.errors import WeightsError
from latentaudio.loaders import audioldm_format
from latentaudio.loaders.components import (
    COMPONENTS,
    build_component,
    build_on_meta,
    component_names,
)
from latentaudio.loaders.layouts import LAYOUTS, ModelSource, best_layout, load_tensors
from latentaudio.loaders.tensor_files import Tensors, open_tensors
from latentaudio.loaders.weight_norm import fold_weight_norm

LEFTOVERS = Path(__file__).with_name("leftover_tensors.txt")
AUDIOMAE_PREFIX = "cond_stage_models.0.cond_stage_models.2.audiomae.model."


def read_leftovers():
    """{name of a checkpoint: {name of a tensor: shape}}."""
    tables: dict[str, dict[str, tuple[int, ...]]] = {}
    current: list[dict[str, tuple[int, ...]]] = []
    for line in LEFTOVERS.read_text().splitlines():
        if line.startswith("#"):
            continue
        if line.endswith(":"):
            current = [tables.setdefault(name, {}) for name in line[:-1].split()]
            continue
        pattern, *shape = line.split()
        for name in expand(pattern):
            for table in current:
                table[name] = tuple(map(int, shape))
    return tables


def expand(pattern):
    match = re.search(r"\{(\d+)-(\d+)\}", pattern)
    if match is None:
        return [pattern]
    numbers = range(int(match[1]), int(match[2]) + 1)
    return [f"{pattern[: match.start()]}{number}{pattern[match.end() :]}" for number in numbers]


LEFTOVER_TENSORS = read_leftovers()


def whole_key_set(name):
    """Every tensor that the authors' class saves, and its shape."""
    dimensions = layouts.PUBLISHED[name]
    shapes = {**layouts.UNUSED_TENSORS, **LEFTOVER_TENSORS[name]}
    prefixes = layouts.prefixes(name)
    tables = layouts.tables(dimensions)
    if name.startswith("audioldm2"):
        tables["audiomae"] = layouts.audiomae(dimensions)
        prefixes = {**prefixes, "audiomae": [AUDIOMAE_PREFIX]}
    for part, table in tables.items():
        for prefix in prefixes[part]:
            shapes |= {prefix + key: shape for key, (shape, _) in table.items()}
    shapes |= {layouts.averaged_name(key): shape for key, (shape, _) in tables["unet"].items()}
    return shapes


def on_meta(shapes, source="checkpoint.ckpt"):
    state = {}
    for name, shape in shapes.items():
        dtype = torch.long if name.endswith(layouts.INTEGER_TENSORS) else torch.float32
        state[name] = torch.empty(shape, dtype=dtype, device="meta")
    return Tensors({name: (state, name) for name in state}, Path(source))


NUM_TENSORS = {
    "audioldm-l-full": 2211,
    "audioldm-m-full": 2298,
    "audioldm-s-full": 2211,
    "audioldm-s-text-ft": 2211,
    "audioldm2-full-large-1150k": 8706,
    "audioldm2-full": 5314,
    "audioldm2-music-665k": 5314,
    "audioldm2-speech-gigaspeech": 4154,
    "audioldm2-speech-ljspeech": 4154,
    "audioldm_16k_crossattn_t5": 3348,
    "audioldm_48k": 3746,
}


@pytest.mark.parametrize("name", NUM_TENSORS)
def test_checkpoint_with_the_whole_key_set_opens(name, monkeypatch):
    shapes = whole_key_set(name)
    assert len({*shapes, "scale_factor"}) == NUM_TENSORS[name]
    state = {"scale_factor": torch.tensor(0.5)}
    scale = Tensors({"scale_factor": (state, "scale_factor")}, Path("x"))
    checkpoint = on_meta(shapes, f"{name}.ckpt").merge(scale)
    monkeypatch.setattr(audioldm_format, "open_tensors", lambda path: checkpoint)
    model = audioldm_format.identify(f"{name}.ckpt", Path(f"{name}.ckpt"), None)
    assert model.spec.name == name
    assert model.config.latent_std == (2.0,)
    for component in component_names(model.config):
        module = model.load_component(component)
        assert all(value.is_meta for value in module.parameters())
    if model.config.clap:
        assert model.config.can_rank


def test_a_key_that_no_class_saves_is_refused(monkeypatch):
    checkpoint = on_meta({**whole_key_set("audioldm-s-full"), "control.weight": (2, 5)})
    monkeypatch.setattr(audioldm_format, "open_tensors", lambda path: checkpoint)
    monkeypatch.setattr(audioldm_format, "latent_std", lambda checkpoint: None)
    with pytest.raises(WeightsError, match=r"does not have, first control\.weight \[2, 5\]"):
        audioldm_format.identify("x.ckpt", Path("x.ckpt"), None)


VOCODER = VocoderConfig(
    n_mels=8, channels=16, upsample_rates=(5, 4), upsample_kernel_sizes=(16, 8),
    resblock_kernel_sizes=(3,), resblock_dilations=(1, 3),
)  # fmt: skip
AUDIOMAE = AudioMAEConfig(
    num_frames=64, n_mels=32, hidden_size=16, num_layers=1, num_heads=2, decoder_hidden_size=16,
    decoder_num_layers=1, decoder_num_heads=2, num_averaged_layers=1,
)  # fmt: skip
SYSTEM = ModelConfig(
    vocoder=VOCODER,
    mel=MelSpec(n_mels=8),
    vae=VAEConfig(8, (1, 2), 8, 1, 4),
    audiomae=AUDIOMAE,
)


def with_weight_norm(state, form):
    """The state of a network as weight normalization trains it, in torch's older or newer form."""
    length, direction = form
    result = {}
    for key, value in state.items():
        if not key.endswith(".weight"):
            result[key] = value
            continue
        stem = key.removesuffix(".weight")
        norms = value.flatten(1).norm(dim=1).view(-1, *(1,) * (value.ndim - 1))
        result[stem + length] = norms
        result[stem + direction] = value * 3.7
    return result


@pytest.mark.parametrize(
    "form",
    [
        (".weight_g", ".weight_v"),
        (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
    ],
    ids=["weight_g", "parametrizations"],
)
@pytest.mark.parametrize("wrapper", ["generator", "bare"])
def test_vocoder_with_weight_norm_opens(tmp_path, form, wrapper):
    state = build_component("vocoder", SYSTEM).state_dict()
    stored = with_weight_norm(state, form)
    torch.save({"generator": stored} if wrapper == "generator" else stored, tmp_path / "g.ckpt")
    loaded = open_part(tmp_path / "g.ckpt", "vocoder").state_dict()
    assert set(loaded) == set(state)
    for key, value in state.items():
        assert torch.allclose(loaded[key], value, rtol=1e-6, atol=1e-7), key


def test_weights_without_normalization_stay_mapped():
    tensors = on_meta({"conv.weight": (3, 2), "conv.weight_g": (3, 1)})
    assert fold_weight_norm(tensors, ()) is tensors


def open_part(path, name):
    tensors = audioldm_format.open_part(path, name, use_ema=False)
    return load_tensors(tensors, name, SYSTEM, best_layout(tensors, name, SYSTEM), torch.float32)


def test_vae_with_its_loss_and_vocoder_opens(tmp_path):
    state = build_component("vae", SYSTEM).state_dict()
    foreign = LAYOUTS["original"].to_foreign(COMPONENTS["vae"], state, SYSTEM)
    extra = {"loss.logvar": torch.zeros(()), "loss.discriminator.main.0.weight": torch.zeros(2, 2)}
    torch.save(
        {"state_dict": {**foreign, **extra, "vocoder.conv_pre.bias": torch.zeros(2)}},
        tmp_path / "vae.ckpt",
    )
    loaded = open_part(tmp_path / "vae.ckpt", "vae").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_file_of_parallel_training_opens(tmp_path):
    state = {"module.a.weight": torch.ones(2), "module.b": torch.zeros(3)}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "clap.pt")
    assert set(open_tensors(tmp_path / "clap.pt")) == {"a.weight", "b"}


def test_audiomae_with_the_arguments_of_its_training_opens(tmp_path):
    state = build_component("audiomae", SYSTEM).state_dict()
    arguments = Namespace(epochs=32, model="mae_vit_base_patch16", ratio=0.8)
    torch.save({"model": state, "args": arguments, "epoch": 3}, tmp_path / "mae.pth")
    loaded = open_part(tmp_path / "mae.pth", "audiomae").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


UNKNOWN_TENSORS = re.compile(
    r"\.(text_transform|audio_transform|audio_branch\.(tscam_conv|head))\."
    r"|^cond_stage_models\.0\.cond_stage_models\.2\."
)
"""What no model of another layout has: CLAP's classifier and training projections, AudioMAE."""


@pytest.mark.parametrize("name", NUM_TENSORS)
def test_a_written_checkpoint_has_every_tensor_that_can_be_known(name, tmp_path):
    model = ModelSource(name, tmp_path, get_model_spec(name), {})
    components = {part: build_on_meta(part, model.config) for part in component_names(model.config)}
    states = [(part, dict(module.state_dict())) for part, module in components.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelSource, "stored_states", lambda source, progress: iter(states))
        written = dict(audioldm_format._checkpoint_tensors(model, None))
    expected = {**whole_key_set(name), "scale_factor": ()}
    unknown = {key for key in expected if UNKNOWN_TENSORS.search(key)}
    # published files have positions; classes of today's transformers compute them
    positions = {key for key in written if key.endswith("position_ids")}
    assert len(positions) == len(audioldm_format.prefixes("clap", model.config))
    shapes = {key: tuple(value.shape) for key, value in written.items() if key not in positions}
    assert shapes == {key: shape for key, shape in expected.items() if key not in unknown}
    missing = audioldm_format.missing_parts(model.config)
    assert bool(missing) == bool(unknown)
    assert ("AudioMAE" in missing) == any("audiomae" in key for key in unknown)
    raw = "model.diffusion_model.out.2.bias"
    assert written[audioldm_format.averaged_name(raw)] is written[raw]
    assert written["model_ema.num_updates"].dtype == torch.int32


def test_buffers_of_clap_compute_its_front_end_and_its_masks():
    config = get_model_spec("audioldm2-full").config.clap
    buffers = clap_buffers(config)
    samples = torch.randn(1, 9600, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(samples[:, None], (512, 512), mode="reflect")
    power = 0
    for part in ("real", "imag"):
        kernel = buffers[f"audio_branch.spectrogram_extractor.stft.conv_{part}.weight"]
        power = power + torch.nn.functional.conv1d(padded, kernel, stride=480).square()
    mel = power.transpose(1, 2) @ buffers["audio_branch.logmel_extractor.melW"]
    decibels = 10 * mel.clamp_min(1e-10).log10()
    assert torch.allclose(decibels, clap_mel(samples, "stretch")[:, 0], atol=2e-3)
    encoder = build_on_meta(
        "clap", get_model_spec("audioldm2-full").config
    ).audio_model.audio_encoder
    for stage, layer in enumerate(encoder.layers):
        for index, block in enumerate(layer.blocks):
            block.set_shift_and_window_size(block.input_resolution)
            expected = block.get_attn_mask(*block.input_resolution, torch.float32, "cpu")
            actual = buffers.get(f"audio_branch.layers.{stage}.blocks.{index}.attn_mask")
            assert (actual is None) == (expected is None)
            assert expected is None or torch.equal(actual, expected)
