"""The tables of keys of diffusers' classes: UNet, VAE, projections, schedulers.

`transformers_keys` has those of transformers. A test compares both with the installed libraries.
"""

from __future__ import annotations

from typing import Any

from ..config.architecture import Prediction
from .config_keys import (
    COUNT,
    COUNT_OR_COUNTS,
    COUNT_OR_NULL,
    COUNTS,
    FLAG,
    INDEX,
    NUMBER,
    POSITIVE,
    Key,
    KeyTable,
    Rule,
    Settings,
    all_of,
    equals_key,
    fixed,
    held_to,
    honored,
    ignored,
    one_of,
    table,
)

ACTIVATIONS = ("silu", "swish", "mish", "gelu", "relu")
"""Values of `act_fn` in diffusers."""
_ACTIVATION = one_of(*ACTIVATIONS)


def _mirrors_down_blocks(value: Any, settings: Settings) -> bool:
    down = settings["down_block_types"]
    return isinstance(value, list) and value == [
        name.replace("Down", "Up") for name in reversed(down)
    ]


def _is_base_width_times_4(value: Any, settings: Settings) -> bool:
    return value is None or value == 4 * settings["block_out_channels"][0]


def _are_multiples(value: Any, settings: Settings) -> bool:
    is_list = COUNTS.accepts(value, settings)
    return is_list and all(width % value[0] == 0 for width in value)


_WIDTHS = Rule("a list of multiples of its first number", _are_multiples)
_MIRRORED = Rule("down_block_types backwards, each with Up for Down", _mirrors_down_blocks)
_CONCATENATED = Rule(
    "true if class_embed_type is set",
    lambda value, settings: bool(value) == (settings["class_embed_type"] is not None),
)
_CONTEXTS = Rule(
    "a number, or a number or list for each level, the same for all levels with attention",
    lambda value, _: isinstance(value, int | list),
)
_TIME_WIDTH = Rule("null or four times block_out_channels[0]", _is_base_width_times_4)

_UNET: dict[str, Key] = {
    "in_channels": honored(4, "unet.latent_channels", COUNT),
    "out_channels": held_to(4, equals_key("in_channels")),
    "flip_sin_to_cos": honored(True, "unet.cosine_first", FLAG),
    "freq_shift": honored(0, "unet.freq_shift", NUMBER),
    "down_block_types": honored(
        ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "unet.attention",
        all_of("CrossAttnDownBlock2D", "DownBlock2D"),
    ),
    "up_block_types": held_to(["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3, _MIRRORED),
    "block_out_channels": honored([320, 640, 1280, 1280], "unet.channel_mult", _WIDTHS),
    "layers_per_block": honored(2, "unet.num_res_blocks", COUNT_OR_COUNTS),
    "act_fn": honored("silu", "unet.activation", _ACTIVATION),
    "norm_num_groups": honored(32, "unet.num_groups", COUNT),
    "norm_eps": honored(1e-5, "unet.norm_eps", POSITIVE),
    "cross_attention_dim": honored(1280, "unet.contexts", _CONTEXTS),
    "transformer_layers_per_block": honored(1, "unet.transformer_depth", COUNT_OR_COUNTS),
    "attention_head_dim": honored(8, "unet.num_heads", COUNT_OR_COUNTS),
    "projection_class_embeddings_input_dim": honored(None, "unet.film_dim", COUNT_OR_NULL),
    "class_embed_type": honored(None, "unet.film_dim", one_of(None, "simple_projection")),
    "class_embeddings_concat": held_to(False, _CONCATENATED),
    "time_embedding_dim": held_to(None, _TIME_WIDTH),
    "mid_block_type": fixed("UNetMidBlock2DCrossAttn"),
    "num_attention_heads": fixed(None),
    "only_cross_attention": fixed(False),
    "downsample_padding": fixed(1),
    "mid_block_scale_factor": fixed(1),
    "num_class_embeds": fixed(None),
    "resnet_time_scale_shift": fixed("default"),
    "time_embedding_type": fixed("positional"),
    "time_embedding_act_fn": honored(None, "unet.embedding_activation", one_of(None, *ACTIVATIONS)),
    "timestep_post_act": fixed(None),
    "time_cond_proj_dim": fixed(None),
    "conv_in_kernel": fixed(3),
    "conv_out_kernel": fixed(3),
    **ignored("default length of the drop-in pipelines alone", "sample_size"),
    **ignored("a matrix and a 1x1 convolution compute the same", "use_linear_projection"),
    **ignored("changes the precision of 16-bit types alone", "upcast_attention"),
}

AUDIOLDM2_UNET = table("AudioLDM2UNet2DConditionModel", _UNET)
UNET = table(
    "UNet2DConditionModel",
    {
        **_UNET,
        "center_input_sample": fixed(False),
        "reverse_transformer_layers_per_block": fixed(None),
        "encoder_hid_dim": fixed(None),
        "encoder_hid_dim_type": fixed(None),
        "dual_cross_attention": fixed(False),
        "addition_embed_type": fixed(None),
        "resnet_skip_time_act": fixed(False),
        "resnet_out_scale_factor": fixed(1.0),
        "attention_type": fixed("default"),
        "mid_block_only_cross_attention": fixed(None, None, False),
        "cross_attention_norm": fixed(None),
        **ignored("dropout, in training only", "dropout"),
        **ignored(
            "belongs to addition_embed_type, which must be null",
            "addition_time_embed_dim",
            "addition_embed_type_num_heads",
        ),
    },
)

VAE = table(
    "AutoencoderKL",
    {
        "in_channels": fixed(3, 1),
        "out_channels": fixed(3, 1),
        "down_block_types": held_to(["DownEncoderBlock2D"], all_of("DownEncoderBlock2D")),
        "up_block_types": held_to(["UpDecoderBlock2D"], all_of("UpDecoderBlock2D")),
        "block_out_channels": honored([64], "vae.channel_mult", _WIDTHS),
        "layers_per_block": honored(1, "vae.num_res_blocks", COUNT),
        "act_fn": honored("silu", "vae.activation", _ACTIVATION),
        "latent_channels": honored(4, "vae.latent_channels", COUNT),
        "norm_num_groups": honored(32, "vae.num_groups", COUNT),
        "scaling_factor": honored(0.18215, "latent_std", POSITIVE),
        "use_quant_conv": fixed(True),
        "use_post_quant_conv": fixed(True),
        "mid_block_add_attention": fixed(True),
        **ignored("size of tiles, which AudioLDM has none of", "sample_size"),
        **ignored("changes the precision of 16-bit types alone", "force_upcast"),
        **ignored(
            "AudioLDM's pipelines read scaling_factor alone",
            "shift_factor",
            "latents_mean",
            "latents_std",
        ),
    },
)

PROJECTION = table(
    "AudioLDM2ProjectionModel",
    {
        "text_encoder_dim": honored(None, "translator.source_dims", COUNT),
        "text_encoder_1_dim": honored(None, "translator.source_dims", COUNT),
        "langauge_model_dim": honored(None, "translator.hidden_size", COUNT),  # spelled so
        "use_learned_position_embedding": honored(None, "phonemes", one_of(None, False, True)),
        "max_seq_length": honored(None, "phonemes.max_length", COUNT_OR_NULL),
    },
)

PREDICTION_TYPES: dict[Prediction, str] = {
    "epsilon": "epsilon",
    "v": "v_prediction",
    "x0": "sample",
}
"""Our name of what the UNet predicts -> diffusers' name."""

_BETAS: dict[str, Key] = {
    "num_train_timesteps": honored(1000, "schedule.num_train_timesteps", COUNT),
    "beta_start": honored(0.0001, "schedule.beta_start", POSITIVE),
    "beta_end": honored(0.02, "schedule.beta_end", POSITIVE),
    "beta_schedule": honored("linear", "schedule.beta_schedule", one_of("linear", "scaled_linear")),
    "trained_betas": fixed(None),
    "prediction_type": honored(
        "epsilon", "schedule.prediction", one_of(*PREDICTION_TYPES.values())
    ),
}
_OTHER_SCHEDULER = "diffusers' own class reads it in the drop-in; --sampler has samplers of ours"
_OF_ANOTHER_CLASS = "a key of another scheduler, left by from_config"
_SCHEDULER_KEYS = {
    "DDIMScheduler": (
        "clip_sample set_alpha_to_one steps_offset thresholding dynamic_thresholding_ratio "
        "clip_sample_range sample_max_value timestep_spacing rescale_betas_zero_snr"
    ),
    "DPMSolverMultistepScheduler": (
        "solver_order thresholding dynamic_thresholding_ratio sample_max_value algorithm_type "
        "solver_type lower_order_final euler_at_final use_karras_sigmas use_exponential_sigmas "
        "use_beta_sigmas use_lu_lambdas use_flow_sigmas flow_shift final_sigmas_type "
        "lambda_min_clipped variance_type timestep_spacing steps_offset rescale_betas_zero_snr "
        "use_dynamic_shifting time_shift_type"
    ),
    "EulerDiscreteScheduler": (
        "interpolation_type use_karras_sigmas use_exponential_sigmas use_beta_sigmas sigma_min "
        "sigma_max timestep_spacing timestep_type steps_offset rescale_betas_zero_snr "
        "final_sigmas_type"
    ),
    "EulerAncestralDiscreteScheduler": "timestep_spacing steps_offset rescale_betas_zero_snr",
    "HeunDiscreteScheduler": (
        "use_karras_sigmas use_exponential_sigmas use_beta_sigmas clip_sample clip_sample_range "
        "timestep_spacing steps_offset"
    ),
    "LMSDiscreteScheduler": (
        "use_karras_sigmas use_exponential_sigmas use_beta_sigmas timestep_spacing steps_offset"
    ),
    "PNDMScheduler": "skip_prk_steps set_alpha_to_one timestep_spacing steps_offset",
}
"""Keys of each scheduler beside the betas."""
_ALL_SCHEDULER_KEYS = sorted({key for keys in _SCHEDULER_KEYS.values() for key in keys.split()})

_DDIM: dict[str, Key] = {
    **_BETAS,
    "timestep_spacing": honored(
        "leading", "schedule.ddim_spacing", one_of("leading", "trailing", "linspace")
    ),
    "steps_offset": honored(0, "schedule.ddim_offset", INDEX),
    "set_alpha_to_one": honored(True, "schedule.ddim_ends_clean", FLAG),
    "clip_sample": fixed(True, False),
    "thresholding": fixed(False),
    "rescale_betas_zero_snr": fixed(False),
    **ignored(
        "belongs to clip_sample and thresholding, which must be false",
        "clip_sample_range",
        "dynamic_thresholding_ratio",
        "sample_max_value",
    ),
}


def _scheduler_table(name: str) -> KeyTable:
    keys = _DDIM
    if name != "DDIMScheduler":
        keys = {**_BETAS, **ignored(_OTHER_SCHEDULER, *_SCHEDULER_KEYS[name].split())}
        if "rescale_betas_zero_snr" in keys:
            keys["rescale_betas_zero_snr"] = fixed(False)
    rest = [key for key in _ALL_SCHEDULER_KEYS if key not in keys]
    return table(name, keys, ignored(_OF_ANOTHER_CLASS, *rest))


SCHEDULERS: dict[str, KeyTable] = {name: _scheduler_table(name) for name in _SCHEDULER_KEYS}
"""Every scheduler of diffusers that a folder may name."""


def scheduler_table(class_name: str) -> KeyTable:
    """Return the table of a scheduler's class; of an unknown class only the betas are read."""
    known = SCHEDULERS.get(class_name)
    if known is not None:
        return known
    rest = ignored(_OTHER_SCHEDULER, *_ALL_SCHEDULER_KEYS)
    return KeyTable(class_name, _BETAS, rest, {}, accepts_unknown=True)
