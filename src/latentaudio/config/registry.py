"""The table of models: a checkpoint is a row of data, built from a few shared configurations.

Torch-free. Weights are found and read by `loaders`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import UsageError
from .architecture import ModelConfig
from .model_shapes import (
    AUDIOLDM2,
    AUDIOLDM2_LARGE,
    AUDIOLDM2_SPEECH,
    AUDIOLDM_48K,
    AUDIOLDM_L,
    AUDIOLDM_M,
    AUDIOLDM_S,
    CROSS_ATTENTION_T5,
    MINI,
    MINI_FILM,
    MINI_SPEECH,
)
from .presets import PresetName


@dataclass(frozen=True)
class ModelSpec:
    """One row of the table: a model's name, its shapes and the defaults it was made for.

    A field that `GenerationOptions` has too (`duration`, `guidance_scale`, ...) is the model's
    default for that option.

    Attributes:
        name: The name that users type.
        description: The kind of sound it generates.
        license: License of its weights.
        config: Shapes of its networks.
        duration: Default length of a clip in seconds.
        min_duration: Shortest clip it was trained on, in seconds; a shorter clip is cut out of one
            of this length.
        max_duration: Longest clip it was trained on, in seconds; a longer one is generated in
            overlapping windows.
        preset: Default preset; its settings are applied over the values of this row.
        guidance_scale: Default scale of classifier-free guidance.
        apg_eta: Default weight of the guidance component parallel to the prediction.
        guidance_start: Default progress, 0 to 1, at which guidance begins.
        guidance_stop: Default progress, 0 to 1, at which guidance ends.
        candidates: Default number of candidates per clip.
        strength_shift: Shift k of an edit's strength s, which begins at noise level k s / (1 + (k -
            1) s) (arXiv 2403.03206, eq. 23); 1, as published, does not shift.
        source_rms: RMS that sources of edits and audio prompts are brought to, if their peak then
            stays below 0.5; None brings every peak to 0.5, as published.
        bundled: Whether its weights ship with this package.
        hub_id: Hugging Face repository in diffusers' layout, or "".
        original_checkpoint: The authors' file: "owner/repository/file" on the hub, or a file name.
        unet_parameters: Parameters of its UNet.
        num_parameters: Parameters of all its networks, without a distilled UNet.
        use_ema: Whether the authors sampled with averaged weights.
    """

    name: str
    description: str
    license: str
    config: ModelConfig
    duration: float = 10.0
    min_duration: float = 2.56
    max_duration: float = 10.24
    preset: PresetName = "quality"
    guidance_scale: float = 3.5
    apg_eta: float = 1.0
    guidance_start: float = 0.0
    guidance_stop: float = 1.0
    candidates: int = 3
    strength_shift: float = 1.0
    source_rms: float | None = None
    bundled: bool = False
    hub_id: str = ""
    original_checkpoint: str = ""
    unet_parameters: int = 0
    num_parameters: int = 0
    use_ema: bool = False

    @property
    def is_published(self) -> bool:
        """Whether its weights were published by the authors."""
        return bool(self.original_checkpoint)

    @property
    def weights_bytes(self) -> int:
        """Size of its published weights, which are float32."""
        return _BYTES_PER_PARAMETER * self.num_parameters


_BYTES_PER_PARAMETER = 4
_NC = "CC BY-NC-SA 4.0 (weights)"
_RAIL = "CreativeML OpenRAIL-M (weights)"

_MINI = ModelSpec(
    name="mini",
    description="sound effects, music and speech-like sounds; ships with the package",
    license="Apache-2.0",
    config=MINI,
    duration=5.12,
    min_duration=1.28,
    guidance_scale=3.0,
    apg_eta=0.0,
    guidance_start=0.3,
    guidance_stop=0.76,
    candidates=1,
    strength_shift=3.0,
    source_rms=0.045,
    bundled=True,
    unet_parameters=12_137_896,
    num_parameters=31_846_393,
)
_MINI_FILM = replace(
    _MINI,
    name="mini-film",
    description="AudioLDM 1 in small; train it with the recipe film.yaml",
    config=MINI_FILM,
    guidance_start=0.0,
    bundled=False,
    unet_parameters=8_187_624,
    num_parameters=17_915_321,
)
_MINI_SPEECH = replace(
    _MINI,
    name="mini-speech",
    description="speaks sentences of 200 words; ships with the package",
    config=MINI_SPEECH,
    source_rms=None,
    guidance_scale=8.0,
    guidance_start=0.0,
    bundled=True,
    unet_parameters=7_569_480,
    num_parameters=22_083_545,
)


def _scaled(config: ModelConfig, scale: float) -> ModelConfig:
    """The same shapes with latents of standard deviation 1 / scale."""
    return replace(config, latent_std=(1 / scale,))


def _audioldm1(
    name: str,
    description: str,
    config: ModelConfig,
    unet_parameters: int,
    num_parameters: int,
    hub_id: str = "",
) -> ModelSpec:
    """A row of the first generation; its authors' files are on Zenodo."""
    return ModelSpec(
        name,
        description,
        _NC,
        config,
        guidance_scale=2.5,
        hub_id=hub_id,
        original_checkpoint=f"{name}.ckpt",
        unet_parameters=unet_parameters,
        num_parameters=num_parameters,
        use_ema=True,
    )


def _audioldm2(
    name: str,
    description: str,
    config: ModelConfig,
    unet_parameters: int,
    num_parameters: int,
    hub_id: str = "",
    **changes: Any,
) -> ModelSpec:
    """A row of the second generation; its authors' files are on the hub."""
    spec = ModelSpec(
        name,
        description,
        _NC,
        config,
        hub_id=hub_id,
        original_checkpoint=f"haoheliu/{name}/{name}.pth",
        unet_parameters=unet_parameters,
        num_parameters=num_parameters,
    )
    return replace(spec, **changes)


_SPECS = (
    _MINI,
    _MINI_FILM,
    _MINI_SPEECH,
    _audioldm1(
        "audioldm-s-full",
        "sound effects and music, small",
        _scaled(AUDIOLDM_S, 0.9227914214134216),
        185_036_552,
        449_171_212,
        "cvssp/audioldm",
    ),
    _audioldm1(
        "audioldm-s-full-v2",
        "as audioldm-s-full, trained longer",
        _scaled(AUDIOLDM_S, 0.9392935633659363),
        185_036_552,
        449_171_212,
        "cvssp/audioldm-s-full-v2",
    ),
    _audioldm1(
        "audioldm-m-full",
        "sound effects and music, medium",
        _scaled(AUDIOLDM_M, 0.9138255715370178),
        415_954_568,
        720_510_220,
        "cvssp/audioldm-m-full",
    ),
    _audioldm1(
        "audioldm-l-full",
        "sound effects and music, large",
        _scaled(AUDIOLDM_L, 0.9654927849769592),
        739_139_080,
        1_003_273_740,
        "cvssp/audioldm-l-full",
    ),
    _audioldm1(
        "audioldm-s-text-ft",
        "audioldm-s-full, fine-tuned on text",
        AUDIOLDM_S,
        185_036_552,
        449_171_212,
    ),
    _audioldm1(
        "audioldm-m-text-ft",
        "audioldm-m-full, fine-tuned on text",
        AUDIOLDM_M,
        415_954_568,
        720_510_220,
    ),
    _audioldm2(
        "audioldm_16k_crossattn_t5",
        "sound effects; the only text encoder is FLAN-T5",
        CROSS_ATTENTION_T5,
        265_531_016,
        911_317_772,
        max_duration=15.0,
    ),
    _audioldm2(
        "audioldm_48k",
        "sound effects and music at 48 kHz",
        AUDIOLDM_48K,
        262_699_152,
        870_430_492,
        max_duration=15.0,
    ),
    _audioldm2(
        "audioldm2-full",
        "sound effects, music and speech-like sounds",
        AUDIOLDM2,
        346_943_496,
        1_118_354_316,
        "cvssp/audioldm2",
    ),
    _audioldm2(
        "audioldm2-full-large-1150k",
        "as audioldm2-full, large",
        AUDIOLDM2_LARGE,
        718_012_296,
        1_489_423_116,
        "cvssp/audioldm2-large",
    ),
    _audioldm2(
        "audioldm2-music-665k",
        "music",
        AUDIOLDM2,
        346_943_496,
        1_118_354_316,
        "cvssp/audioldm2-music",
    ),
    _audioldm2(
        "audioldm2-speech-gigaspeech",
        "speech in many voices",
        AUDIOLDM2_SPEECH,
        261_926_536,
        697_854_540,
        "anhnct/audioldm2_gigaspeech",
        license=_RAIL,
        original_checkpoint="haoheliu/audioldm2-speech/audioldm2-speech-gigaspeech.pth",
    ),
    _audioldm2(
        "audioldm2-speech-ljspeech",
        "speech in one voice",
        AUDIOLDM2_SPEECH,
        261_926_536,
        697_854_540,
        "anhnct/audioldm2_ljspeech",
        license=_RAIL,
        original_checkpoint="haoheliu/audioldm2-speech/audioldm2-speech-ljspeech.pth",
    ),
)

MODELS: dict[str, ModelSpec] = {spec.name: spec for spec in _SPECS}
"""Every known model by its name."""

DEFAULT_SPEECH_MODEL = "audioldm2-speech-gigaspeech"
"""The model of a transcript when no model is named, as in the authors' command."""
DEFAULT_VOICE_PROMPT = "A female reporter is speaking full of emotion"
"""Prompt of a transcript without one, as in the authors' command (numerics: phonemes)."""


def list_models() -> list[str]:
    """Return the names that `latentaudio.load` accepts, the bundled model first."""
    return list(MODELS)


def get_model_spec(name: str) -> ModelSpec:
    """Return one row of the table.

    Args:
        name: A model's name, for example "audioldm2-full".

    Raises:
        UsageError: If no model has that name; the message lists the names that exist.
    """
    if name not in MODELS:
        raise UsageError(f"no model is called {name!r}; models are: {', '.join(MODELS)}")
    return MODELS[name]
