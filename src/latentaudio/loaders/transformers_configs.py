"""The config.json of every network of transformers in a diffusers folder, read and written.

See (numerics: published checkpoints: layouts and key names).

`*_config` returns the file's content for our dimensions; `read_*` returns our dimensions for the
settings of a file, as `config_keys.read_settings` returns them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..config.architecture import (
    CLAPConfig,
    CLAPMelSpec,
    MelSpec,
    ModelConfig,
    PhonemesConfig,
    T5Config,
    TranslatorConfig,
    VocoderConfig,
)
from .builders import build_clap, build_on_meta, build_t5, build_translator
from .config_keys import Settings, whole_number
from .transformers_keys import first_number

if TYPE_CHECKING:
    from torch import nn

_CLAP_RATE = 48000
"""Samples per second of CLAP's input."""


def vocoder_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of vocoder/config.json."""
    vocoder = config.vocoder
    num_kernels = len(vocoder.resblock_kernel_sizes)
    return {
        "architectures": ["SpeechT5HifiGan"],
        "model_type": "hifigan",
        "initializer_range": 0.01,
        "leaky_relu_slope": vocoder.leaky_relu_slope,
        "model_in_dim": vocoder.n_mels,
        "normalize_before": vocoder.has_mel_statistics,
        "sampling_rate": vocoder.sample_rate,
        "upsample_initial_channel": vocoder.channels,
        "upsample_rates": list(vocoder.upsample_rates),
        "upsample_kernel_sizes": list(vocoder.upsample_kernel_sizes),
        "resblock_kernel_sizes": list(vocoder.resblock_kernel_sizes),
        "resblock_dilation_sizes": [list(vocoder.resblock_dilations)] * num_kernels,
    }


def read_mel(settings: Settings) -> MelSpec:
    """Return the mel front end that a vocoder/config.json implies (numerics: mel front ends)."""
    sample_rate = settings["sampling_rate"]
    hop_length = math.prod(settings["upsample_rates"])
    n_mels = settings["model_in_dim"]
    if sample_rate == 48000:
        return MelSpec(sample_rate, 2048, hop_length, n_mels, 20.0, 24000.0)
    return MelSpec(sample_rate, 1024, hop_length, n_mels, 0.0, sample_rate / 2)


def read_vocoder(settings: Settings) -> VocoderConfig:
    """Return the dimensions of a vocoder/config.json."""
    mel = read_mel(settings)
    return VocoderConfig(
        kind="hifigan",
        n_mels=settings["model_in_dim"],
        channels=settings["upsample_initial_channel"],
        upsample_rates=tuple(settings["upsample_rates"]),
        upsample_kernel_sizes=tuple(settings["upsample_kernel_sizes"]),
        resblock_kernel_sizes=tuple(settings["resblock_kernel_sizes"]),
        resblock_dilations=tuple(settings["resblock_dilation_sizes"][0]),
        leaky_relu_slope=settings["leaky_relu_slope"],
        has_mel_statistics=settings["normalize_before"],
        n_fft=mel.n_fft,
        hop_length=mel.hop_length,
        sample_rate=mel.sample_rate,
        fmin=mel.fmin,
        fmax=mel.fmax,
    )


def clap_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of CLAP's config.json; of AudioLDM 1's folders, that of the text tower."""
    assert config.clap is not None
    if config.unet.is_audioldm1:
        config = replace(config, clap=replace(config.clap, audio_depths=()))
    return _transformers_config(build_clap, config)


def read_clap(settings: Settings, max_length: int, mel: CLAPMelSpec) -> CLAPConfig:
    """Return the dimensions of a CLAP, or of its text tower alone (ClapTextModelWithProjection).

    Args:
        settings: The settings of its config.json.
        max_length: The longest text of its tokenizer, in tokens.
        mel: Its front end.
    """
    is_text_only = "text_config" not in settings
    text = settings if is_text_only else settings["text_config"]
    # RoBERTa numbers positions from the padding token's id + 1
    num_positions = text["max_position_embeddings"] - text["pad_token_id"] - 1
    clap = CLAPConfig(
        projection_dim=settings["projection_dim"],
        text_hidden_size=text["hidden_size"],
        text_num_layers=text["num_hidden_layers"],
        text_num_heads=text["num_attention_heads"],
        text_ffn_dim=text["intermediate_size"],
        text_max_positions=text["max_position_embeddings"],
        vocab_size=text["vocab_size"],
        text_max_length=min(num_positions, max_length),
        text_layer_norm_eps=text["layer_norm_eps"],
        text_activation=text["hidden_act"],
        text_pad_id=text["pad_token_id"],
        projection_activation=settings["projection_hidden_act"],
        audio_depths=(),
    )
    if is_text_only:
        return clap
    audio = settings["audio_config"]
    return replace(
        clap,
        audio_patch_size=first_number(audio["patch_size"]),
        audio_hidden_size=audio["patch_embeds_hidden_size"],
        audio_depths=tuple(audio["depths"]),
        audio_num_heads=tuple(audio["num_attention_heads"]),
        audio_activation=audio["hidden_act"],
        audio_layer_norm_eps=audio["layer_norm_eps"],
        audio_window_size=audio["window_size"],
        audio_image_size=audio["spec_size"],
        audio_channels=audio["patch_embed_input_channels"],
        audio_mlp_ratio=float(audio["mlp_ratio"]),
        audio_has_qkv_bias=audio["qkv_bias"],
        mel=replace(mel, n_mels=audio["num_mel_bins"]),
    )


def feature_extractor_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of preprocessor_config.json, for transformers' ClapFeatureExtractor."""
    assert config.clap is not None
    mel = config.clap.mel
    num_samples = int(mel.duration_s * _CLAP_RATE)
    return {
        "chunk_length_s": whole_number(mel.duration_s),
        "feature_extractor_type": "ClapFeatureExtractor",
        "feature_size": mel.n_mels,
        "fft_window_size": mel.n_fft,
        "frequency_max": whole_number(mel.fmax),
        "frequency_min": whole_number(mel.fmin),
        "hop_length": mel.hop_length,
        "max_length_s": whole_number(mel.duration_s),
        "n_fft": mel.n_fft,
        "nb_frequency_bins": mel.n_fft // 2 + 1,
        "nb_max_frames": num_samples // mel.hop_length,
        "nb_max_samples": num_samples,
        "padding": mel.padding or "repeatpad",
        "padding_side": "right",
        "padding_value": 0,
        "processor_class": "ClapProcessor",
        "return_attention_mask": False,
        "sampling_rate": _CLAP_RATE,
        "top_db": None,
        "truncation": "fusion" if mel.is_fusion else "rand_trunc",
    }


def read_feature_extractor(settings: Settings) -> CLAPMelSpec:
    """Return CLAP's front end of a preprocessor_config.json."""
    return CLAPMelSpec(
        n_mels=settings["feature_size"],
        n_fft=settings["fft_window_size"],
        hop_length=settings["hop_length"],
        fmin=float(settings["frequency_min"]),
        fmax=float(settings["frequency_max"]),
        duration_s=float(settings["max_length_s"]),
        # as published: the reference implementation decides
        padding="" if settings["padding"] == "repeatpad" else settings["padding"],
        is_fusion=settings["truncation"] == "fusion",
    )


def t5_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of T5's config.json."""
    return _transformers_config(build_t5, config)


def read_t5(settings: Settings, max_length: int) -> T5Config:
    """Return the dimensions of a T5 encoder.

    Args:
        settings: The settings of its config.json.
        max_length: The longest text of its tokenizer, in tokens.
    """
    return T5Config(
        hidden_size=settings["d_model"],
        head_dim=settings["d_kv"],
        num_heads=settings["num_heads"],
        num_layers=settings["num_layers"],
        ffn_dim=settings["d_ff"],
        vocab_size=settings["vocab_size"],
        max_length=max_length,
        feed_forward=settings["feed_forward_proj"],
        num_buckets=settings["relative_attention_num_buckets"],
        max_distance=settings["relative_attention_max_distance"],
        layer_norm_eps=settings["layer_norm_epsilon"],
    )


def phonemes_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of the config.json of VITS, whose text encoder reads phonemes."""
    phonemes = config.phonemes
    assert phonemes is not None
    content = {
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
    if phonemes.activation != "relu":  # the default of transformers
        content["hidden_act"] = phonemes.activation
    if phonemes.layer_norm_eps != 1e-5:
        content["layer_norm_eps"] = phonemes.layer_norm_eps
    return content


def read_phonemes(settings: Settings, projection: Settings) -> PhonemesConfig:
    """Return the dimensions of a phoneme encoder, whose length the projection model has."""
    return PhonemesConfig(
        vocab_size=settings["vocab_size"],
        hidden_size=settings["hidden_size"],
        num_layers=settings["num_hidden_layers"],
        num_heads=settings["num_attention_heads"],
        ffn_dim=settings["ffn_dim"],
        kernel_size=settings["ffn_kernel_size"],
        window_size=settings["window_size"],
        max_length=projection.get("max_seq_length") or 310,
        activation=settings["hidden_act"],
        layer_norm_eps=settings["layer_norm_eps"],
    )


def translator_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of GPT-2's config.json."""
    assert config.translator is not None
    content = _transformers_config(build_translator, config, "gpt2")
    return {**content, "max_new_tokens": config.translator.num_tokens}


def read_translator(settings: Settings, projection: Settings) -> TranslatorConfig:
    """Return the dimensions of GPT-2 and its projections."""
    return TranslatorConfig(
        hidden_size=settings["n_embd"],
        num_layers=settings["n_layer"],
        num_heads=settings["n_head"],
        max_positions=settings["n_positions"],
        source_dims=(projection["text_encoder_dim"], projection["text_encoder_1_dim"]),
        num_tokens=settings["max_new_tokens"] or 8,
        vocab_size=settings["vocab_size"],
        ffn_dim=settings["n_inner"],
        activation=settings["activation_function"],
        layer_norm_eps=settings["layer_norm_epsilon"],
        scale_attention=settings["scale_attn_weights"],
        scale_attention_by_layer=settings["scale_attn_by_inverse_layer_idx"],
    )


def _transformers_config(
    build: Callable[[ModelConfig], nn.Module], config: ModelConfig, submodule: str = ""
) -> dict[str, Any]:
    """Return what transformers itself writes for a network of one of its classes."""
    module = build_on_meta(build, config, uses_transformers=True).get_submodule(submodule)
    content: dict[str, Any] = module.config.to_dict()  # type: ignore[union-attr, operator]
    return {**content, "architectures": [type(module).__name__]}
