"""UNets, VAE and vocoder of diffusers and transformers beside ours; see library_bench."""

import torch
import transformers
from diffusers import (
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    UNet2DConditionModel,
)
from library_bench import (
    NUM_FRAMES,
    NUM_TOKENS,
    Bench,
    build_diffusers,
    build_transformers,
    load_ours,
    random,
    system,
)

from latentaudio.loaders import diffusers_configs, diffusers_keys, transformers_configs
from latentaudio.loaders import transformers_keys as keys
from latentaudio.types import Conditioning, Context

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
    "time_embedding_act_fn": ["silu", "swish", "mish", "gelu", "relu"],
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
