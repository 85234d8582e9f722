"""The table of models: a checkpoint is a row of data, and rows are deltas of a base. Torch-free.

Knows names, shapes, licences and defaults. Refuses to know how weights are stored or found (see `weights`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .configs import (
    AudioMAEConfig,
    CLAPConfig,
    DraftConfig,
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
from .errors import UsageError
from .presets import PresetName


@dataclass(frozen=True)
class Variant:
    """One row: the name users type, what it is for, its shapes and the defaults it was made for.

    shortest, longest: seconds of sound it was trained on; a shorter clip is cut from one of `shortest`. preset: the usual one,
    over the values that stand here.
    shift: a transfer's strength s begins at shift s / (1 + (shift - 1) s) of the way to noise (arXiv 2403.03206, eq. 23); 1 is
    as published.
    hub: its folder as diffusers lays it out; original: the authors' file, "owner/repository/file" on the hub or a file's name.
    parameters: of its UNet. ema: whether its authors sampled with averaged weights.
    """

    name: str
    purpose: str
    licence: str
    config: ModelConfig
    seconds: float = 10.0
    shortest: float = 2.56
    longest: float = 10.24
    preset: PresetName = "quality"
    guidance: float = 3.5
    parallel: float = 1.0
    guidance_start: float = 0.0
    guidance_stop: float = 1.0
    candidates: int = 3
    shift: float = 1.0
    embedded: bool = False
    hub: str = ""
    original: str = ""
    parameters: int = 0
    ema: bool = False


_NC = "CC BY-NC-SA 4.0 (weights)"
_RAIL = "CreativeML OpenRAIL-M (weights)"

_CLAP_TINY = CLAPConfig(audio_width=96, audio_depths=(2, 2, 6, 2), text_eps=1e-5)
_CLAP_BASE = CLAPConfig(text_eps=1e-5)
_FILM = UNetConfig(film=512)
_V1 = ModelConfig(unet=_FILM, clap=_CLAP_TINY)
_M = replace(_V1, unet=replace(_FILM, channels=192, heads=(6, 12, 18, 30)), clap=_CLAP_BASE)
_L = replace(_V1, unet=replace(_FILM, channels=256, heads=(4, 8, 12, 20)))
_T5 = replace(_V1, unet=UNetConfig(contexts=(None, 1024)), clap=_CLAP_BASE, t5=T5Config())
_48K = ModelConfig(
    mel=MelSpec(rate=48000, n_fft=2048, hop=480, bins=256, fmin=20.0, fmax=24000.0),
    vae=VAEConfig(mult=(1, 2, 4, 8), latent=16),
    unet=replace(_FILM, latent=16, contexts=(None, None)),
    vocoder=VocoderConfig(
        bins=256, channels=1536, rates=(6, 5, 4, 2, 2), kernels=(12, 10, 8, 4, 4), block_kernels=(3, 7, 11, 15),
        n_fft=2048, hop=480, rate=48000, fmin=20.0, fmax=24000.0,
    ),
    clap=_CLAP_BASE,
)  # fmt: skip
_V2 = replace(
    _T5,
    unet=UNetConfig(contexts=(None, 768, 1024)),
    translator=TranslatorConfig(vocabulary=50257),
    latent_std=(1 / 0.4110932946205139,),
)
_LARGE = replace(_V2, unet=replace(_V2.unet, contexts=(None, 768, 1024, None), depth=2))
_SPEECH = replace(
    _V2, unet=UNetConfig(contexts=(None, 768)), t5=None, phonemes=PhonemesConfig(),
    translator=TranslatorConfig(sources=(512, 192), tokens=512, time_pool=1, freq_pool=1, vocabulary=50257),
)  # fmt: skip

MINI = ModelConfig(
    vae=VAEConfig(channels=16, mult=(1, 2, 4, 6), latent=16, groups=16),
    unet=UNetConfig(
        latent=16, channels=104, mult=(1, 2), res_blocks=1, attention=(False, True), contexts=(192, 256), heads=(4, 4),
        film=128, groups=8, line=8, beats=64, order=64, draft=True,
    ),
    vocoder=VocoderConfig(kind="istft", channels=256, hidden=768, layers=8, reach=200, short=256, harmonics=True),
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
    seconds=5.12, shortest=1.28, guidance=3.0, parallel=0.0, guidance_stop=0.76, candidates=1,
    shift=3.0, embedded=True,
)  # fmt: skip
_MINI_FILM = "AudioLDM 1 in miniature: train it with recipes/mini/film.yaml"


def _scaled(config: ModelConfig, scale: float) -> ModelConfig:
    """The same shapes with latents of standard deviation 1 / scale."""
    return replace(config, latent_std=(1 / scale,))


def _first(name: str, purpose: str, config: ModelConfig, parameters: int, hub: str = "", **more: Any) -> Variant:
    """A row of AudioLDM 1's generation."""
    return Variant(
        name, purpose, _NC, config, parameters=parameters, hub=hub, guidance=2.5, ema=True, original=f"{name}.ckpt", **more
    )


def _second(name: str, purpose: str, config: ModelConfig, parameters: int, hub: str = "", **more: Any) -> Variant:
    """A row of AudioLDM 2's generation, whose originals lie on the hub too."""
    row = Variant(name, purpose, _NC, config, parameters=parameters, hub=hub, original=f"haoheliu/{name}/{name}.pth")
    return replace(row, **more)


_PUBLISHED = (
    _first("audioldm-s-full", "effects and music, small", _scaled(_V1, 0.9227914214134216), 185_036_552, "cvssp/audioldm"),
    _first(
        "audioldm-s-full-v2", "as audioldm-s-full, trained longer", _scaled(_V1, 0.9392935633659363), 185_036_552,
        "cvssp/audioldm-s-full-v2",
    ),
    _first("audioldm-m-full", "the same, medium", _scaled(_M, 0.9138255715370178), 415_954_568, "cvssp/audioldm-m-full"),
    _first("audioldm-l-full", "the same, large", _scaled(_L, 0.9654927849769592), 739_139_080, "cvssp/audioldm-l-full"),
    _first("audioldm-s-text-ft", "audioldm-s-full, finetuned on text", _V1, 185_036_552),
    _first("audioldm-m-text-ft", "audioldm-m-full, finetuned on text", _M, 415_954_568),
    _second("audioldm_16k_crossattn_t5", "sound effects; reads the prompt by FLAN-T5 alone", _T5, 265_531_016, longest=15.0),
    _second("audioldm_48k", "sound effects and music at 48 kHz", _48K, 262_699_152, longest=15.0),
    _second("audioldm2-full", "sound effects, music and speech-like sounds", _V2, 346_943_496, "cvssp/audioldm2"),
    _second("audioldm2-full-large-1150k", "as audioldm2-full, large", _LARGE, 718_012_296, "cvssp/audioldm2-large"),
    _second("audioldm2-music-665k", "music", _V2, 346_943_496, "cvssp/audioldm2-music"),
    _second(
        "audioldm2-speech-gigaspeech", "speech in many voices", _SPEECH, 261_926_536, "anhnct/audioldm2_gigaspeech",
        licence=_RAIL, original="haoheliu/audioldm2-speech/audioldm2-speech-gigaspeech.pth",
    ),
    _second(
        "audioldm2-speech-ljspeech", "speech in one voice", _SPEECH, 261_926_536, "anhnct/audioldm2_ljspeech",
        licence=_RAIL, original="haoheliu/audioldm2-speech/audioldm2-speech-ljspeech.pth",
    ),
)  # fmt: skip
_ROWS = (_MINI, replace(_MINI, name="mini-film", purpose=_MINI_FILM, config=MINI_FILM, embedded=False), *_PUBLISHED)

VARIANTS: dict[str, Variant] = {row.name: row for row in _ROWS}
SPEAKER = "audioldm2-speech-gigaspeech"
"""Who says a transcript where nobody asks for another (spec 12.2)."""


def variant(name: str) -> Variant:
    """The row of that name; raises `UsageError` listing what exists."""
    if name not in VARIANTS:
        raise UsageError(f"no model is called {name!r}; there are: {', '.join(VARIANTS)}")
    return VARIANTS[name]
