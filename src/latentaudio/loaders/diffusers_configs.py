"""The config.json of every component of a diffusers folder, read and written.

See (numerics: published checkpoints: layouts and key names).

`*_config` returns the file's content for our dimensions; `read_*` returns our dimensions for a
file's content. A missing key raises KeyError, which `diffusers_format.read_config` reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..config.architecture import (
    CLAPConfig,
    MelSpec,
    ModelConfig,
    PhonemesConfig,
    Prediction,
    ScheduleConfig,
    T5Config,
    TranslatorConfig,
    UNetConfig,
    VAEConfig,
    VocoderConfig,
)
from ..errors import WeightsError
from .builders import build_clap, build_on_meta, build_t5, build_translator

if TYPE_CHECKING:
    from torch import nn

_PREDICTION_TYPES: dict[Prediction, str] = {
    "epsilon": "epsilon",
    "v": "v_prediction",
    "x0": "sample",
}
"""Our name of what the UNet predicts -> diffusers' name."""

DEFAULT_SCALING_FACTOR = 0.18215
"""What AutoencoderKL assumes where its config.json has no scaling_factor."""

# what transformers assumes where a CLAP's config.json has no value
_CLAP_TEXT_DEFAULTS = {
    "vocab_size": 50265,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
    "layer_norm_eps": 1e-12,
}
_CLAP_AUDIO_DEFAULTS = {
    "patch_size": 4,
    "patch_embeds_hidden_size": 96,
    "depths": [2, 2, 6, 2],
    "num_attention_heads": [4, 8, 16, 32],
}


def scheduler_config(config: ModelConfig) -> dict[str, Any]:
    """Return DDIM's config as the published folders have it (numerics: schedules and samplers)."""
    schedule = config.schedule
    return {
        "_class_name": "DDIMScheduler",
        "beta_start": schedule.beta_start,
        "beta_end": schedule.beta_end,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": schedule.num_train_timesteps,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "prediction_type": _PREDICTION_TYPES[schedule.prediction],
    }


def read_schedule(content: Mapping[str, Any]) -> ScheduleConfig:
    """Return the noise schedule of a scheduler_config.json."""
    by_type = {name: prediction for prediction, name in _PREDICTION_TYPES.items()}
    prediction_type = content.get("prediction_type", "epsilon")
    beta_schedule = content.get("beta_schedule", "scaled_linear")
    is_supported = (
        prediction_type in by_type
        and beta_schedule == "scaled_linear"
        and content.get("trained_betas") is None
    )
    if not is_supported:
        raise WeightsError(
            f"the scheduler has beta_schedule {beta_schedule!r} and prediction_type "
            f"{prediction_type!r}, which no AudioLDM has; use another folder"
        )
    return ScheduleConfig(
        num_train_timesteps=content.get("num_train_timesteps", 1000),
        beta_start=content["beta_start"],
        beta_end=content["beta_end"],
        prediction=by_type[prediction_type],
    )


def unet_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of unet/config.json."""
    unet = config.unet
    is_audioldm1 = unet.is_audioldm1
    # published folders have one number of heads, which their weights were not trained with
    heads: int | list[int] = list(unet.num_heads)
    if len(set(unet.num_heads)) == 1:
        heads = unet.num_heads[0]
    down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in unet.attention]
    class_name = "UNet2DConditionModel" if is_audioldm1 else "AudioLDM2UNet2DConditionModel"
    contexts = [list(unet.contexts)] * len(unet.channel_mult)
    content: dict[str, Any] = {
        "_class_name": class_name,
        "act_fn": "silu",
        "attention_head_dim": heads,
        "block_out_channels": list(unet.widths),
        "cross_attention_dim": list(unet.widths) if is_audioldm1 else contexts,
        "down_block_types": down,
        "up_block_types": [name.replace("Down", "Up") for name in reversed(down)],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "layers_per_block": unet.num_res_blocks,
        "in_channels": unet.latent_channels,
        "out_channels": unet.latent_channels,
        "norm_num_groups": unet.num_groups,
        "norm_eps": 1e-5,
        "sample_size": 128 if is_audioldm1 else 256,
        "transformer_layers_per_block": unet.transformer_depth,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "use_linear_projection": False,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
    }
    if unet.film_dim is not None:
        content["class_embed_type"] = "simple_projection"
        content["projection_class_embeddings_input_dim"] = unet.film_dim
        content["class_embeddings_concat"] = True
    return content


def read_unet(content: Mapping[str, Any]) -> UNetConfig:
    """Return the dimensions of a unet/config.json."""
    widths = content["block_out_channels"]
    heads = content.get("num_attention_heads") or content["attention_head_dim"]
    cross = content["cross_attention_dim"]
    has_film = bool(content.get("class_embed_type"))
    contexts: tuple[int | None, ...]
    if content.get("class_embed_type") == "simple_projection" and not isinstance(cross[0], list):
        # AudioLDM 1: diffusers writes the level's width for a transformer without a context
        contexts = (None,)
    else:
        contexts = tuple(cross[-1] if isinstance(cross[-1], list) else cross)
    return UNetConfig(
        latent_channels=content["in_channels"],
        channels=widths[0],
        channel_mult=_channel_mult(content),
        num_res_blocks=content["layers_per_block"],
        attention=tuple("CrossAttn" in name for name in content["down_block_types"]),
        contexts=contexts,
        num_heads=tuple(heads) if isinstance(heads, list) else (heads,) * len(widths),
        transformer_depth=content.get("transformer_layers_per_block", 1),
        film_dim=content["projection_class_embeddings_input_dim"] if has_film else None,
        num_groups=content.get("norm_num_groups", 32),
    )


def vae_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of vae/config.json."""
    vae = config.vae
    num_levels = len(vae.channel_mult)
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": [vae.channels * mult for mult in vae.channel_mult],
        "down_block_types": ["DownEncoderBlock2D"] * num_levels,
        "up_block_types": ["UpDecoderBlock2D"] * num_levels,
        "in_channels": 1,
        "out_channels": 1,
        "latent_channels": vae.latent_channels,
        "layers_per_block": vae.num_res_blocks,
        "norm_num_groups": vae.num_groups,
        "sample_size": 1024,
        "scaling_factor": 1 / config.latent_std[0],
        "force_upcast": True,
    }


def read_vae(content: Mapping[str, Any]) -> VAEConfig:
    """Return the dimensions of a vae/config.json."""
    return VAEConfig(
        channels=content["block_out_channels"][0],
        channel_mult=_channel_mult(content),
        latent_channels=content["latent_channels"],
        num_res_blocks=content["layers_per_block"],
        num_groups=content.get("norm_num_groups", 32),
    )


def vocoder_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of vocoder/config.json."""
    vocoder = config.vocoder
    num_kernels = len(vocoder.resblock_kernel_sizes)
    return {
        "architectures": ["SpeechT5HifiGan"],
        "model_type": "hifigan",
        "initializer_range": 0.01,
        "leaky_relu_slope": 0.1,
        "model_in_dim": vocoder.n_mels,
        "normalize_before": False,
        "sampling_rate": vocoder.sample_rate,
        "upsample_initial_channel": vocoder.channels,
        "upsample_rates": list(vocoder.upsample_rates),
        "upsample_kernel_sizes": list(vocoder.upsample_kernel_sizes),
        "resblock_kernel_sizes": list(vocoder.resblock_kernel_sizes),
        "resblock_dilation_sizes": [list(vocoder.resblock_dilations)] * num_kernels,
    }


def read_mel(content: Mapping[str, Any]) -> MelSpec:
    """Return the mel front end that a vocoder/config.json implies (numerics: mel front ends)."""
    sample_rate = content["sampling_rate"]
    hop_length = math.prod(content["upsample_rates"])
    n_mels = content["model_in_dim"]
    if sample_rate == 48000:
        return MelSpec(sample_rate, 2048, hop_length, n_mels, 20.0, 24000.0)
    return MelSpec(sample_rate, 1024, hop_length, n_mels, 0.0, sample_rate / 2)


def read_vocoder(content: Mapping[str, Any]) -> VocoderConfig:
    """Return the dimensions of a vocoder/config.json."""
    mel = read_mel(content)
    dilations = content["resblock_dilation_sizes"]
    if len({tuple(sizes) for sizes in dilations}) != 1:
        raise WeightsError(
            "resblock_dilation_sizes of the vocoder differ between its blocks, which no AudioLDM "
            "has; use another vocoder"
        )
    return VocoderConfig(
        kind="hifigan",
        n_mels=content["model_in_dim"],
        channels=content["upsample_initial_channel"],
        upsample_rates=tuple(content["upsample_rates"]),
        upsample_kernel_sizes=tuple(content["upsample_kernel_sizes"]),
        resblock_kernel_sizes=tuple(content["resblock_kernel_sizes"]),
        resblock_dilations=tuple(dilations[0]),
        n_fft=mel.n_fft,
        hop_length=mel.hop_length,
        sample_rate=mel.sample_rate,
        fmin=mel.fmin,
        fmax=mel.fmax,
    )


def clap_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of CLAP's config.json."""
    return _transformers_config(build_clap, config)


def read_clap(content: Mapping[str, Any]) -> CLAPConfig:
    """Return the dimensions of a CLAP, or of its text tower alone (ClapTextModelWithProjection)."""
    is_text_only = "text_config" not in content
    text = {**_CLAP_TEXT_DEFAULTS, **(content if is_text_only else content["text_config"])}
    audio = {**_CLAP_AUDIO_DEFAULTS, **content.get("audio_config", {})}
    return CLAPConfig(
        projection_dim=content.get("projection_dim", 512),
        text_hidden_size=text["hidden_size"],
        text_num_layers=text["num_hidden_layers"],
        text_num_heads=text["num_attention_heads"],
        text_ffn_dim=text["intermediate_size"],
        text_max_positions=text["max_position_embeddings"],
        vocab_size=text["vocab_size"],
        # RoBERTa numbers positions from padding_idx + 1 = 2
        text_max_length=text["max_position_embeddings"] - 2,
        text_layer_norm_eps=text["layer_norm_eps"],
        audio_patch_size=audio["patch_size"],
        audio_hidden_size=audio["patch_embeds_hidden_size"],
        audio_depths=() if is_text_only else tuple(audio["depths"]),
        audio_num_heads=tuple(audio["num_attention_heads"]),
    )


def t5_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of T5's config.json."""
    return _transformers_config(build_t5, config)


def read_t5(content: Mapping[str, Any]) -> T5Config:
    """Return the dimensions of a T5 encoder."""
    return T5Config(
        hidden_size=content["d_model"],
        head_dim=content["d_kv"],
        num_heads=content["num_heads"],
        num_layers=content["num_layers"],
        ffn_dim=content["d_ff"],
        vocab_size=content["vocab_size"],
    )


def phonemes_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of the config.json of VITS, whose text encoder reads phonemes."""
    phonemes = config.phonemes
    assert phonemes is not None
    return {
        "architectures": ["VitsModel"],
        "model_type": "vits",
        "vocab_size": phonemes.vocab_size,
        "hidden_size": phonemes.hidden_size,
        "num_hidden_layers": phonemes.num_layers,
        "num_attention_heads": phonemes.num_heads,
        "ffn_dim": phonemes.ffn_dim,
        "ffn_kernel_size": phonemes.kernel_size,
        "window_size": phonemes.window_size,
        "flow_size": phonemes.hidden_size,
    }


def read_phonemes(content: Mapping[str, Any], projection: Mapping[str, Any]) -> PhonemesConfig:
    """Return the dimensions of a phoneme encoder, whose length the projection model has."""
    return PhonemesConfig(
        vocab_size=content["vocab_size"],
        hidden_size=content["hidden_size"],
        num_layers=content["num_hidden_layers"],
        num_heads=content["num_attention_heads"],
        ffn_dim=content["ffn_dim"],
        kernel_size=content["ffn_kernel_size"],
        window_size=content["window_size"],
        max_length=projection.get("max_seq_length") or 310,
    )


def translator_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of GPT-2's config.json."""
    assert config.translator is not None
    content = _transformers_config(build_translator, config, "gpt2")
    return {**content, "max_new_tokens": config.translator.num_tokens}


def projection_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of the config.json of the translator's projections."""
    translator = config.translator
    assert translator is not None
    first, second = translator.source_dims
    content: dict[str, Any] = {
        "_class_name": "AudioLDM2ProjectionModel",
        "text_encoder_dim": first,
        "text_encoder_1_dim": second,
        "langauge_model_dim": translator.hidden_size,  # spelled so by diffusers
    }
    if config.phonemes is not None:
        content["use_learned_position_embedding"] = True
        content["max_seq_length"] = config.phonemes.max_length
    return content


def read_translator(content: Mapping[str, Any], projection: Mapping[str, Any]) -> TranslatorConfig:
    """Return the dimensions of GPT-2 and its projections."""
    return TranslatorConfig(
        hidden_size=content["n_embd"],
        num_layers=content["n_layer"],
        num_heads=content["n_head"],
        max_positions=content["n_positions"],
        source_dims=(projection["text_encoder_dim"], projection["text_encoder_1_dim"]),
        num_tokens=content.get("max_new_tokens") or 8,
        vocab_size=content["vocab_size"],
    )


def _channel_mult(content: Mapping[str, Any]) -> tuple[int, ...]:
    first = content["block_out_channels"][0]
    return tuple(width // first for width in content["block_out_channels"])


def _transformers_config(
    build: Callable[[ModelConfig], nn.Module], config: ModelConfig, submodule: str = ""
) -> dict[str, Any]:
    """Return what transformers itself writes for a network of one of its classes."""
    module = build_on_meta(build, config, uses_transformers=True).get_submodule(submodule)
    content: dict[str, Any] = module.config.to_dict()  # type: ignore[union-attr, operator]
    return {**content, "architectures": [type(module).__name__]}
