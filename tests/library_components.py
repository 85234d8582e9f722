"""Tiny components of diffusers and transformers, each beside ours that is built from its files.

A bench builds a component of a library from a configuration, runs it, and runs ours with the same
weights, built from nothing but the configuration file and the tensors that the library saves.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from diffusers import (
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    DDIMScheduler,
    UNet2DConditionModel,
)
from published import TINY, randomize

from latentaudio.audio.mel import clap_mel
from latentaudio.config.architecture import (
    CLAPMelSpec,
    MelSpec,
    ModelConfig,
    TranslatorConfig,
    UNetConfig,
    VAEConfig,
    VocoderConfig,
)
from latentaudio.diffusion.samplers.ddim import ddim
from latentaudio.diffusion.schedule import Schedule
from latentaudio.loaders import diffusers_configs, diffusers_keys, transformers_configs
from latentaudio.loaders import transformers_keys as keys
from latentaudio.loaders.config_keys import KeyTable, read_settings
from latentaudio.loaders.layouts import LAYOUTS, load_tensors
from latentaudio.loaders.tensor_files import Tensors
from latentaudio.types import Conditioning, Context

NUM_FRAMES = 8
NUM_TOKENS = 7


def random(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def as_json(content):
    return json.loads(json.dumps(content))


@dataclass
class Bench:
    """A class of a library, ours, and how both are run.

    `rows` is walked. `base` are arguments of the library's configuration class, `build` returns
    (component, content of its file, state dict). `nested` is the key that the rows are below, and
    `file_rows` the table of the whole file then. `changes` has other legal values: a value, or
    several arguments at once.
    """

    rows: KeyTable
    base: dict[str, Any]
    build: Callable[[dict[str, Any]], tuple[Any, dict[str, Any], dict[str, torch.Tensor]]]
    run_library: Callable[[Any], list[torch.Tensor]]
    run_ours: Callable[[dict[str, Any], dict[str, torch.Tensor]], list[torch.Tensor]]
    nested: str = ""
    file_rows: KeyTable | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    cannot_change: frozenset[str] = frozenset()


def load_ours(name, config, state, prefix=""):
    renamed = {prefix + key: value for key, value in state.items()}
    tensors = Tensors({key: (renamed, key) for key in renamed}, Path("file"))
    return load_tensors(tensors, name, config, LAYOUTS["diffusers"], torch.float32)


def system(**parts):
    unet = parts.get("unet") or UNetConfig(
        latent_channels=4, channels=8, channel_mult=(1,), attention=(True,), num_heads=(1,),
        num_groups=4,
    )  # fmt: skip
    vae = parts.get("vae") or VAEConfig(4, (1,), unet.latent_channels, 1, 2)
    unet = parts.get("unet") or UNetConfig(
        latent_channels=vae.latent_channels, channels=8, channel_mult=(1,), attention=(True,),
        num_heads=(1,), num_groups=4,
    )  # fmt: skip
    vocoder = parts.get("vocoder") or VocoderConfig(kind="istft", channels=16, ffn_dim=16)
    mel = parts.get("mel") or MelSpec(n_mels=vocoder.n_mels)
    rest = {name: parts[name] for name in ("clap", "t5", "phonemes", "translator") if name in parts}
    return ModelConfig(mel=mel, vae=vae, unet=unet, vocoder=vocoder, **rest)


def build_diffusers(library_class):
    def build(arguments):
        module = randomize(library_class(**arguments))
        return module, as_json(dict(module.config)), module.state_dict()

    return build


def build_transformers(model_class, config_class, finish=lambda model: model):
    def build(arguments):
        config = config_class(**arguments)
        model = randomize(finish(model_class(config)))
        content = json.loads(config.to_json_string(use_diff=False))
        for part in (model, *model.children()):  # a form of the output, which we would have to undo
            if hasattr(part, "config"):
                part.config.return_dict = True
        return model, content, model.state_dict()

    return build


# UNets

_UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [16, 32],
    "norm_num_groups": 4,
    "attention_head_dim": 2,
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}
_FILM = {
    "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": 12,
    "class_embeddings_concat": True,
}
_UNET_CHANGES = {
    "in_channels": [{"in_channels": 8, "out_channels": 8}, {"in_channels": 8}],
    "out_channels": [{"out_channels": 8}],
    "freq_shift": [1],
    "act_fn": ["gelu", "mish", "relu", "swish"],
    "norm_eps": [0.03],
    "norm_num_groups": [8],
    "attention_head_dim": [4, [1, 4]],
    "layers_per_block": [2, [1, 2], [1, 1]],
    "transformer_layers_per_block": [2, [1, 2], [2, 2]],
    "block_out_channels": [[16, 48], [32, 48]],
    "down_block_types": [
        {
            "down_block_types": ["CrossAttnDownBlock2D"] * 2,
            "up_block_types": ["CrossAttnUpBlock2D"] * 2,
        },
        {"down_block_types": ["CrossAttnDownBlock2D"] * 2},
    ],
    "up_block_types": [["CrossAttnUpBlock2D"] * 2],
    "mid_block_type": ["UNetMidBlock2DSimpleCrossAttn"],
    "num_attention_heads": [2],
    "class_embed_type": ["timestep", "projection"],
    "num_class_embeds": [5],
    "resnet_time_scale_shift": ["scale_shift"],
    "time_embedding_type": ["fourier"],
    "time_embedding_dim": [32, 64],
    "time_embedding_act_fn": ["silu"],
    "timestep_post_act": ["silu"],
    "time_cond_proj_dim": [8],
    "projection_class_embeddings_input_dim": [9],
    "encoder_hid_dim": [9],
    "encoder_hid_dim_type": ["text_proj"],
    "addition_embed_type": ["text"],
    "addition_time_embed_dim": [8],
    "attention_type": ["gated"],
    "mid_block_only_cross_attention": [True],
    "cross_attention_norm": ["layer_norm"],
    "reverse_transformer_layers_per_block": [[1, 1]],
    "conv_in_kernel": [1],
    "conv_out_kernel": [1],
    "downsample_padding": [0],
    "sample_size": [16],
}


def _ours_unet(settings, is_audioldm1):
    config = diffusers_configs.read_unet(settings, "unet/config.json", is_audioldm1)
    return config, system(unet=config)


def _library_audioldm1(module):
    width = module.config.projection_class_embeddings_input_dim or 12
    z = random(1, module.config.in_channels, NUM_FRAMES, 4)
    return [module(z, torch.tensor(37), None, class_labels=random(1, width, seed=2)).sample]


def _ours_audioldm1(settings, state):
    config, whole = _ours_unet(settings, True)
    z = random(1, config.latent_channels, NUM_FRAMES, 4)
    film = random(1, config.film_dim, seed=2)
    return [load_ours("unet", whole, state)(z, torch.tensor([37]), Conditioning(film))]


def _contexts(widths):
    contexts = []
    for seed, width in enumerate(widths, 3):
        mask = torch.ones(1, NUM_TOKENS)
        mask[:, 5:] = 0
        contexts.append((random(1, NUM_TOKENS, width, seed=seed), mask))
    return contexts


def _library_audioldm2(module):
    cross = module.config.cross_attention_dim
    widths = cross if isinstance(cross, list | tuple) else [cross]
    widths = widths[-1] if isinstance(widths[-1], list | tuple) else widths[-1:]
    pairs = _contexts([width for width in widths if width is not None])
    pairs += [(None, None)] * (2 - len(pairs))
    z = random(1, module.config.in_channels, NUM_FRAMES, 4)
    return [
        module(
            z,
            torch.tensor(37),
            encoder_hidden_states=pairs[0][0],
            encoder_attention_mask=pairs[0][1],
            encoder_hidden_states_1=pairs[1][0],
            encoder_attention_mask_1=pairs[1][1],
        ).sample
    ]


def _ours_audioldm2(settings, state):
    config, whole = _ours_unet(settings, False)
    z = random(1, config.latent_channels, NUM_FRAMES, 4)
    contexts = tuple(Context(*pair) for pair in _contexts(config.cross_attention_dims))
    return [load_ours("unet", whole, state)(z, torch.tensor([37]), Conditioning(None, contexts))]


UNET_1 = Bench(
    diffusers_keys.UNET,
    {**_UNET, **_FILM, "cross_attention_dim": [16, 32]},
    build_diffusers(UNet2DConditionModel),
    _library_audioldm1,
    _ours_audioldm1,
    changes={
        **_UNET_CHANGES,
        "cross_attention_dim": [[16, 24], 24],
        "block_out_channels": [
            {"block_out_channels": [16, 48], "cross_attention_dim": [16, 48]},
            {"block_out_channels": [32, 48], "cross_attention_dim": [32, 48]},
        ],
    },
)
UNET_2 = Bench(
    diffusers_keys.AUDIOLDM2_UNET,
    {**_UNET, "cross_attention_dim": [[None, 16, 24]] * 2},
    build_diffusers(AudioLDM2UNet2DConditionModel),
    _library_audioldm2,
    _ours_audioldm2,
    changes={
        **_UNET_CHANGES,
        "cross_attention_dim": [[[16, 24]] * 2, 16, [16, 24], [[None, 16], [None, 24]]],
        "projection_class_embeddings_input_dim": [9],
        "class_embeddings_concat": [True],
    },
)

# VAE


def _library_vae(module):
    latent = random(1, module.config.latent_channels, 4, 2)
    mel = random(1, 1, 16, 8, seed=2)
    return [module.decode(latent).sample, module.encode(mel).latent_dist.parameters]


def _ours_vae(settings, state):
    config = diffusers_configs.read_vae(settings)
    module = load_ours("vae", system(vae=config), state)
    latent = random(1, config.latent_channels, 4, 2)
    mel = random(1, 1, 16, 8, seed=2)
    parameters = module.quant_conv(module.encoder(mel))
    return [module.decoder(module.post_quant_conv(latent)), parameters]


VAE = Bench(
    diffusers_keys.VAE,
    {
        "in_channels": 1,
        "out_channels": 1,
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "block_out_channels": [8, 16],
        "norm_num_groups": 4,
        "latent_channels": 4,
    },
    build_diffusers(AutoencoderKL),
    _library_vae,
    _ours_vae,
    changes={
        "in_channels": [2],
        "out_channels": [2],
        "down_block_types": [["AttnDownEncoderBlock2D"] * 2],
        "up_block_types": [["AttnUpDecoderBlock2D"] * 2],
        "block_out_channels": [[8, 24], [16, 24]],
        "act_fn": ["gelu", "mish", "relu", "swish"],
        "norm_num_groups": [2],
        "layers_per_block": [2],
        "shift_factor": [0.3],
        "latents_mean": [[0.1] * 4],
        "latents_std": [[0.1] * 4],
    },
)

# Vocoder


def _mel(settings_or_config):
    return random(1, 6, settings_or_config, seed=4)


def _library_vocoder(model):
    return [model(_mel(model.config.model_in_dim))]


def _ours_vocoder(settings, state):
    config = transformers_configs.read_vocoder(settings)
    mel = transformers_configs.read_mel(settings)
    module = load_ours("vocoder", system(vocoder=config, mel=mel), state)
    return [module(_mel(config.n_mels)[None])[0]]


def _random_statistics(model):
    model.mean.copy_(random(len(model.mean), seed=5))
    model.scale.copy_(random(len(model.scale), seed=6).abs() + 0.5)
    return model


VOCODER = Bench(
    keys.VOCODER,
    {
        "model_in_dim": 8,
        "upsample_initial_channel": 16,
        "upsample_rates": [5, 4],
        "upsample_kernel_sizes": [16, 8],
        "resblock_kernel_sizes": [3, 7],
        "resblock_dilation_sizes": [[1, 3]] * 2,
        "normalize_before": False,
    },
    build_transformers(
        transformers.SpeechT5HifiGan, transformers.SpeechT5HifiGanConfig, _random_statistics
    ),
    _library_vocoder,
    _ours_vocoder,
    changes={
        "sampling_rate": [24000],
        "leaky_relu_slope": [0.3],
        "upsample_initial_channel": [32],
        "upsample_rates": [[4, 4]],
        "upsample_kernel_sizes": [[11, 8]],
        "resblock_kernel_sizes": [[3, 5]],
        "resblock_dilation_sizes": [[[1, 5]] * 2, [[1, 3], [1, 5]]],
    },
)

# CLAP

_CLAP_TEXT = dict(TINY.clap_text_config)
_CLAP_AUDIO = {
    "patch_embeds_hidden_size": 8,
    "hidden_size": 16,
    "depths": [1, 2],
    "num_attention_heads": [1, 2],
    "spec_size": 32,
    "num_mel_bins": 8,
    "window_size": 4,
}
_IDS = torch.tensor([[0, 5, 9, 1, 7, 2, 1, 1]])
_MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 0, 0]])
_TEXT_CHANGES = {
    "num_attention_heads": [4],
    "hidden_size": [32],
    "hidden_act": ["relu", "quick_gelu"],
    "projection_hidden_act": ["gelu"],
    "layer_norm_eps": [0.02],
    "pad_token_id": [0, 3],
    "type_vocab_size": [2],
    "max_position_embeddings": [40],
    "bos_token_id": [4],
    "eos_token_id": [4],
}


def _library_clap(model):
    text = model.get_text_features(input_ids=_IDS, attention_mask=_MASK).pooler_output
    audio = model.config.audio_config
    mel = random(1, 1, 30, audio.num_mel_bins, seed=8)
    mel = mel.expand(-1, audio.patch_embed_input_channels, -1, -1)
    return [text, model.get_audio_features(input_features=mel).pooler_output]


def _ours_clap(settings, state):
    config = transformers_configs.read_clap(settings, 512, CLAPMelSpec())
    model = load_ours("clap", system(clap=config), state)
    if not config.audio_depths:
        return [model(input_ids=_IDS, attention_mask=_MASK).text_embeds]
    text = model.get_text_features(input_ids=_IDS, attention_mask=_MASK).pooler_output
    mel = random(1, 1, 30, config.mel.n_mels, seed=8).expand(-1, config.audio_channels, -1, -1)
    return [text, model.get_audio_features(input_features=mel).pooler_output]


def _build_clap(arguments):
    return build_transformers(transformers.ClapModel, transformers.ClapConfig)(arguments)


_CLAP = {"text_config": _CLAP_TEXT, "audio_config": _CLAP_AUDIO, "projection_dim": 12}
CLAP = Bench(
    keys.CLAP,
    _CLAP,
    _build_clap,
    _library_clap,
    _ours_clap,
    changes={"projection_hidden_act": ["gelu"], "projection_dim": [16]},
    # other benches walk the towers; the others are derived from them
    cannot_change=frozenset({"text_config", "audio_config", "hidden_size", "num_hidden_layers"}),
)
CLAP_TEXT_TOWER = Bench(
    keys.CLAP.nested["text_config"],
    _CLAP,
    _build_clap,
    _library_clap,
    _ours_clap,
    nested="text_config",
    file_rows=keys.CLAP,
    changes=_TEXT_CHANGES,
)
CLAP_AUDIO_TOWER = Bench(
    keys.CLAP.nested["audio_config"],
    _CLAP,
    _build_clap,
    _library_clap,
    _ours_clap,
    nested="audio_config",
    file_rows=keys.CLAP,
    changes={
        "window_size": [2],
        "num_mel_bins": [16, 4],
        "spec_size": [64],
        "hidden_act": ["relu"],
        "layer_norm_eps": [0.02],
        "patch_size": [{"patch_size": 2, "patch_stride": [2, 2]}, {"patch_size": 2}, 8],
        "patch_stride": [[2, 2], 2],
        "hidden_size": [24],
        "depths": [[2, 1]],
        "num_attention_heads": [[2, 4]],
        "patch_embeds_hidden_size": [{"patch_embeds_hidden_size": 16, "hidden_size": 32}, 16],
        "patch_embed_input_channels": [4],
        "fusion_type": ["channel_map"],
        "mlp_ratio": [2.0],
        "projection_hidden_act": ["gelu"],
        "drop_path_rate": [0.1],
        "attention_probs_dropout_prob": [0.1],
    },
)
CLAP_TEXT = Bench(
    keys.CLAP_TEXT,
    _CLAP_TEXT,
    build_transformers(transformers.ClapTextModelWithProjection, transformers.ClapTextConfig),
    lambda model: [model(input_ids=_IDS, attention_mask=_MASK).text_embeds],
    _ours_clap,
    changes=_TEXT_CHANGES,
)

# T5, GPT-2, VITS


def _ours_t5(settings, state):
    module = load_ours("t5", system(t5=transformers_configs.read_t5(settings, 128)), state)
    return [module(input_ids=_LONG_IDS, attention_mask=_LONG_MASK).last_hidden_state]


_LONG_IDS = torch.randint(2, 30, (1, 150), generator=torch.Generator().manual_seed(3))
_LONG_MASK = torch.ones(1, 150, dtype=torch.long)
_FEED_FORWARDS = ("relu", "gated-relu", "gated-silu", "silu", "gelu")
T5 = Bench(
    keys.T5,
    {
        "vocab_size": 64,
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 2,
        "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
    },
    build_transformers(transformers.T5EncoderModel, transformers.T5Config),
    lambda model: [model(input_ids=_LONG_IDS, attention_mask=_LONG_MASK).last_hidden_state],
    _ours_t5,
    changes={
        "feed_forward_proj": list(_FEED_FORWARDS),
        "dense_act_fn": ["relu"],
        "is_gated_act": [False],
        "layer_norm_epsilon": [0.05],
        "relative_attention_max_distance": [20],
        "relative_attention_num_buckets": [16],
    },
)


def _ours_gpt2(settings, state):
    projection = {"text_encoder_dim": 5, "text_encoder_1_dim": 6}
    config = transformers_configs.read_translator(settings, projection)
    width = config.hidden_size
    names = {f"language_model/{key.removeprefix('transformer.')}": state[key] for key in state}
    for name, size in (("projection", 5), ("projection_1", 6)):
        names[f"projection_model/{name}.weight"] = torch.zeros(width, size)
        names[f"projection_model/{name}.bias"] = torch.zeros(width)
    for name in ("sos_embed", "eos_embed", "sos_embed_1", "eos_embed_1"):
        names[f"projection_model/{name}"] = torch.zeros(width)
    module = load_ours("translator", system(translator=config), names)
    assert isinstance(config, TranslatorConfig)
    return [module.gpt2(inputs_embeds=random(1, 9, width, seed=7)).last_hidden_state]


def _library_gpt2(model):
    embeds = random(1, 9, model.config.n_embd, seed=7)
    return [model(inputs_embeds=embeds, output_hidden_states=True).hidden_states[-1]]


GPT2 = Bench(
    keys.GPT2,
    {"vocab_size": 9, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2},
    build_transformers(transformers.GPT2LMHeadModel, transformers.GPT2Config),
    _library_gpt2,
    _ours_gpt2,
    changes={
        "n_inner": [40],
        "n_head": [4],
        "n_embd": [32],
        "n_positions": [40],
        "activation_function": ["relu", "gelu"],
        "layer_norm_epsilon": [0.05],
        "vocab_size": [11],
        "summary_type": ["mean"],
        "summary_activation": ["tanh"],
        "bos_token_id": [3],
        "eos_token_id": [3],
        "pad_token_id": [3],
    },
)


def _vits_settings(width):
    positions = torch.zeros(1, width, 40)
    return {"projection_model/learnable_positional_embedding": positions}


def _ours_vits(settings, state):
    config = transformers_configs.read_phonemes(settings, {"max_seq_length": 40})
    names = {
        f"text_encoder_2/{key}": value
        for key, value in state.items()
        if key.startswith("text_encoder.")
    }
    names |= _vits_settings(config.hidden_size)
    module = load_ours("phonemes", system(phonemes=config), names)
    return [module(_PHONEMES).tokens * (_PHONEMES != 0)[..., None]]


_PHONEMES = torch.tensor([[3, 5, 9, 4, 7, 2, 0, 0]])


def _library_vits(model):
    mask = (_PHONEMES != 0).float()
    states = model.text_encoder(
        input_ids=_PHONEMES, padding_mask=mask[..., None], attention_mask=mask
    ).last_hidden_state
    return [states * mask[..., None]]


VITS = Bench(
    keys.VITS,
    {
        "vocab_size": 30,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "flow_size": 24,
        "spectrogram_bins": 9,
        "prior_encoder_num_flows": 1,
        "prior_encoder_num_wavenet_layers": 1,
        "posterior_encoder_num_wavenet_layers": 1,
        "upsample_initial_channel": 16,
        "upsample_rates": [2, 2],
        "upsample_kernel_sizes": [4, 4],
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1]],
        "duration_predictor_num_flows": 1,
        "duration_predictor_flow_bins": 2,
        "depth_separable_channels": 2,
    },
    build_transformers(transformers.VitsModel, transformers.VitsConfig),
    _library_vits,
    _ours_vits,
    changes={
        "hidden_act": ["gelu", "silu", "tanh"],
        "layer_norm_eps": [0.05],
        "num_attention_heads": [4],
        "hidden_size": [{"hidden_size": 32, "flow_size": 32}, 32],
        "flow_size": [32],
        "window_size": [2],
        "ffn_kernel_size": [5],
        "upsample_rates": [[2, 4]],
        "upsample_kernel_sizes": [[6, 4]],
        "upsample_initial_channel": [8],
        "resblock_kernel_sizes": [[5]],
        "resblock_dilation_sizes": [[[3]]],
        "num_speakers": [{"num_speakers": 3, "speaker_embedding_size": 4}],
        "speaker_embedding_size": [4],
        "wavenet_kernel_size": [7],
        "pad_token_id": [3],
        "duration_predictor_kernel_size": [5],
        "depth_separable_num_layers": [2],
    },
)

# Front end and schedule


def _build_front_end(arguments):
    extractor = transformers.ClapFeatureExtractor(**arguments)
    return extractor, as_json(extractor.to_dict()), {}


def _clip():
    return random(30_000, seed=9).numpy() * 0.1


def _library_front_end(extractor):
    features = extractor(_clip(), sampling_rate=extractor.sampling_rate, return_tensors="np")
    return [torch.from_numpy(np.asarray(features["input_features"]))[0, :1].float()]


def _ours_front_end(settings, state):
    spec = transformers_configs.read_feature_extractor(settings)
    return [clap_mel(torch.from_numpy(_clip())[None], "repeatpad", spec)[0]]


FRONT_END = Bench(
    keys.FEATURE_EXTRACTOR,
    {"truncation": "rand_trunc", "frequency_min": 50, "max_length_s": 1},
    _build_front_end,
    _library_front_end,
    _ours_front_end,
    changes={
        "sampling_rate": [44100],
        "hop_length": [320],
        "fft_window_size": [512],
        "feature_size": [32],
        "frequency_min": [20],
        "frequency_max": [8000],
        "max_length_s": [2],
        "truncation": ["fusion"],
        "padding": ["repeat", "pad"],
        "padding_value": [1.0],
        "padding_side": ["left"],
        "top_db": [20],
        "nb_frequency_bins": [100],
        "nb_max_samples": [100],
        "feature_extractor_type": ["ClapFeatureExtractor"],
    },
)


def _toy_denoise(z, t):
    return torch.tanh(z * 0.7 + t.float().view(-1, 1, 1, 1) / 999)


def _library_ddim(scheduler):
    results = []
    for steps in (7, 10):
        scheduler.set_timesteps(steps)
        z = random(1, 2, 3, 4)
        for t in scheduler.timesteps:
            prediction = _toy_denoise(z, t[None])
            z = scheduler.step(prediction.double(), t, z.double()).prev_sample
        results.append(z.float())
    return results


def _ours_ddim(settings, state):
    schedule = Schedule(diffusers_configs.read_schedule(settings))
    results = []
    for steps in (7, 10):
        timesteps = schedule.timesteps(steps, "leading")
        *_, last = ddim(
            lambda z, t: _toy_denoise(z, t), random(1, 2, 3, 4).double(), schedule, timesteps
        )
        results.append(last.z.float())
    return results


def _build_scheduler(library_class):
    def build(arguments):
        scheduler = library_class(**arguments)
        return scheduler, as_json(dict(scheduler.config)), {}

    return build


_SCHEDULE_CHANGES = {
    "beta_schedule": ["linear", "squaredcos_cap_v2"],
    "trained_betas": [[0.001 * i for i in range(1, 1001)]],
    "prediction_type": ["v_prediction", "sample"],
    "timestep_spacing": ["trailing", "linspace"],
    "steps_offset": [0, 2],
    "beta_start": [0.001],
    "beta_end": [0.012],
    "num_train_timesteps": [500],
    "clip_sample_range": [2.0],
    "sample_max_value": [2.0],
}
_SCHEDULE = {
    "beta_start": 0.0015,
    "beta_end": 0.0195,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
DDIM = Bench(
    diffusers_keys.SCHEDULERS["DDIMScheduler"],
    {**_SCHEDULE, "clip_sample": False, "set_alpha_to_one": False},
    _build_scheduler(DDIMScheduler),
    _library_ddim,
    _ours_ddim,
    changes=_SCHEDULE_CHANGES,
)


def scheduler_bench(library_class):
    """A scheduler that runs in the drop-in itself: only its noise levels are ours."""
    return Bench(
        diffusers_keys.SCHEDULERS[library_class.__name__],
        _SCHEDULE,
        _build_scheduler(library_class),
        lambda scheduler: [scheduler.alphas_cumprod],
        lambda settings, _: [
            Schedule(diffusers_configs.read_schedule(settings)).alphas_cumprod.float()
        ],
        changes={
            **_SCHEDULE_CHANGES,
            "prediction_type": ["v_prediction"],
            "algorithm_type": ["sde-dpmsolver++"],
            "solver_type": ["heun"],
            "final_sigmas_type": ["sigma_min"],
            "variance_type": ["learned"],
            "lambda_min_clipped": [-5.0],
            "interpolation_type": ["log_linear"],
            "timestep_type": ["continuous"],
            "sigma_min": [0.1],
            "sigma_max": [10.0],
            "time_shift_type": ["linear"],
            "rescale_betas_zero_snr": [True],
            "use_flow_sigmas": [True],
        },
    )


def open_ours(bench, content, state):
    """Read a file's content by its table, and run our component on it."""
    settings = read_settings(content, bench.file_rows or bench.rows, "config.json")
    return bench.run_ours(settings, state)
