"""The dimensions of the models: those of the published families, and our own small ones."""

from __future__ import annotations

from dataclasses import replace

from .architecture import (
    AudioMAEConfig,
    CLAPConfig,
    LatentPriorConfig,
    MelSpec,
    ModelConfig,
    PhonemesConfig,
    ScheduleConfig,
    T5Config,
    TranslatorConfig,
    UNetConfig,
    VAEConfig,
    VocoderConfig,
)

# AudioLDM: FiLM by a CLAP vector.
CLAP_TINY = CLAPConfig(audio_hidden_size=96, audio_depths=(2, 2, 6, 2), text_layer_norm_eps=1e-5)
CLAP_BASE = CLAPConfig(text_layer_norm_eps=1e-5)
FILM = UNetConfig(film_dim=512)
AUDIOLDM_S = ModelConfig(unet=FILM, clap=CLAP_TINY)
AUDIOLDM_M = replace(
    AUDIOLDM_S,
    unet=replace(FILM, channels=192, num_heads=(6, 12, 18, 30)),
    clap=CLAP_BASE,
)
AUDIOLDM_L = replace(AUDIOLDM_S, unet=replace(FILM, channels=256, num_heads=(4, 8, 12, 20)))

# AudioLDM 2: cross-attention to T5's states and to the language of audio.
CROSS_ATTENTION_T5 = replace(
    AUDIOLDM_S, unet=UNetConfig(contexts=(None, 1024)), clap=CLAP_BASE, t5=T5Config()
)
AUDIOLDM_48K = ModelConfig(
    mel=MelSpec(sample_rate=48000, n_fft=2048, hop_length=480, n_mels=256, fmin=20.0, fmax=24000.0),
    vae=VAEConfig(channel_mult=(1, 2, 4, 8), latent_channels=16),
    unet=replace(FILM, latent_channels=16, contexts=(None, None)),
    vocoder=VocoderConfig(
        n_mels=256,
        channels=1536,
        upsample_rates=(6, 5, 4, 2, 2),
        upsample_kernel_sizes=(12, 10, 8, 4, 4),
        resblock_kernel_sizes=(3, 7, 11, 15),
        n_fft=2048,
        hop_length=480,
        sample_rate=48000,
        fmin=20.0,
        fmax=24000.0,
    ),
    clap=CLAP_BASE,
)
AUDIOLDM2 = replace(
    CROSS_ATTENTION_T5,
    unet=UNetConfig(contexts=(None, 768, 1024)),
    translator=TranslatorConfig(vocab_size=50257),
    latent_std=(1 / 0.4110932946205139,),
)
AUDIOLDM2_LARGE = replace(
    AUDIOLDM2,
    unet=replace(AUDIOLDM2.unet, contexts=(None, 768, 1024, None), transformer_depth=2),
)
AUDIOLDM2_SPEECH = replace(
    AUDIOLDM2,
    unet=UNetConfig(contexts=(None, 768)),
    t5=None,
    phonemes=PhonemesConfig(),
    translator=TranslatorConfig(
        source_dims=(512, 192), num_tokens=512, time_pool=1, freq_pool=1, vocab_size=50257
    ),
)

MINI = ModelConfig(
    vae=VAEConfig(channels=16, channel_mult=(1, 2, 4, 6), latent_channels=16, num_groups=16),
    unet=UNetConfig(
        latent_channels=16,
        channels=104,
        channel_mult=(1, 2),
        num_res_blocks=1,
        attention=(False, True),
        contexts=(192, 256),
        num_heads=(4, 4),
        film_dim=128,
        num_groups=8,
        merge_frequency_bins=8,
        num_uniform_frequencies=64,
        num_position_frequencies=64,
        use_prior=True,
    ),
    vocoder=VocoderConfig(
        kind="istft",
        channels=256,
        ffn_dim=768,
        num_layers=8,
        pitch_smoothing_frames=200,
        attack_n_fft=256,
        use_harmonics=True,
    ),
    schedule=ScheduleConfig(prediction="v"),
    clap=CLAPConfig(
        projection_dim=128,
        text_hidden_size=192,
        text_num_layers=3,
        text_num_heads=6,
        text_ffn_dim=384,
        text_max_positions=66,
        vocab_size=8192,
        text_max_length=64,
        audio_hidden_size=24,
        audio_depths=(1, 1, 2, 1),
        audio_num_heads=(2, 4, 8, 16),
    ),
    t5=T5Config(
        hidden_size=256,
        head_dim=32,
        num_heads=8,
        num_layers=4,
        ffn_dim=512,
        vocab_size=8192,
        max_length=64,
    ),
    latent_prior=LatentPriorConfig(num_layers=4, num_position_frequencies=64),
    translator=TranslatorConfig(
        hidden_size=192,
        num_layers=3,
        num_heads=6,
        max_positions=256,
        source_dims=(128, 256),
        num_tokens=8,
    ),
    audiomae=AudioMAEConfig(
        hidden_size=192,
        num_layers=4,
        num_heads=6,
        decoder_hidden_size=128,
        decoder_num_layers=2,
        decoder_num_heads=4,
    ),
)
"""The bundled model: AudioLDM 2 in small, with a latent prior and a UNet that is mostly 1-D."""

MINI_FILM = replace(
    MINI,
    unet=replace(MINI.unet, contexts=(None,), use_prior=False),
    t5=None,
    latent_prior=None,
    translator=None,
    audiomae=None,
)
"""AudioLDM 1 in small: trained on CLAP's audio embeddings, sampled with its text embeddings."""

MINI_SPEECH = replace(
    MINI,
    unet=replace(MINI.unet, contexts=(192,), film_dim=None, use_prior=False),
    t5=None,
    latent_prior=None,
    phonemes=PhonemesConfig(num_layers=1, ffn_dim=192, max_length=160),
    translator=TranslatorConfig(
        hidden_size=192,
        num_layers=4,
        num_heads=6,
        max_positions=768,
        source_dims=(128, 192),
        num_tokens=512,
        time_pool=1,
        freq_pool=1,
    ),
)
"""The speech model of AudioLDM 2 in small."""
