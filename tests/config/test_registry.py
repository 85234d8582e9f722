"""The table of models against the published numbers of parameters and tensors."""

import pytest
import torch

from latentaudio.config.architecture import (
    DistilledUNetConfig,
    LatentPriorConfig,
    MelSpec,
    ModelConfig,
    UNetConfig,
    VAEConfig,
    VocoderConfig,
)
from latentaudio.config.reference import REFERENCES, get_reference
from latentaudio.config.registry import MODELS, get_model_spec, list_models
from latentaudio.errors import ConfigError, UsageError
from latentaudio.generation.memory import num_parameters
from latentaudio.loaders.components import build_on_meta, component_names
from latentaudio.models.text_encoders import build_clap

UNETS = {
    "audioldm-s-full": 185_036_552,
    "audioldm-s-full-v2": 185_036_552,
    "audioldm-s-text-ft": 185_036_552,
    "audioldm-m-full": 415_954_568,
    "audioldm-m-text-ft": 415_954_568,
    "audioldm-l-full": 739_139_080,
    "audioldm_16k_crossattn_t5": 265_531_016,
    "audioldm_48k": 262_699_152,
    "audioldm2-full": 346_943_496,
    "audioldm2-music-665k": 346_943_496,
    "audioldm2-full-large-1150k": 718_012_296,
    "audioldm2-speech-gigaspeech": 261_926_536,
    "audioldm2-speech-ljspeech": 261_926_536,
}
TENSORS = {
    "audioldm-s-full": 690, "audioldm2-full": 1520, "audioldm2-full-large-1150k": 3216,
}  # fmt: skip
TINY, BASE = 153_492_890, 193_913_882
CLAPS = {name: TINY if name.startswith(("audioldm-s", "audioldm-l")) else BASE for name in UNETS}


def on_meta(component, name):
    return build_on_meta(component, MODELS[name].config)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_names_of_the_models():
    own = ["mini", "mini-film", "mini-speech"]
    assert list(MODELS) == [*own, *sorted(UNETS, key=list(MODELS).index)]
    assert set(MODELS) == {*own, *UNETS}


@pytest.mark.parametrize("spec", MODELS.values(), ids=list(MODELS))
def test_rows_state_the_parameters_of_their_networks(spec):
    sizes = {name: num_parameters(name, spec.config) for name in component_names(spec.config)}
    assert (spec.unet_parameters, spec.num_parameters) == (sizes["unet"], sum(sizes.values()))


@pytest.mark.parametrize("name", UNETS)
def test_unets_have_the_published_sizes(name):
    unet = on_meta("unet", name)
    assert parameters(unet) == UNETS[name] == MODELS[name].unet_parameters
    assert len(unet.state_dict()) == TENSORS.get(name, len(unet.state_dict()))


@pytest.mark.parametrize(
    "name", ["audioldm-s-full", "audioldm-m-full", "audioldm_48k", "audioldm2-full"]
)
def test_claps_have_the_published_sizes(name):
    assert parameters(on_meta("clap", name)) == CLAPS[name]


def test_a_clap_without_audio_encoder_has_the_published_size():
    from dataclasses import replace

    with torch.device("meta"):
        assert (
            parameters(build_clap(replace(MODELS["audioldm-s-full"].config.clap, audio_depths=())))
            == 125_302_016
        )


@pytest.mark.parametrize(
    ("component", "name", "count"),
    [
        ("vae", "audioldm2-full", 55_376_873),
        ("vae", "audioldm_48k", 223_535_569),
        ("vocoder", "audioldm2-full", 55_264_897),
        ("vocoder", "audioldm_48k", 190_281_889),
        ("t5", "audioldm2-full", 341_231_104),
        ("translator", "audioldm2-full", 124_439_808 + 1_184_256),
        ("translator", "audioldm2-speech-ljspeech", 124_439_808 + 604_800 - 192 * 310),
        ("phonemes", "audioldm2-speech-ljspeech", 6_327_744 + 192 * 310),
    ],
)
def test_other_components_have_the_published_sizes(component, name, count):
    assert parameters(on_meta(component, name)) == count


def test_components_of_each_model():
    names = {name: component_names(MODELS[name].config) for name in UNETS}
    assert names["audioldm-s-full"] == names["audioldm_48k"] == ("vae", "vocoder", "clap", "unet")
    assert names["audioldm_16k_crossattn_t5"] == ("vae", "vocoder", "clap", "t5", "unet")
    assert names["audioldm2-full"] == ("vae", "vocoder", "clap", "t5", "translator", "unet")
    assert names["audioldm2-speech-ljspeech"] == (
        "vae",
        "vocoder",
        "clap",
        "phonemes",
        "translator",
        "unet",
    )


def test_heads_have_the_width_that_was_trained():
    heads = {name: MODELS[name].config.unet for name in UNETS}
    for name, unet in heads.items():
        width = 64 if name == "audioldm-l-full" else 32
        assert [w // h for w, h in zip(unet.widths, unet.num_heads, strict=True)] == [width] * 4, (
            name
        )


def test_published_models_have_license_description_and_source():
    for name in UNETS:
        spec = MODELS[name]
        assert spec.license
        assert spec.description
        assert spec.original_checkpoint
        assert (spec.guidance_scale, spec.candidates) == (2.5 if spec.use_ema else 3.5, 3)
    assert MODELS["audioldm2-full"].hub_id == "cvssp/audioldm2"


def test_an_unknown_model_lists_the_known_ones():
    assert list_models() == list(MODELS)
    with pytest.raises(UsageError, match="no model is called 'audioldm3'; models are: mini"):
        get_model_spec("audioldm3")


def test_references_differ_in_these_values():
    names = ["clean", "original", "diffusers"]
    assert list(REFERENCES) == names
    assert [reference.name for reference in REFERENCES.values()] == names
    clean, original, diffusers = REFERENCES.values()
    assert (clean.eta, original.eta, diffusers.eta) == (0.0, 1.0, 0.0)
    assert (clean.uncond_loa, original.uncond_loa) == ("zeros", "zeros")
    assert diffusers.uncond_loa == "generate"
    assert (clean.clap_dropout_prob, original.clap_dropout_prob) == (0.0, 0.1)
    with pytest.raises(UsageError, match="clean, original, diffusers"):
        get_reference("exact")


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (MelSpec, {"fmax": 9000.0}, "fmax = 9000.0 Hz is above the Nyquist frequency"),
        (MelSpec, {"hop_length": 2048}, "hop_length = 2048 exceeds n_fft; set at most 1024"),
        (VAEConfig, {"channels": 100}, "VAE channels = 100 must be a multiple of num_groups = 32"),
        (UNetConfig, {"num_heads": (4,)}, "num_heads has 1 values; give 4, one per level"),
        (UNetConfig, {"num_heads": (3, 8, 12, 20)}, "128 must be a multiple of num_heads = 3"),
        (UNetConfig, {"attention": (True,)}, "attention has 1 values; give 4, one per level"),
        (VocoderConfig, {"upsample_rates": (2,)}, "has 5 values; give 1"),
        (DistilledUNetConfig, {"timesteps": (1, 2)}, r"timesteps = \(1, 2\) must fall"),
        (ModelConfig, {"latent_std": (1.0, 2.0)}, "latent_std has 2 values; give one, or 8"),
        (ModelConfig, {"latent_prior": LatentPriorConfig()}, "use_prior and latent_prior"),
    ],
)
def test_an_impossible_configuration_is_one_line(config, values, message):
    with pytest.raises(ConfigError, match=message) as refusal:
        config(**values)
    assert "\n" not in str(refusal.value)
