"""Every dimension of every part, as frozen dataclasses that refuse impossible numbers. Torch-free.

Knows numbers and how they must agree. Refuses to know layers, files or the names of published models (see `variants`).
Numbers of the published models: spec sections 1-7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

from .errors import ConfigError

Prediction: TypeAlias = Literal["epsilon", "v", "x0"]


def require(condition: bool, message: str) -> None:
    """Raise `ConfigError(message)` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def mel_edges(bins: int, fmin: float, fmax: float) -> tuple[float, ...]:
    """Corners in Hz of `bins` Slaney mel bands, bins + 2: band b rises from corner b to its centre b + 1 and falls to b + 2.

    Slaney's scale is linear below 1 kHz and logarithmic above (Auditory Toolbox, 1998).
    """
    octave = math.log(6.4) / 27

    def mel(hertz: float) -> float:
        return hertz * 3 / 200 if hertz < 1000 else 15 + math.log(hertz / 1000) / octave

    low, high = mel(fmin), mel(fmax)
    places = (low + (high - low) * i / (bins + 1) for i in range(bins + 2))
    return tuple(place * 200 / 3 if place < 15 else 1000 * math.exp((place - 15) * octave) for place in places)


@dataclass(frozen=True)
class MelSpec:
    """Log-mel front end of VAE and vocoder (spec 1.1): Slaney filterbank, magnitude, ln(max(x, floor))."""

    rate: int = 16000
    n_fft: int = 1024
    hop: int = 160
    bins: int = 64
    fmin: float = 0.0
    fmax: float = 8000.0
    floor: float = 1e-5

    def __post_init__(self) -> None:
        require(self.fmax <= self.rate / 2, f"mel fmax {self.fmax} Hz is above the Nyquist frequency of {self.rate} Hz")
        require(self.hop <= self.n_fft, f"mel hop {self.hop} is longer than its window {self.n_fft}")


@dataclass(frozen=True)
class VAEConfig:
    """Mel VAE (spec 2). The spatial factor in time and frequency is 2 ** (levels - 1)."""

    channels: int = 128
    mult: tuple[int, ...] = (1, 2, 4)
    latent: int = 8
    res_blocks: int = 2
    groups: int = 32

    def __post_init__(self) -> None:
        for m in (1, *self.mult):
            require(
                self.channels * m % self.groups == 0, f"VAE width {self.channels * m} is not a multiple of {self.groups} groups"
            )

    @property
    def factor(self) -> int:
        """Mel cells per latent cell along each axis."""
        return int(2 ** (len(self.mult) - 1))


@dataclass(frozen=True)
class UNetConfig:
    """The one UNet (spec 4).

    contexts: transformers of an attention site in order; None is self-attention (no context), a number is the width of the
    context that transformer cross-attends to. heads: per level. attention: per level, whether its sites have transformers.
    film: width of the vector concatenated to the time embedding, or None.
    line: the latent's frequency cells F'. Below the first level they are folded into one, so that deeper levels are a line of
    moments, each with its whole spectrum, that know where in the clip they are. None is the published networks' plane.
    beats: evenly spread frequencies by which moments on the line know their places, besides the usual falling ones.
    order: falling frequencies by which the tokens of contexts know their places; 0, as published: they do not.
    draft: whether a draft of the clean latent (see `DraftConfig`) comes in beside the noisy one.
    """

    latent: int = 8
    channels: int = 128
    mult: tuple[int, ...] = (1, 2, 3, 5)
    res_blocks: int = 2
    attention: tuple[bool, ...] = (False, True, True, True)
    contexts: tuple[int | None, ...] = (None,)
    heads: tuple[int, ...] = (4, 8, 12, 20)
    depth: int = 1
    film: int | None = None
    groups: int = 32
    line: int | None = None
    beats: int = 0
    order: int = 0
    draft: bool = False

    def __post_init__(self) -> None:
        levels = len(self.mult)
        require(len(self.heads) == levels, f"UNet has {levels} levels but {len(self.heads)} head counts")
        require(len(self.attention) == levels, f"UNet has {levels} levels but {len(self.attention)} attention switches")
        require(self.line is None or levels > 1, "a UNet with a line needs a level for the plane and one for the line")
        require(self.channels % self.groups == 0, f"UNet width {self.channels} is not a multiple of {self.groups} groups")
        for width, h in zip(self.widths, self.heads, strict=True):
            require(width % h == 0, f"UNet width {width} does not divide into {h} heads")
            require(width % self.groups == 0, f"UNet width {width} is not a multiple of {self.groups} groups")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.channels * m for m in self.mult)

    @property
    def heard(self) -> tuple[int, ...]:
        """Widths of the contexts that are cross-attended to, in order."""
        return tuple(width for width in self.contexts if width is not None)

    @property
    def first_kind(self) -> bool:
        """Whether this is AudioLDM 1's: FiLM and one self-attention a site, which everybody files in another way."""
        return self.film is not None and self.contexts == (None,)

    def is_line(self, level: int) -> bool:
        """Whether a level runs over time alone."""
        return self.line is not None and level > 0

    @property
    def factor(self) -> int:
        """Latent rows and columns must be multiples of this."""
        return int(2 ** (len(self.mult) - (1 if self.line is None else 2)))


@dataclass(frozen=True)
class VocoderConfig:
    """HiFi-GAN generator (spec 3), or with `istft` an inverse-STFT head over ConvNeXt blocks (Vocos, arXiv 2306.00814).

    For `kind="istft"`: channels is the width, `layers` the number of blocks, `hidden` the inner width; rate, n_fft, hop, fmin
    and fmax are the mel's; a sine can hold its pitch over `reach` frames to both sides, 0: none can; `short` is the window in
    samples of a second inverse STFT with half the hop, for attacks and short noise, 0: there is none; with `harmonics` the
    harmonics of one pitch are played too.
    """

    kind: Literal["hifigan", "istft"] = "hifigan"
    bins: int = 64
    channels: int = 1024
    rates: tuple[int, ...] = (5, 4, 2, 2, 2)
    kernels: tuple[int, ...] = (16, 16, 8, 4, 4)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)
    layers: int = 8
    hidden: int = 1536
    n_fft: int = 1024
    hop: int = 160
    rate: int = 16000
    fmin: float = 0.0
    fmax: float = 8000.0
    reach: int = 0
    short: int = 0
    harmonics: bool = False

    def __post_init__(self) -> None:
        require(len(self.rates) == len(self.kernels), f"vocoder has {len(self.rates)} rates but {len(self.kernels)} kernels")


@dataclass(frozen=True)
class AudioMAEConfig:
    """Masked autoencoder over Kaldi fbanks (spec 7): frames x bins image, square patches, time-major tokens."""

    frames: int = 1024
    bins: int = 128
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: int = 4
    average_last: int = 3
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16

    def __post_init__(self) -> None:
        require(self.frames % self.patch == 0, f"AudioMAE frames {self.frames} do not divide into patches of {self.patch}")
        require(self.bins % self.patch == 0, f"AudioMAE bins {self.bins} do not divide into patches of {self.patch}")
        require(self.width % self.heads == 0, f"AudioMAE width {self.width} does not divide into {self.heads} heads")


@dataclass(frozen=True)
class CLAPConfig:
    """CLAP (spec 1.4, 6.1), the numbers handed to transformers' ClapModel.

    audio_depths empty: a text tower alone, as AudioLDM 1's converted folders have; it cannot rank candidates.
    """

    projection: int = 512
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    text_hidden: int = 3072
    text_positions: int = 514
    vocabulary: int = 50265
    text_length: int = 512
    text_eps: float = 1e-12
    audio_patch: int = 4
    audio_width: int = 128
    audio_depths: tuple[int, ...] = (2, 2, 12, 2)
    audio_heads: tuple[int, ...] = (4, 8, 16, 32)


@dataclass(frozen=True)
class T5Config:
    """FLAN-T5 encoder (spec 6.2), the numbers handed to transformers' T5EncoderModel."""

    width: int = 1024
    head_width: int = 64
    heads: int = 16
    layers: int = 24
    hidden: int = 2816
    vocabulary: int = 32128
    length: int = 128


@dataclass(frozen=True)
class PhonemesConfig:
    """VITS text encoder over phonemes (spec 6.7). length: tokens N of every transcript, padded or cut to it."""

    vocabulary: int = 183
    width: int = 192
    layers: int = 6
    heads: int = 2
    hidden: int = 768
    kernel: int = 3
    window: int = 4
    length: int = 310

    def __post_init__(self) -> None:
        require(self.width % self.heads == 0, f"phoneme width {self.width} does not divide into {self.heads} heads")


@dataclass(frozen=True)
class TranslatorConfig:
    """Prompt to language of audio (spec 6.3, 6.4): GPT-2 over projected sources. `sources` are their widths in order.

    vocabulary: rows of GPT-2's word table, which nobody reads; published files hold one.
    """

    width: int = 768
    layers: int = 12
    heads: int = 12
    positions: int = 1024
    sources: tuple[int, ...] = (512, 1024)
    tokens: int = 8
    time_pool: int = 8
    freq_pool: int = 8
    vocabulary: int = 1


@dataclass(frozen=True)
class ScheduleConfig:
    """Forward process (spec 5.1): betas are squares of a straight line between square roots."""

    steps: int = 1000
    beta_start: float = 0.0015
    beta_end: float = 0.0195
    prediction: Prediction = "epsilon"


@dataclass(frozen=True)
class DraftConfig:
    """What a text says of every moment of a latent, before any noise: attention blocks over moments that look at T5's states.

    beats: evenly spread frequencies by which moments know their places, besides the usual falling ones.
    order: falling frequencies by which words know theirs; 0: they do not, beyond what T5 says of it.
    """

    width: int = 128
    layers: int = 3
    heads: int = 4
    beats: int = 64
    order: int = 0

    def __post_init__(self) -> None:
        require(self.width % self.heads == 0, f"draft width {self.width} does not divide into {self.heads} heads")


@dataclass(frozen=True)
class StudentConfig:
    """A UNet taught to go in few leaps, guidance included: the only steps t it may be asked at, noisiest first."""

    stops: tuple[int, ...] = (999, 749, 499, 249)

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in pairwise(self.stops))
        require(bool(self.stops) and falling and self.stops[-1] >= 0, f"a student's stops fall towards 0; {self.stops} do not")


@dataclass(frozen=True)
class ModelConfig:
    """One whole system. `clap`, `t5`, `phonemes`, `draft`, `translator`, `student` are None where a variant has no such part.

    latent_mean / latent_std: per-channel statistics of the VAE's latents ([C] each, or one number for all): the unit-scaled
    latent is (z - mean) / std. Published models: mean 0, std 1 / scale_factor (spec 2).
    """

    mel: MelSpec = field(default_factory=MelSpec)
    vae: VAEConfig = field(default_factory=VAEConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    clap: CLAPConfig | None = None
    t5: T5Config | None = None
    phonemes: PhonemesConfig | None = None
    draft: DraftConfig | None = None
    translator: TranslatorConfig | None = None
    audiomae: AudioMAEConfig | None = None
    student: StudentConfig | None = None
    latent_mean: tuple[float, ...] = (0.0,)
    latent_std: tuple[float, ...] = (1.0,)

    @property
    def ranks(self) -> bool:
        """Whether there is a CLAP that hears, to choose among candidates."""
        return self.clap is not None and bool(self.clap.audio_depths)

    def __post_init__(self) -> None:
        require(
            self.unet.latent == self.vae.latent, f"UNet takes {self.unet.latent} latent channels, VAE makes {self.vae.latent}"
        )
        require(
            self.vocoder.bins == self.mel.bins, f"vocoder takes {self.vocoder.bins} mel bins, front end makes {self.mel.bins}"
        )
        require(self.unet.draft == (self.draft is not None), "the UNet takes a draft if and only if the system makes one")
        require(self.draft is None or self.t5 is not None, "a draft is made of T5's states, and there is no T5")
        for stat in (self.latent_mean, self.latent_std):
            require(
                len(stat) in (1, self.vae.latent), f"latent statistics have {len(stat)} values for {self.vae.latent} channels"
            )
