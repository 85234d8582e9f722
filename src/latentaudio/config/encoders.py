"""Shapes of the networks that encode prompts, transcripts and sounds.

Part of `config.architecture`, which exports these names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .ranges import require_ranges
from .validation import require_config, require_multiple


@dataclass(frozen=True)
class AudioMAEConfig:
    """Masked autoencoder over Kaldi filterbanks (numerics: AudioMAE; arXiv 2207.06405).

    Attributes:
        num_frames: Frames L of the input image.
        n_mels: Mel bands F of the input image.
        patch_size: Side of a square patch; tokens run through time first.
        hidden_size: Width D of the encoder.
        num_layers: Blocks of the encoder.
        num_heads: Attention heads of the encoder.
        mlp_ratio: Inner width of a block over `hidden_size`.
        num_averaged_layers: Last layers whose outputs are averaged into the language of audio.
        decoder_hidden_size: Width of the decoder, which is used in training only.
        decoder_num_layers: Blocks of the decoder; 0: the weights have none.
        decoder_num_heads: Attention heads of the decoder.
    """

    num_frames: int = 1024
    n_mels: int = 128
    patch_size: int = 16
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    mlp_ratio: int = 4
    num_averaged_layers: int = 3
    decoder_hidden_size: int = 512
    decoder_num_layers: int = 8
    decoder_num_heads: int = 16

    def __post_init__(self) -> None:
        require_ranges(self)
        for name, size in (("num_frames", self.num_frames), ("n_mels", self.n_mels)):
            require_multiple(f"AudioMAE {name}", size, "patch_size", self.patch_size)
        require_multiple("AudioMAE hidden_size", self.hidden_size, "num_heads", self.num_heads)
        if self.decoder_num_layers:
            num_heads = self.decoder_num_heads
            width = self.decoder_hidden_size
            require_multiple("AudioMAE decoder_hidden_size", width, "decoder_num_heads", num_heads)


@dataclass(frozen=True)
class CLAPMelSpec:
    """CLAP's mel front end (numerics: CLAP), as transformers' `ClapFeatureExtractor` takes it.

    Attributes:
        n_mels: Mel bands F.
        n_fft: Samples of the Hann window and of the FFT, at 48 kHz.
        hop_length: Samples between two frames.
        fmin: Lowest edge of the filterbank in Hz.
        fmax: Highest edge in Hz.
        duration_s: Seconds that every sound is padded or cut to.
        padding: How a shorter sound is padded. "": as the reference implementation does it.
        is_fusion: Whether the filterbank is that of CLAPs with four input channels, on the HTK
            scale and without area normalization.
    """

    n_mels: int = 64
    n_fft: int = 1024
    hop_length: int = 480
    fmin: float = 50.0
    fmax: float = 14000.0
    duration_s: float = 10.0
    padding: Literal["", "repeatpad", "repeat", "pad"] = ""
    is_fusion: bool = False

    def __post_init__(self) -> None:
        require_ranges(self)


@dataclass(frozen=True)
class CLAPConfig:
    """CLAP, as transformers' `ClapModel` takes it (numerics: CLAP; arXiv 2211.06687).

    Attributes:
        projection_dim: Width of the joint embedding.
        text_hidden_size: Width of the text encoder (RoBERTa).
        text_num_layers: Layers of the text encoder.
        text_num_heads: Attention heads of the text encoder.
        text_ffn_dim: Inner width of a text layer.
        text_max_positions: Rows of the position table.
        vocab_size: Tokens of the vocabulary.
        text_max_length: Tokens that a prompt is truncated to.
        text_layer_norm_eps: Epsilon of LayerNorm in the text encoder.
        audio_patch_size: Side and stride of the patches of the audio encoder (HTSAT).
        audio_hidden_size: Width of the first stage of the audio encoder.
        audio_depths: Blocks of each stage. Empty: no audio encoder, as in AudioLDM 1's converted
            folders; such a model cannot rank candidates.
        audio_num_heads: Attention heads of each stage.
        text_activation: Activation in the text encoder.
        text_pad_id: Token that fills shorter texts; positions are counted from it.
        projection_activation: Activation in both projections.
        audio_activation: Activation in the audio encoder.
        audio_layer_norm_eps: Epsilon of LayerNorm in the audio encoder.
        audio_window_size: Side of a window of attention, in patches.
        audio_image_size: Side of the square that the mel is folded to.
        audio_channels: Copies of the mel that the audio encoder reads, 1 or 4.
        audio_mlp_ratio: Inner width of a block of the audio encoder over its width.
        audio_has_qkv_bias: Whether queries, keys and values of the audio encoder have biases.
        mel: Front end of the audio encoder.
    """

    projection_dim: int = 512
    text_hidden_size: int = 768
    text_num_layers: int = 12
    text_num_heads: int = 12
    text_ffn_dim: int = 3072
    text_max_positions: int = 514
    vocab_size: int = 50265
    text_max_length: int = 512
    text_layer_norm_eps: float = 1e-12
    audio_patch_size: int = 4
    audio_hidden_size: int = 128
    audio_depths: tuple[int, ...] = (2, 2, 12, 2)
    audio_num_heads: tuple[int, ...] = (4, 8, 16, 32)
    text_activation: str = "gelu"
    text_pad_id: int = 1
    projection_activation: str = "relu"
    audio_activation: str = "gelu"
    audio_layer_norm_eps: float = 1e-5
    audio_window_size: int = 8
    audio_image_size: int = 256
    audio_channels: int = 1
    audio_mlp_ratio: float = 4.0
    audio_has_qkv_bias: bool = True
    mel: CLAPMelSpec = field(default_factory=CLAPMelSpec)

    def __post_init__(self) -> None:
        require_ranges(self)
        num_heads = self.text_num_heads
        width = self.text_hidden_size
        require_multiple("CLAP text_hidden_size", width, "text_num_heads", num_heads)
        require_config(
            len(self.audio_depths) == len(self.audio_num_heads) or not self.audio_depths,
            f"CLAP audio_num_heads = {self.audio_num_heads} must have one number for each of "
            f"audio_depths = {self.audio_depths}",
        )
        for stage, num_heads in enumerate(self.audio_num_heads[: len(self.audio_depths)]):
            width = self.audio_hidden_size * 2**stage
            require_multiple("CLAP audio stage width", width, "audio_num_heads", num_heads)


@dataclass(frozen=True)
class T5Config:
    """FLAN-T5 encoder, as transformers' `T5EncoderModel` takes it (numerics: T5).

    Attributes:
        hidden_size: Width D of its states.
        head_dim: Width of an attention head.
        num_heads: Attention heads.
        num_layers: Layers.
        ffn_dim: Inner width of a layer.
        vocab_size: Tokens of the vocabulary.
        max_length: Tokens that a prompt is truncated to.
        feed_forward: Activation of the feed-forward layers; "gated-" before it adds a gate.
        num_buckets: Rows of the table of relative positions.
        max_distance: Distance from which on all positions share a row.
        layer_norm_eps: Epsilon of the norms.
    """

    hidden_size: int = 1024
    head_dim: int = 64
    num_heads: int = 16
    num_layers: int = 24
    ffn_dim: int = 2816
    vocab_size: int = 32128
    max_length: int = 128
    feed_forward: str = "gated-gelu"
    num_buckets: int = 32
    max_distance: int = 128
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        require_ranges(self)


@dataclass(frozen=True)
class PhonemesConfig:
    """VITS text encoder over phonemes (numerics: phonemes; arXiv 2106.06103).

    Attributes:
        vocab_size: Phonemes and punctuation marks.
        hidden_size: Width D of its states.
        num_layers: Layers.
        num_heads: Attention heads.
        ffn_dim: Inner width of a layer.
        kernel_size: Kernel of the convolutions inside a layer.
        window_size: Distance up to which relative positions are told apart.
        max_length: Tokens N of every transcript, padded or truncated to it.
        activation: Activation between the two convolutions of a layer.
        layer_norm_eps: Epsilon of the norms.
    """

    vocab_size: int = 183
    hidden_size: int = 192
    num_layers: int = 6
    num_heads: int = 2
    ffn_dim: int = 768
    kernel_size: int = 3
    window_size: int = 4
    max_length: int = 310
    activation: str = "relu"
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        require_ranges(self)
        require_multiple("phonemes hidden_size", self.hidden_size, "num_heads", self.num_heads)


@dataclass(frozen=True)
class TranslatorConfig:
    """GPT-2 that translates a prompt into the language of audio (numerics: translator).

    See AudioLDM 2 (arXiv 2308.05734), section 3.3.

    Attributes:
        hidden_size: Width D of the language of audio.
        num_layers: Layers.
        num_heads: Attention heads.
        max_positions: Rows of the position table.
        source_dims: Widths of the embeddings it reads, in order.
        num_tokens: Tokens that it generates.
        time_pool: AudioMAE patches averaged into one token along time.
        freq_pool: The same along frequency.
        vocab_size: Rows of GPT-2's word table. It is never read, but published files hold one.
        ffn_dim: Inner width of a layer; None: four times `hidden_size`.
        activation: Activation of the feed-forward layers.
        layer_norm_eps: Epsilon of the norms.
        scale_attention: Whether scores are divided by the square root of a head's width.
        scale_attention_by_layer: Whether they are divided by the layer's number, too.
    """

    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    max_positions: int = 1024
    source_dims: tuple[int, ...] = (512, 1024)
    num_tokens: int = 8
    time_pool: int = 8
    freq_pool: int = 8
    vocab_size: int = 1
    ffn_dim: int | None = None
    activation: str = "gelu_new"
    layer_norm_eps: float = 1e-5
    scale_attention: bool = True
    scale_attention_by_layer: bool = False

    def __post_init__(self) -> None:
        require_ranges(self)
        require_multiple("translator hidden_size", self.hidden_size, "num_heads", self.num_heads)


@dataclass(frozen=True)
class LatentPriorConfig:
    """Transformer that estimates the clean latent from T5's states, before any noise.

    It corresponds to the encoder of Grad-TTS (arXiv 2105.06337), whose output is a prior mean.

    Attributes:
        hidden_size: Width of its attention blocks, one token per latent frame.
        num_layers: Attention blocks.
        num_heads: Attention heads.
        num_uniform_frequencies: Evenly spaced Fourier features of a frame's position, beside the
            geometric ones.
        num_position_frequencies: Geometric Fourier features of a text token's position; 0 adds
            none.
    """

    hidden_size: int = 128
    num_layers: int = 3
    num_heads: int = 4
    num_uniform_frequencies: int = 64
    num_position_frequencies: int = 0

    def __post_init__(self) -> None:
        require_ranges(self)
        require_multiple("latent_prior hidden_size", self.hidden_size, "num_heads", self.num_heads)
