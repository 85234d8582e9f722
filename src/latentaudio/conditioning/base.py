"""The types that every conditioner shares.

Inputs, results, the protocol, and access to a model's components.

A conditioner turns some of the inputs of a clip (text, transcript, audio prompt) into a part of the
UNet's conditioning. Each is one file of this package and one row of `conditioning.CONDITIONERS`.

B prompts, N tokens, n tokens of the language of audio, D width, C T' F' latent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

import torch
from torch import Tensor, nn

from ..audio.ops import Samples
from ..config.architecture import ModelConfig
from ..config.reference import REFERENCES, ReferenceBehavior
from .encodings import Consumers, Encoding, Encodings
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import ClapModel, T5EncoderModel

    from ..models.audiomae import AudioMAE
    from ..models.latent_prior import LatentPrior
    from ..models.phoneme_encoder import PhonemeEncoder
    from ..models.translator import Translator


class ComponentProvider(Protocol):
    """A source of networks by name.

    A dict of them, or a store that loads a component at its first use.
    """

    def get(self, name: str, /) -> Any:
        """Return the component of that name, or None."""


@dataclass(frozen=True)
class Encoders:
    """The networks of one model that condition the UNet, their tokenizers, and whom to imitate.

    A component is fetched from `components` at every use and never stored here, so that a store can
    unload it in between.

    Attributes:
        config: The model's architecture.
        components: Where the networks come from. A network that the model lacks is None.
        tokenizers: Tokenizer of each component that reads text.
        reference: Which reference implementation the results match.
    """

    config: ModelConfig
    components: ComponentProvider = field(default_factory=lambda: cast(ComponentProvider, {}))
    tokenizers: Mapping[str, Tokenizer] = field(default_factory=dict)
    reference: ReferenceBehavior = REFERENCES["clean"]

    @property
    def clap(self) -> ClapModel | None:
        """CLAP: one vector for a text or for audio."""
        return cast("ClapModel | None", self.components.get("clap"))

    @property
    def t5(self) -> T5EncoderModel | None:
        """T5's encoder: one hidden state per token of a text."""
        return cast("T5EncoderModel | None", self.components.get("t5"))

    @property
    def phonemes(self) -> PhonemeEncoder | None:
        """The phoneme encoder of speech models."""
        return cast("PhonemeEncoder | None", self.components.get("phonemes"))

    @property
    def translator(self) -> Translator | None:
        """The GPT-2 that generates the language of audio."""
        return cast("Translator | None", self.components.get("translator"))

    @property
    def audiomae(self) -> AudioMAE | None:
        """AudioMAE, which computes the language of audio of a clip."""
        return cast("AudioMAE | None", self.components.get("audiomae"))

    @property
    def latent_prior(self) -> LatentPrior | None:
        """The network that predicts the mean latent of a text."""
        return cast("LatentPrior | None", self.components.get("latent_prior"))

    def fits(self, text: str) -> bool:
        """Return whether every tokenizer reads the text to its end; longer texts are truncated."""
        return all(tokenizer.fits(text) for tokenizer in self.tokenizers.values())


@dataclass(frozen=True)
class AudioPrompt:
    """A clip that conditions the result beside the texts.

    Attributes:
        name: Identifies the audio: equal names mean equal samples. Part of the cache key.
        mode: "clap": the clip's CLAP vector moves the text's. "loa": its language of audio takes
            the translator's place.
        samples: Mono samples [N], beginning where the generated clip begins.
        sample_rate: Of `samples`, in Hz.
        weight: 0 (text only) to 1 (audio only). An empty text always counts as 0.
        mask: For in-context continuation: True where the translator generates the token; the clip
            supplies the others. In an edit's plan it is counted in latent frames, in
            `EncoderInputs` in tokens. None: the clip supplies all.
        prior_fn: Computes a latent [1, C, T', F'] of the clip that takes the place of the latent
            prior, or None.
    """

    name: str
    mode: Literal["clap", "loa"]
    # `name` stands for the audio in comparisons and hashes
    samples: Samples = field(compare=False)
    sample_rate: int = 16000
    weight: float = 1.0
    mask: tuple[bool, ...] | None = None
    prior_fn: Callable[[], Tensor] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class EncoderInputs:
    """Inputs of the encoders for one batch of B clips. Hashable, so that results can be cached.

    Attributes:
        texts: One prompt per clip. Empty in training, which has all texts encoded.
        num_loa_tokens: Length n of the language of audio (8 for 10.24 s; 512 for speech).
        num_latent_frames: T', the latent frames that the latent prior predicts; 0 without a
            prior.
        transcripts: The spoken words of each clip. None, for a clip or for all: no speech, which is
            masked zeros.
        t5_length: Number of tokens to pad T5's states to. None: the longest text.
        clap_dropout: For each text, whether CLAP reads the empty text instead. None: never.
        is_unconditional: Whether this is the unconditional side of guidance (empty or negative
            prompts).
        audio_prompt: Audio that conditions the clips beside the texts, or None.
    """

    texts: tuple[str, ...]
    num_loa_tokens: int
    num_latent_frames: int = 0
    transcripts: tuple[str | None, ...] | None = None
    t5_length: int | None = None
    clap_dropout: tuple[bool, ...] | None = None
    is_unconditional: bool = False
    audio_prompt: AudioPrompt | None = None


@dataclass(frozen=True)
class ClipAudio:
    """The sound of B clips of one length, from which training takes its targets and conditions.

    Attributes:
        samples: Mono samples [B, T].
        sample_rate: Of `samples`, in Hz.
        num_frames: Length of each clip in mel frames of the model.
    """

    samples: Samples
    sample_rate: int
    num_frames: int


ClipInput: TypeAlias = Literal["text", "transcript", "audio"]
"""A part of a training clip: its caption, its spoken words, or its sound."""


class Conditioner(Protocol):
    """One source of conditioning, such as a text encoder or an image encoder.

    Pre-encoding, training and generation all go through these members. A new conditioner needs no
    line elsewhere.

    Attributes:
        name: Its key in the table, in the mapping of encodings that later conditioners read, and in
            files of pre-encoded clips.
        components: Names of the networks that it fetches.
        frozen_components: Those of `components` that encode a clip before a training.
        consumers: The networks that read its encodings.
    """

    @property
    def name(self) -> str:
        """Key in the table."""

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the networks that it fetches."""

    @property
    def frozen_components(self) -> tuple[str, ...]:
        """Those of `components` that encode a clip before a training."""

    @property
    def consumers(self) -> Consumers:
        """The networks that read its encodings."""

    def is_used_by(self, config: ModelConfig) -> bool:
        """Return whether a model of this architecture needs this conditioner."""

    def clip_inputs(self, config: ModelConfig) -> tuple[ClipInput, ...]:
        """Return which parts of a training clip are encoded before a training, and stored.

        Texts and transcripts go through `encode`. Audio goes through `encode_audio` of an
        `AudioConditioner`; training prefers it to the text. An empty tuple: it encodes during the
        training, from the results of other conditioners.
        """

    def encode(
        self,
        encoders: Encoders,
        inputs: Sequence[EncoderInputs],
        encodings: Sequence[Encodings],
    ) -> list[Encoding]:
        """Encode all batches; then the next conditioner runs, with one network in memory at a time.

        Args:
            encoders: The model's networks and tokenizers.
            inputs: One entry per batch.
            encodings: For each batch, the results of the conditioners before this one.

        Returns:
            One encoding per batch.
        """


class AudioConditioner(Conditioner, Protocol):
    """A conditioner that training computes from the sound of a clip."""

    def encode_audio(self, encoders: Encoders, audio: ClipAudio) -> Encoding:
        """Return the encoding of a batch of clips. All tokens of a context are real.

        Args:
            encoders: The model's networks and tokenizers.
            audio: The clips.
        """


def has_text_mask(inputs: EncoderInputs, like: Tensor) -> Tensor:
    """Return 1 for each text that is not empty, else 0, in a shape that multiplies `like`."""
    # white space is no text
    has_text = torch.tensor([bool(text.strip()) for text in inputs.texts], device=like.device)
    return has_text.view(-1, *(1,) * (like.ndim - 1))


def tokenize(
    module: nn.Module, tokenizer: Tokenizer, texts: Sequence[str], length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return ids and mask [B, N] of the texts, on the device of `module`."""
    # a component may be on another device than the UNet
    device = next(module.parameters()).device
    ids, mask = tokenizer(texts, length)
    return ids.to(device), mask.to(device)
