"""The config.json of every component of a diffusers folder, read and written.

See (numerics: published checkpoints: layouts and key names).

`*_config` returns the file's content for our dimensions; `read_*` returns our dimensions for the
settings of a file, as `config_keys.read_settings` returns them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..config.architecture import (
    ModelConfig,
    ScheduleConfig,
    UNetConfig,
    VAEConfig,
)
from ..errors import WeightsError
from .config_keys import Settings, whole_number
from .diffusers_keys import PREDICTION_TYPES

if TYPE_CHECKING:
    pass


def scheduler_config(config: ModelConfig) -> dict[str, Any]:
    """Return DDIM's config as the published folders have it (numerics: schedules and samplers)."""
    schedule = config.schedule
    content = {
        "_class_name": "DDIMScheduler",
        "beta_start": schedule.beta_start,
        "beta_end": schedule.beta_end,
        "beta_schedule": schedule.beta_schedule,
        "num_train_timesteps": schedule.num_train_timesteps,
        "clip_sample": False,
        "set_alpha_to_one": schedule.ddim_ends_clean,
        "steps_offset": schedule.ddim_offset,
        "prediction_type": PREDICTION_TYPES[schedule.prediction],
    }
    if schedule.ddim_spacing != "leading":  # the default of diffusers
        content["timestep_spacing"] = schedule.ddim_spacing
    return content


def read_schedule(settings: Settings) -> ScheduleConfig:
    """Return the noise schedule of a scheduler_config.json.

    Args:
        settings: Of a scheduler of any class; only DDIM's says which timesteps DDIM visits.
    """
    by_type = {name: prediction for prediction, name in PREDICTION_TYPES.items()}
    schedule = ScheduleConfig(
        num_train_timesteps=settings["num_train_timesteps"],
        beta_start=settings["beta_start"],
        beta_end=settings["beta_end"],
        prediction=by_type[settings["prediction_type"]],
        beta_schedule=settings["beta_schedule"],
    )
    if settings.get("_class_name", "DDIMScheduler") != "DDIMScheduler":
        return schedule
    return replace(
        schedule,
        ddim_spacing=settings["timestep_spacing"],
        ddim_offset=settings["steps_offset"],
        ddim_ends_clean=settings["set_alpha_to_one"],
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
        "act_fn": unet.activation,
        "attention_head_dim": heads,
        "block_out_channels": list(unet.widths),
        "cross_attention_dim": list(unet.widths) if is_audioldm1 else contexts,
        "down_block_types": down,
        "up_block_types": [name.replace("Down", "Up") for name in reversed(down)],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "layers_per_block": _as_json(unet.num_res_blocks),
        "in_channels": unet.latent_channels,
        "out_channels": unet.latent_channels,
        "norm_num_groups": unet.num_groups,
        "norm_eps": unet.norm_eps,
        "sample_size": 128 if is_audioldm1 else 256,
        "transformer_layers_per_block": _as_json(unet.transformer_depth),
        "flip_sin_to_cos": unet.cosine_first,
        "freq_shift": whole_number(unet.freq_shift),
        "use_linear_projection": False,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
    }
    if unet.embedding_activation is not None:
        content["time_embedding_act_fn"] = unet.embedding_activation
    if unet.film_dim is not None:
        content["class_embed_type"] = "simple_projection"
        content["projection_class_embeddings_input_dim"] = unet.film_dim
        content["class_embeddings_concat"] = True
    return content


def _as_json(number: int | tuple[int, ...]) -> int | list[int]:
    return number if isinstance(number, int) else list(number)


def _number_or_tuple(value: int | list[int]) -> int | tuple[int, ...]:
    """Return one number where all levels have the same."""
    if isinstance(value, int):
        return value
    return value[0] if len(set(value)) == 1 else tuple(value)


def read_unet(settings: Settings, file: str, is_audioldm1: bool) -> UNetConfig:
    """Return the dimensions of a unet/config.json.

    Args:
        settings: Its settings.
        file: Its path, for errors.
        is_audioldm1: Whether its class is UNet2DConditionModel.

    Raises:
        WeightsError: The contexts of its levels differ.
    """
    widths = settings["block_out_channels"]
    heads = settings["attention_head_dim"]
    attention = tuple("CrossAttn" in name for name in settings["down_block_types"])
    return UNetConfig(
        latent_channels=settings["in_channels"],
        channels=widths[0],
        channel_mult=_channel_mult(settings),
        num_res_blocks=_number_or_tuple(settings["layers_per_block"]),
        attention=attention,
        contexts=_contexts(settings, attention, file, is_audioldm1),
        num_heads=tuple(heads) if isinstance(heads, list) else (heads,) * len(widths),
        transformer_depth=_number_or_tuple(settings["transformer_layers_per_block"]),
        film_dim=_film_dim(settings, file),
        num_groups=settings["norm_num_groups"],
        activation=_activation(settings["act_fn"]),
        embedding_activation=_optional_activation(settings["time_embedding_act_fn"]),
        norm_eps=settings["norm_eps"],
        freq_shift=settings["freq_shift"],
        cosine_first=settings["flip_sin_to_cos"],
    )


def _activation(name: str) -> str:
    return "silu" if name == "swish" else name


def _optional_activation(name: str | None) -> str | None:
    return None if name is None else _activation(name)


def _film_dim(settings: Settings, file: str) -> int | None:
    if settings["class_embed_type"] is None:
        return None
    film_dim: int | None = settings["projection_class_embeddings_input_dim"]
    if film_dim is None:
        raise WeightsError(
            f"{file} has class_embed_type and no projection_class_embeddings_input_dim; "
            f"download the folder again"
        )
    return film_dim


def _contexts(
    settings: Settings, attention: tuple[bool, ...], file: str, is_audioldm1: bool
) -> tuple[int | None, ...]:
    """Return the contexts of every level with attention, which must be the same."""
    widths = settings["block_out_channels"]
    cross = settings["cross_attention_dim"]
    per_level = cross if isinstance(cross, list) else [cross] * len(widths)
    if len(per_level) != len(widths):
        raise WeightsError(
            f"{file} has cross_attention_dim = {cross} for {len(widths)} levels; give one number, "
            f"or one for each level"
        )
    contexts = []
    for width, entry, attends in zip(widths, per_level, attention, strict=True):
        level = tuple(entry) if isinstance(entry, list) else (entry,)
        if is_audioldm1:
            # diffusers writes the level's width for a transformer without a context
            level = tuple(None if number == width else number for number in level)
        if attends:
            contexts.append(level)
    is_same = len(set(contexts)) == 1
    if not is_same or not (contexts[0] == (None,) if is_audioldm1 else _is_readable(contexts[0])):
        needed = "the same contexts, one of the first two and at most one behind them"
        if is_audioldm1:
            needed = "its own width"
        raise WeightsError(
            f"{file} has cross_attention_dim = {cross}; it must give every level with attention "
            f"{needed}, because AudioLDM has nothing else; use another model"
        )
    return contexts[0]


def _is_readable(contexts: tuple[int | None, ...]) -> bool:
    """Return whether every transformer of diffusers' block gets a context of its own.

    The first two places get the language of audio, all others the states of T5.
    """
    first = [width for width in contexts[:2] if width is not None]
    second = [width for width in contexts[2:] if width is not None]
    return len(first) <= 1 and len(second) <= len(first)


def vae_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of vae/config.json."""
    vae = config.vae
    num_levels = len(vae.channel_mult)
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": vae.activation,
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


def read_vae(settings: Settings) -> VAEConfig:
    """Return the dimensions of a vae/config.json."""
    return VAEConfig(
        channels=settings["block_out_channels"][0],
        channel_mult=_channel_mult(settings),
        latent_channels=settings["latent_channels"],
        num_res_blocks=settings["layers_per_block"],
        num_groups=settings["norm_num_groups"],
        activation=_activation(settings["act_fn"]),
    )


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


def _channel_mult(settings: Settings) -> tuple[int, ...]:
    first = settings["block_out_channels"][0]
    return tuple(width // first for width in settings["block_out_channels"])
