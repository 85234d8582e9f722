"""The config.json of every component of a diffusers folder, made from our shapes: the inverse of `diffusers.read_config`.

Knows the words of their configs. Refuses to know weights. Sources: spec 11.4.
"""

from __future__ import annotations

from typing import Any

from ..config.architecture import ModelConfig, UNetConfig, VAEConfig, VocoderConfig
from ..errors import UsageError
from .diffusers_format import SCHEDULER

_PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}


def components(config: ModelConfig) -> dict[str, dict[str, Any]]:
    """{file: content} of every JSON but `model_index.json`. Raises UsageError for a system diffusers has no classes for."""
    check(config)
    found = {
        SCHEDULER: scheduler(config),
        "unet/config.json": _unet(config.unet),
        "vae/config.json": _vae(config.vae, config.latent_std[0]),
        "vocoder/config.json": _vocoder(config.vocoder),
    }
    if config.clap is not None:
        found["text_encoder/config.json"] = _numbers("clap", config)
    if config.t5 is not None:
        found["text_encoder_2/config.json"] = _numbers("t5", config)
    if config.phonemes is not None:
        found["text_encoder_2/config.json"] = _vits(config)
    if config.translator is not None:
        numbers = {**_numbers("translator", config), "max_new_tokens": config.translator.tokens}
        found["language_model/config.json"] = numbers
        found["projection_model/config.json"] = _projection(config)
    return found


def check(config: ModelConfig) -> None:
    """Raise UsageError for a system of parts that neither diffusers nor the authors have."""
    if (
        config.vocoder.kind != "hifigan"
        or config.unet.line is not None
        or config.draft
        or config.student
    ):
        raise UsageError(
            "only this package has this model's parts; convert it to --layout latentaudio"
        )
    if len(config.latent_std) > 1 or config.latent_mean != (0.0,):
        raise UsageError(
            "the other layouts scale latents by one number only; convert this model to --layout latentaudio"
        )


def _numbers(part: str, config: ModelConfig) -> dict[str, Any]:
    """What transformers itself writes for a part that is its own class."""
    from .model_folder import blank

    module = blank(part, config)
    if part == "translator":
        module = module.get_submodule("gpt2")
    numbers: dict[str, Any] = module.config.to_dict()  # type: ignore[union-attr, operator]
    return {**numbers, "architectures": [type(module).__name__]}


def scheduler(config: ModelConfig) -> dict[str, Any]:
    """DDIM's config as the converted folders have it (spec 5.2)."""
    schedule = config.schedule
    return {
        "_class_name": "DDIMScheduler", "beta_start": schedule.beta_start, "beta_end": schedule.beta_end,
        "beta_schedule": "scaled_linear", "num_train_timesteps": schedule.steps, "clip_sample": False,
        "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": _PREDICTIONS[schedule.prediction],
    }  # fmt: skip


def _unet(unet: UNetConfig) -> dict[str, Any]:
    levels, first = len(unet.mult), unet.first_kind
    if (
        len(set(unet.heads)) != 1
    ):  # converted folders say one number, which their weights were not trained with
        heads: int | list[int] = list(unet.heads)
    else:
        heads = unet.heads[0]
    down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in unet.attention]
    found: dict[str, Any] = {
        "_class_name": "UNet2DConditionModel" if first else "AudioLDM2UNet2DConditionModel", "act_fn": "silu",
        "attention_head_dim": heads, "block_out_channels": list(unet.widths),
        "cross_attention_dim": list(unet.widths) if first else [list(unet.contexts)] * levels,
        "down_block_types": down, "up_block_types": [kind.replace("Down", "Up") for kind in reversed(down)],
        "mid_block_type": "UNetMidBlock2DCrossAttn", "layers_per_block": unet.res_blocks, "in_channels": unet.latent,
        "out_channels": unet.latent, "norm_num_groups": unet.groups, "norm_eps": 1e-5, "sample_size": 128 if first else 256,
        "transformer_layers_per_block": unet.depth, "flip_sin_to_cos": True, "freq_shift": 0, "use_linear_projection": False,
        "downsample_padding": 1, "mid_block_scale_factor": 1, "conv_in_kernel": 3, "conv_out_kernel": 3,
    }  # fmt: skip
    if unet.film is not None:
        film = {
            "class_embed_type": "simple_projection",
            "projection_class_embeddings_input_dim": unet.film,
        }
        found |= {**film, "class_embeddings_concat": True}
    return found


def _vae(vae: VAEConfig, std: float) -> dict[str, Any]:
    levels = len(vae.mult)
    return {
        "_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [vae.channels * m for m in vae.mult],
        "down_block_types": ["DownEncoderBlock2D"] * levels, "up_block_types": ["UpDecoderBlock2D"] * levels,
        "in_channels": 1, "out_channels": 1, "latent_channels": vae.latent, "layers_per_block": vae.res_blocks,
        "norm_num_groups": vae.groups, "sample_size": 1024, "scaling_factor": 1 / std, "force_upcast": True,
    }  # fmt: skip


def _vocoder(vocoder: VocoderConfig) -> dict[str, Any]:
    return {
        "architectures": ["SpeechT5HifiGan"], "model_type": "hifigan", "initializer_range": 0.01, "leaky_relu_slope": 0.1,
        "model_in_dim": vocoder.bins, "normalize_before": False, "sampling_rate": vocoder.rate,
        "upsample_initial_channel": vocoder.channels, "upsample_rates": list(vocoder.rates),
        "upsample_kernel_sizes": list(vocoder.kernels), "resblock_kernel_sizes": list(vocoder.block_kernels),
        "resblock_dilation_sizes": [list(vocoder.dilations)] * len(vocoder.block_kernels),
    }  # fmt: skip


def _vits(config: ModelConfig) -> dict[str, Any]:
    phonemes = config.phonemes
    assert phonemes is not None
    return {
        "architectures": ["VitsModel"], "model_type": "vits", "vocab_size": phonemes.vocabulary, "hidden_size": phonemes.width,
        "num_hidden_layers": phonemes.layers, "num_attention_heads": phonemes.heads, "ffn_dim": phonemes.hidden,
        "ffn_kernel_size": phonemes.kernel, "window_size": phonemes.window, "flow_size": phonemes.width,
    }  # fmt: skip


def _projection(config: ModelConfig) -> dict[str, Any]:
    translator = config.translator
    assert translator is not None
    first, second = translator.sources
    found: dict[str, Any] = {
        "_class_name": "AudioLDM2ProjectionModel", "text_encoder_dim": first, "text_encoder_1_dim": second,
        "langauge_model_dim": translator.width,
    }  # fmt: skip
    if config.phonemes is not None:
        found |= {"use_learned_position_embedding": True, "max_seq_length": config.phonemes.length}
    return found
