"""T5 hidden states of prompts: the text context of AudioLDM 2. B texts, N tokens, D width."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.architecture import ModelConfig
from ..types import Context
from .base import ClipInput, EncoderInputs, Encoders, tokenize
from .encodings import Consumers, Encoding, Encodings


class T5Conditioner:
    """One context token per token of the prompt."""

    name = "t5"
    components = ("t5",)
    frozen_components = ("t5",)
    # behind the language of audio, and behind CLAP's vector
    consumers = Consumers(context_position=1, source_position=1, latent_prior=True)

    def is_used_by(self, config: ModelConfig) -> bool:
        """Return whether the UNet takes contexts and the model is not a speech model."""
        return bool(config.unet.cross_attention_dims) and config.phonemes is None

    def clip_inputs(self, config: ModelConfig) -> tuple[ClipInput, ...]:
        """Return the caption."""
        return ("text",)

    def encode(
        self,
        encoders: Encoders,
        inputs: Sequence[EncoderInputs],
        encodings: Sequence[Encodings],
    ) -> list[Encoding]:
        """Return T5's states of each batch."""
        results = []
        for batch in inputs:
            results.append(Encoding(context=t5_states(encoders, batch.texts, batch.t5_length)))
        return results


def t5_states(encoders: Encoders, texts: Sequence[str], length: int | None = None) -> Context:
    """Return T5's last hidden states of each text, with their mask (numerics: T5).

    Args:
        encoders: A model with T5.
        texts: B texts.
        length: Number of tokens to pad or cut to. None: the longest text.

    Returns:
        Tokens [B, N, D] float32, zero where masked, and the mask [B, N].
    """
    t5 = encoders.t5
    assert t5 is not None
    ids, mask = tokenize(t5, encoders.tokenizers["t5"], texts, length)
    states = t5(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    return Context(states * mask[..., None], mask.to(states.dtype))
