"""The draft: the mean latent of a text, drawn once before any noise. Knows moments and words; refuses to know noise and steps.

A denoiser at pure noise must guess the mean of all sounds that a text can mean (x0 at the last t), but sees few such examples:
most of its training is spent where the noisy latent already shows when things happen. This network learns that guess alone, at
a hundredth of a denoiser's cost, and hands it on, as Grad-TTS's encoder hands its mean to the decoder (arXiv 2105.06337).

Letters: B batch, C latent channels, T' F' latent grid, N text tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config.architecture import LatentPriorConfig
from ..types import Context
from .blocks import PositionalEmbedding, TypedModuleList, TransformerBlock, uniform_fourier_features, sinusoidal_embedding, zero_module


class LatentPrior(nn.Module):
    """Moments that know their places and look at a text of width `text` become a latent of `latent` channels by `bins`."""

    def __init__(self, config: LatentPriorConfig, text: int, latent: int, bins: int) -> None:
        super().__init__()
        self.latent = latent
        self.beats = nn.Linear(2 * config.num_uniform_frequencies, config.hidden_size, bias=False)
        self.blocks = TypedModuleList[TransformerBlock](
            TransformerBlock(config.hidden_size, config.num_heads, text) for _ in range(config.num_layers)
        )
        self.order = PositionalEmbedding(text, config.num_position_frequencies) if config.num_position_frequencies else None
        self.dropout = nn.Dropout(0.0)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.out = zero_module(nn.Linear(config.hidden_size, latent * bins))

    def forward(self, text: Context, moments: int) -> Tensor:
        """tokens [B, N, D] with at least one to look at in every row; moments T' -> [B, C, T', F'], unit-scaled."""
        places = torch.arange(moments, device=text.tokens.device)
        waves = self.beats(uniform_fourier_features(places, self.beats.in_features // 2).to(text.tokens))
        x = (waves + sinusoidal_embedding(places, waves.shape[1]).to(waves)).expand(len(text.tokens), -1, -1)
        words, mask = (
            text.tokens if self.order is None else self.order(text.tokens),
            text.mask[:, None, None].bool(),
        )
        for block in self.blocks:
            x = x + self.dropout(block(x, block.attn2.project_kv(words, mask)) - x)
        out: Tensor = self.out(self.norm(x)).unflatten(2, (self.latent, -1)).transpose(1, 2)
        return out
