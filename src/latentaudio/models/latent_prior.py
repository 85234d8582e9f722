"""The latent prior: the mean latent of a text, predicted once before sampling.

At pure noise a denoiser has to predict the mean of all latents that fit the text. Few of its
training examples are that noisy. This network learns that one prediction alone, at a hundredth of a
denoiser's cost. The encoder of Grad-TTS predicts the mean for its decoder in the same way (arXiv
2105.06337).

B batch, C latent channels, T' F' latent grid, N text tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config.architecture import LatentPriorConfig
from ..types import Context
from .attention import TransformerBlock
from .blocks import (
    PositionalEmbedding,
    TypedModuleList,
    sinusoidal_embedding,
    uniform_fourier_features,
    zero_module,
)


class LatentPrior(nn.Module):
    """Position embeddings of T' frames that cross-attend to a text, projected to a latent.

    Its last layer starts at zero. `dropout` is 0 but in training, where the stage sets it.
    """

    def __init__(
        self, config: LatentPriorConfig, text_dim: int, latent_channels: int, num_bins: int
    ) -> None:
        super().__init__()
        width = config.hidden_size
        self.latent_channels = latent_channels
        self.uniform_proj = nn.Linear(2 * config.num_uniform_frequencies, width, bias=False)
        self.blocks = TypedModuleList[TransformerBlock](
            TransformerBlock(width, config.num_heads, text_dim) for _ in range(config.num_layers)
        )
        self.text_positions = None
        if config.num_position_frequencies:
            self.text_positions = PositionalEmbedding(text_dim, config.num_position_frequencies)
        self.dropout = nn.Dropout(0.0)
        self.norm = nn.LayerNorm(width)
        self.out = zero_module(nn.Linear(width, latent_channels * num_bins))

    def forward(self, text: Context, num_latent_frames: int) -> Tensor:
        """Predict the mean latent.

        Args:
            text: Tokens [B, N, D], at least one of them unmasked in every row.
            num_latent_frames: T'.

        Returns:
            Unit-scaled latent [B, C, T', F'].
        """
        positions = torch.arange(num_latent_frames, device=text.tokens.device)
        num_frequencies = self.uniform_proj.in_features // 2
        # before a frame attends to the text, its position is its only feature
        features = uniform_fourier_features(positions, num_frequencies).to(text.tokens)
        frames = self.uniform_proj(features)
        frames = frames + sinusoidal_embedding(positions, frames.shape[1]).to(frames)
        x = frames.expand(len(text.tokens), -1, -1)
        tokens = text.tokens if self.text_positions is None else self.text_positions(text.tokens)
        mask = text.mask[:, None, None].bool()
        for block in self.blocks:
            # dropout on the residual branch of the whole block
            x = x + self.dropout(block(x, block.attn2.project_kv(tokens, mask)) - x)
        # [B, T', C F'] -> [B, C, T', F']
        out: Tensor = self.out(self.norm(x)).unflatten(2, (self.latent_channels, -1))
        return out.transpose(1, 2)
