"""Shapes of every network, as frozen dataclasses that reject impossible numbers.

Torch-free, so that `--help`, the table of models and the docs cost no heavy import. Values of the
published models are in `config.registry`; their origin is described in
docs/development/numerics.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

from .encoders import (
    AudioMAEConfig,
    CLAPConfig,
    CLAPMelSpec,
    LatentPriorConfig,
    PhonemesConfig,
    T5Config,
    TranslatorConfig,
)
from .mel_spec import MelSpec, mel_edges
from .ranges import require_ranges
from .validation import require_config, require_multiple

__all__ = [
    "AudioMAEConfig",
    "CLAPConfig",
    "CLAPMelSpec",
    "DistilledUNetConfig",
    "LatentPriorConfig",
    "MelSpec",
    "ModelConfig",
    "PhonemesConfig",
    "Prediction",
    "ScheduleConfig",
    "T5Config",
    "TranslatorConfig",
    "UNetConfig",
    "VAEConfig",
    "VocoderConfig",
    "mel_edges",
]

Prediction: TypeAlias = Literal["epsilon", "v", "x0"]
"""Output of a denoiser: the noise, the velocity (arXiv 2202.00512) or the clean latent."""


@dataclass(frozen=True)
class VAEConfig:
    """Convolutional VAE over log-mels (numerics: VAE).

    Attributes:
        channels: Channels of the first level.
        channel_mult: Factor of `channels` at each level; every further level halves time and
            frequency.
        latent_channels: Channels C of the latent.
        num_res_blocks: Residual blocks per level.
        num_groups: Groups of GroupNorm; must divide the channels of every level.
        activation: Activation in the residual blocks: "silu", "gelu", "mish" or "relu".
    """

    channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 4)
    latent_channels: int = 8
    num_res_blocks: int = 2
    num_groups: int = 32
    activation: str = "silu"

    def __post_init__(self) -> None:
        require_ranges(self)
        for mult in (1, *self.channel_mult):
            require_multiple("VAE channels", self.channels * mult, "num_groups", self.num_groups)

    @property
    def downsampling(self) -> int:
        """Mel frames (or bins) per latent frame (or bin): 2 ** (levels - 1)."""
        return int(2 ** (len(self.channel_mult) - 1))


@dataclass(frozen=True)
class UNetConfig:
    """The denoiser of every model (numerics: UNet).

    Attributes:
        latent_channels: Channels C of the latent.
        channels: Channels of the first level.
        channel_mult: Factor of `channels` at each level.
        num_res_blocks: Residual blocks per level: one number, or one for each level.
        attention: For each level, whether its residual blocks are followed by transformers.
        contexts: The transformers behind one residual block, in order. None is self-attention. A
            number is the width D of the context that the transformer attends to.
        num_heads: Attention heads of each level.
        transformer_depth: Blocks in each transformer: one number, or one for each level.
        film_dim: Width of the vector that is concatenated to the time embedding, or None.
        num_groups: Groups of GroupNorm; must divide the channels of every level.
        merge_frequency_bins: Latent bins F' that are merged into the channels below the first
            level. Deeper levels are then 1-D over time. None keeps the published 2-D network.
        num_uniform_frequencies: Evenly spaced Fourier features of the position in time, beside the
            geometric ones (1-D only).
        num_position_frequencies: Geometric Fourier features of the position of context tokens; 0,
            as published, adds none.
        use_prior: Whether a coarse estimate of the clean latent (`LatentPriorConfig`) is a second
            input.
        activation: Activation between the layers: "silu", "gelu", "mish" or "relu".
        embedding_activation: Another activation of the embedding of timestep and film vector,
            before the one between the layers; None: no other one.
        norm_eps: Epsilon of the residual blocks' norms and of the last one.
        freq_shift: Shift of the frequencies of the timestep's embedding.
        cosine_first: Whether that embedding has its cosines before its sines.
    """

    latent_channels: int = 8
    channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 3, 5)
    num_res_blocks: int | tuple[int, ...] = 2
    attention: tuple[bool, ...] = (False, True, True, True)
    contexts: tuple[int | None, ...] = (None,)
    num_heads: tuple[int, ...] = (4, 8, 12, 20)
    transformer_depth: int | tuple[int, ...] = 1
    film_dim: int | None = None
    num_groups: int = 32
    merge_frequency_bins: int | None = None
    num_uniform_frequencies: int = 0
    num_position_frequencies: int = 0
    use_prior: bool = False
    activation: str = "silu"
    embedding_activation: str | None = None
    norm_eps: float = 1e-5
    freq_shift: float = 0.0
    cosine_first: bool = True

    def __post_init__(self) -> None:
        require_ranges(self)
        levels = len(self.channel_mult)
        require_config(
            len(self.num_heads) == levels,
            f"UNet num_heads has {len(self.num_heads)} values; give {levels}, one per level",
        )
        require_config(
            len(self.attention) == levels,
            f"UNet attention has {len(self.attention)} values; give {levels}, one per level",
        )
        for name, numbers in (
            ("num_res_blocks", self.res_blocks),
            ("transformer_depth", self.depths),
        ):
            require_config(
                len(numbers) == levels,
                f"UNet {name} has {len(numbers)} values; give one, or {levels}, one per level",
            )
        require_config(
            self.merge_frequency_bins is None or levels > 1,
            "UNet merge_frequency_bins needs two levels or more; the first one stays 2-D",
        )
        require_multiple("UNet channels", self.channels, "num_groups", self.num_groups)
        for width, heads in zip(self.widths, self.num_heads, strict=True):
            require_multiple("UNet channels", width, "num_heads", heads)
            require_multiple("UNet channels", width, "num_groups", self.num_groups)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.channels * mult for mult in self.channel_mult)

    @property
    def res_blocks(self) -> tuple[int, ...]:
        """Residual blocks of each level."""
        return self._per_level(self.num_res_blocks)

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks in each transformer of each level."""
        return self._per_level(self.transformer_depth)

    def _per_level(self, number: int | tuple[int, ...]) -> tuple[int, ...]:
        return (number,) * len(self.channel_mult) if isinstance(number, int) else number

    @property
    def cross_attention_dims(self) -> tuple[int, ...]:
        """Widths of the contexts that are attended to, in order."""
        return tuple(width for width in self.contexts if width is not None)

    @property
    def is_audioldm1(self) -> bool:
        """Whether this is AudioLDM 1's UNet (FiLM, self-attention), which has other key names."""
        return self.film_dim is not None and self.contexts == (None,)

    def is_1d(self, level: int) -> bool:
        """Return whether a level runs over time alone."""
        return self.merge_frequency_bins is not None and level > 0

    @property
    def downsampling(self) -> int:
        """The number that latent frames and bins must be a multiple of."""
        first_1d = 1 if self.merge_frequency_bins is None else 2
        return int(2 ** (len(self.channel_mult) - first_1d))


@dataclass(frozen=True)
class VocoderConfig:
    """HiFi-GAN generator, or an inverse-STFT head over ConvNeXt blocks (numerics: vocoder).

    The latter follows Vocos (arXiv 2306.00814).

    Attributes:
        kind: "hifigan" or "istft".
        n_mels: Mel bands F of the input.
        channels: Channels behind the first convolution.
        upsample_rates: HiFi-GAN: stride of each upsampling layer; their product is the hop length.
        upsample_kernel_sizes: HiFi-GAN: kernel of each upsampling layer.
        resblock_kernel_sizes: HiFi-GAN: kernels of the residual blocks that are averaged behind
            each layer.
        resblock_dilations: HiFi-GAN: dilations inside each residual block.
        num_layers: iSTFT: number of ConvNeXt blocks.
        ffn_dim: iSTFT: inner width of each block.
        n_fft: Samples of the mel's window.
        hop_length: Samples per mel frame.
        sample_rate: Samples per second of the output.
        fmin: Lowest edge of the mel in Hz.
        fmax: Highest edge of the mel in Hz.
        leaky_relu_slope: HiFi-GAN: slope of its activations below 0.
        has_mel_statistics: HiFi-GAN: whether mels are normalized by a mean and a deviation of each
            band, which the weights contain.
        pitch_smoothing_frames: iSTFT: frames on both sides over which a sinusoid's pitch is
            stabilized; 0: not at all.
        attack_n_fft: iSTFT: window in samples of additional short frames, which play attacks; 0:
            there are none.
        use_harmonics: iSTFT: whether the harmonics of one pitch are played too.
    """

    kind: Literal["hifigan", "istft"] = "hifigan"
    n_mels: int = 64
    channels: int = 1024
    upsample_rates: tuple[int, ...] = (5, 4, 2, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 8, 4, 4)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[int, ...] = (1, 3, 5)
    num_layers: int = 8
    ffn_dim: int = 1536
    n_fft: int = 1024
    hop_length: int = 160
    sample_rate: int = 16000
    fmin: float = 0.0
    fmax: float = 8000.0
    leaky_relu_slope: float = 0.1
    has_mel_statistics: bool = False
    pitch_smoothing_frames: int = 0
    attack_n_fft: int = 0
    use_harmonics: bool = False

    def __post_init__(self) -> None:
        require_ranges(self)
        require_config(
            len(self.upsample_rates) == len(self.upsample_kernel_sizes),
            f"vocoder upsample_kernel_sizes has {len(self.upsample_kernel_sizes)} values; "
            f"give {len(self.upsample_rates)}, as many as upsample_rates",
        )
        if self.attack_n_fft:
            is_divisor = self.n_fft % self.attack_n_fft == 0
            require_config(
                is_divisor and self.hop_length <= self.attack_n_fft < self.n_fft,
                f"vocoder attack_n_fft = {self.attack_n_fft} must divide n_fft = {self.n_fft} "
                f"and be at least hop_length = {self.hop_length}, or 0",
            )
            require_config(
                self.hop_length % 4 == 0,
                f"vocoder attack_n_fft needs hop_length to be a multiple of 4, not "
                f"{self.hop_length}; change it, or set attack_n_fft to 0",
            )


@dataclass(frozen=True)
class ScheduleConfig:
    """Forward diffusion (numerics: schedules and samplers).

    Attributes:
        num_train_timesteps: Steps from sound to noise.
        beta_start: Variance of the first step.
        beta_end: Variance of the last step.
        prediction: The quantity that the UNet predicts.
        beta_schedule: "scaled_linear": sqrt(beta) rises linearly; "linear": beta does.
        ddim_spacing: How DDIM's timesteps are spread, as in diffusers' `timestep_spacing`.
        ddim_offset: Number that is added to them with the spacing "leading".
        ddim_ends_clean: Whether DDIM's last step goes to clean data, and not to the first
            train-time step.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0015
    beta_end: float = 0.0195
    prediction: Prediction = "epsilon"
    beta_schedule: Literal["scaled_linear", "linear"] = "scaled_linear"
    ddim_spacing: Literal["leading", "trailing", "linspace"] = "leading"
    ddim_offset: int = 1
    ddim_ends_clean: bool = False

    def __post_init__(self) -> None:
        require_ranges(self)


@dataclass(frozen=True)
class DistilledUNetConfig:
    """A UNet distilled to few steps, guidance included (latent consistency, arXiv 2310.04378).

    Attributes:
        timesteps: The only training timesteps it can be evaluated at, noisiest first.
    """

    timesteps: tuple[int, ...] = (999, 749, 499, 249)

    def __post_init__(self) -> None:
        require_ranges(self)
        is_falling = all(first > second for first, second in pairwise(self.timesteps))
        require_config(
            bool(self.timesteps) and is_falling and self.timesteps[-1] >= 0,
            f"distilled_unet timesteps = {self.timesteps} must fall and be 0 or more",
        )


@dataclass(frozen=True)
class ModelConfig:
    """Shapes of one whole system; a component that a model lacks is None.

    Attributes:
        mel: Log-mel front end.
        vae: Mel VAE.
        unet: Denoiser.
        vocoder: Mel to waveform.
        schedule: Forward diffusion.
        clap: Joint embedding of text and sound.
        t5: Text encoder.
        phonemes: Encoder of transcripts.
        latent_prior: Estimate of the clean latent from text.
        translator: Prompt to language of audio.
        audiomae: Sound to language of audio.
        distilled_unet: Few-step version of the UNet.
        latent_mean: Mean of the VAE's latents, [C] or one number for all channels.
        latent_std: Their standard deviation, [C] or one number. The unit-scaled latent is (z -
            mean) / std; published models have mean 0 and std 1 / scale_factor (numerics: VAE).
    """

    mel: MelSpec = field(default_factory=MelSpec)
    vae: VAEConfig = field(default_factory=VAEConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    clap: CLAPConfig | None = None
    t5: T5Config | None = None
    phonemes: PhonemesConfig | None = None
    latent_prior: LatentPriorConfig | None = None
    translator: TranslatorConfig | None = None
    audiomae: AudioMAEConfig | None = None
    distilled_unet: DistilledUNetConfig | None = None
    latent_mean: tuple[float, ...] = (0.0,)
    latent_std: tuple[float, ...] = (1.0,)

    @property
    def can_rank(self) -> bool:
        """Whether CLAP has an audio encoder, by which candidates are ranked."""
        return self.clap is not None and bool(self.clap.audio_depths)

    @property
    def has_loa_encoder(self) -> bool:
        """Whether the language of audio can be computed from sound, by an AudioMAE."""
        return self.audiomae is not None and self.translator is not None

    def __post_init__(self) -> None:
        require_ranges(self)
        require_config(
            self.unet.latent_channels == self.vae.latent_channels,
            f"UNet latent_channels = {self.unet.latent_channels} differs from the VAE's; "
            f"set {self.vae.latent_channels}",
        )
        require_config(
            self.vocoder.n_mels == self.mel.n_mels,
            f"vocoder n_mels = {self.vocoder.n_mels} differs from the mel front end's; "
            f"set {self.mel.n_mels}",
        )
        require_config(
            self.unet.use_prior == (self.latent_prior is not None),
            "UNet use_prior and latent_prior go together; set both or neither",
        )
        require_config(
            self.latent_prior is None or self.t5 is not None,
            "latent_prior reads T5's states and t5 is None; add t5 or remove latent_prior",
        )
        for name, values in (("latent_mean", self.latent_mean), ("latent_std", self.latent_std)):
            require_config(
                len(values) in (1, self.vae.latent_channels),
                f"{name} has {len(values)} values; "
                f"give one, or {self.vae.latent_channels} for as many latent channels",
            )
