"""The mean latent that a prompt predicts before sampling, as an extra input of the UNet.

B prompts, C T' F' latent.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..config.architecture import ModelConfig
from ..types import Context
from .base import ClipInput, EncoderInputs, Encoders, has_text_mask
from .encodings import Consumers, Encoding, Encodings


class LatentPriorConditioner:
    """The latent prior's prediction from the text states, or an audio prompt's own latent."""

    name = "latent_prior"
    components = ("latent_prior",)
    frozen_components = ()
    consumers = Consumers()

    def is_used_by(self, config: ModelConfig) -> bool:
        """Return whether the model has a latent prior."""
        return bool(config.unet.cross_attention_dims) and config.latent_prior is not None

    def clip_inputs(self, config: ModelConfig) -> tuple[ClipInput, ...]:
        """Return nothing: it reads text states, and its result is too large to store."""
        return ()

    def encode(
        self,
        encoders: Encoders,
        inputs: Sequence[EncoderInputs],
        encodings: Sequence[Encodings],
    ) -> list[Encoding]:
        """Return a latent [B, C, T', F'] for each batch."""
        results = []
        for batch, previous in zip(inputs, encodings, strict=True):
            results.append(Encoding(latent=_predict(encoders, batch, previous.text_states())))
        return results


def _predict(encoders: Encoders, inputs: EncoderInputs, states: Context) -> Tensor:
    """The predicted latent, without the empty texts of guidance, mixed with an audio prompt's."""
    network = encoders.latent_prior
    assert network is not None
    predicted: Tensor = network(states, inputs.num_latent_frames).float()
    prompt = inputs.audio_prompt
    # the usual case; a multiplication by ones would still cost a pass over the latent
    if not inputs.is_unconditional and prompt is None:
        return predicted
    has_text = has_text_mask(inputs, predicted)
    # zeros stand for no prediction, as in training
    predicted = predicted * has_text
    if prompt is None or prompt.prior_fn is None:
        return predicted
    # without text, the audio prompt alone
    weight = torch.where(has_text > 0, prompt.weight, 1.0)
    return predicted + weight * (prompt.prior_fn().to(predicted) - predicted)
