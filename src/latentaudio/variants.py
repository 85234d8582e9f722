"""The table of models: a checkpoint is a row of data, and rows are deltas of a base. Torch-free.

Knows names, shapes, licences and defaults. Refuses to know how weights are stored or found (see `weights`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .configs import (
    AudioMAEConfig,
    CLAPConfig,
    DraftConfig,
    MelSpec,
    ModelConfig,
    ScheduleConfig,
    T5Config,
    TranslatorConfig,
    UNetConfig,
    VAEConfig,
    VocoderConfig,
)
from .errors import UsageError


@dataclass(frozen=True)
class Variant:
    """One row: the name users type, what it is for, its shapes and the defaults it was made for.

    shortest, longest: seconds of sound it was trained on; a shorter clip is cut from one of `shortest`.
    """

    name: str
    purpose: str
    licence: str
    config: ModelConfig
    seconds: float = 10.0
    shortest: float = 2.56
    longest: float = 10.24
    steps: int = 200
    guidance: float = 3.5
    parallel: float = 1.0
    guidance_start: float = 0.0
    guidance_stop: float = 1.0
    sampler: str = "ddim"
    candidates: int = 3
    embedded: bool = False


_NC = "CC BY-NC-SA 4.0 (weights)"
_BASE = UNetConfig()
_LOA_T5 = replace(_BASE, contexts=(None, 768, 1024))

PUBLISHED_UNETS: dict[str, tuple[UNetConfig, int]] = {
    "audioldm-s-full": (replace(_BASE, film=512), 185_036_552),
    "audioldm-m-full": (replace(_BASE, channels=192, heads=(6, 12, 18, 30), film=512), 415_954_568),
    "audioldm-l-full": (replace(_BASE, channels=256, heads=(4, 8, 12, 20), film=512), 739_139_080),
    "audioldm_16k_crossattn_t5": (replace(_BASE, contexts=(None, 1024)), 265_531_016),
    "audioldm_48k": (replace(_BASE, latent=16, contexts=(None, None), film=512), 262_699_152),
    "audioldm2-full": (_LOA_T5, 346_943_496),
    "audioldm2-full-large-1150k": (replace(_LOA_T5, contexts=(None, 768, 1024, None), depth=2), 718_012_296),
    "audioldm2-speech-gigaspeech": (replace(_BASE, contexts=(None, 768)), 261_926_536),
}
"""UNet shapes of the published models (spec 4.3) and their parameter counts."""

MEL_48K = MelSpec(rate=48000, n_fft=2048, hop=480, bins=256, fmin=20.0, fmax=24000.0)
VAE_48K = VAEConfig(mult=(1, 2, 4, 8), latent=16)
VOCODER_48K = VocoderConfig(
    bins=256, channels=1536, rates=(6, 5, 4, 2, 2), kernels=(12, 10, 8, 4, 4), block_kernels=(3, 7, 11, 15), n_fft=2048, hop=480
)

MINI = ModelConfig(
    vae=VAEConfig(channels=16, mult=(1, 2, 4, 6), latent=16, groups=16),
    unet=UNetConfig(
        latent=16, channels=104, mult=(1, 2), res_blocks=1, attention=(False, True), contexts=(192, 256), heads=(4, 4),
        film=128, groups=8, line=8, beats=64, order=64, draft=True,
    ),
    vocoder=VocoderConfig(kind="istft", channels=256, hidden=768, layers=8, reach=200),
    schedule=ScheduleConfig(prediction="v"),
    clap=CLAPConfig(
        projection=128, text_width=192, text_layers=3, text_heads=6, text_hidden=384, text_positions=66, vocabulary=8192,
        text_length=64, audio_width=24, audio_depths=(1, 1, 2, 1), audio_heads=(2, 4, 8, 16),
    ),
    t5=T5Config(width=256, head_width=32, heads=8, layers=4, hidden=512, vocabulary=8192, length=64),
    draft=DraftConfig(layers=4, order=64),
    translator=TranslatorConfig(width=192, layers=3, heads=6, positions=256, sources=(128, 256), tokens=8),
    audiomae=AudioMAEConfig(width=192, depth=4, heads=6, decoder_width=128, decoder_depth=2, decoder_heads=4),
)  # fmt: skip

MINI_FILM = replace(
    MINI, unet=replace(MINI.unet, contexts=(None,), draft=False), t5=None, draft=None, translator=None, audiomae=None
)
"""AudioLDM 1 in miniature: FiLM on the CLAP vector, trained on audio embeddings, sampled with text embeddings."""

_MINI = Variant(
    "mini", "sound effects, music and speech-like sounds on any machine; ships with the package", "Apache-2.0", MINI,
    seconds=5.12, shortest=1.28, steps=25, guidance=3.0, parallel=0.0, guidance_stop=0.76, sampler="dpm++", candidates=1,
    embedded=True,
)  # fmt: skip
_FILM = "AudioLDM 1 in miniature: train it with recipes/mini/film.yaml"
_ROWS = (_MINI, replace(_MINI, name="mini-film", purpose=_FILM, config=MINI_FILM, embedded=False))

VARIANTS: dict[str, Variant] = {row.name: row for row in _ROWS}


def variant(name: str) -> Variant:
    """The row of that name; raises `UsageError` listing what exists."""
    if name not in VARIANTS:
        raise UsageError(f"no model is called {name!r}; there are: {', '.join(VARIANTS)}")
    return VARIANTS[name]
