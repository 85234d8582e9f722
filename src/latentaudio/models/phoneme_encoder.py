"""The phoneme encoder: VITS' text encoder (arXiv 2106.06103) with learned positions.

Parameters have the names of transformers' VitsTextEncoder, except `positional` (numerics:
phonemes).

B batch, N tokens, D width, H heads, E width of a head, W = 2w + 1 distances within a window of w.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..config.architecture import PhonemesConfig
from ..types import Context
from .activations import ACTIVATIONS
from .blocks import TypedModuleList

MASKED_SCORE = -1e4
"""Score of a masked token; finite, so that the softmax of an item without any token stays
finite."""


class RelativeAttention(nn.Module):
    """Self-attention with learned embeddings of distances within a window (arXiv 1803.02155)."""

    def __init__(self, config: PhonemesConfig) -> None:
        super().__init__()
        width = config.hidden_size
        head_dim = config.hidden_size // config.num_heads
        num_distances = 2 * config.window_size + 1
        self.num_heads = config.num_heads
        self.window_size = config.window_size
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        std = head_dim**-0.5
        self.emb_rel_k = nn.Parameter(torch.randn(1, num_distances, head_dim) * std)
        self.emb_rel_v = nn.Parameter(torch.randn(1, num_distances, head_dim) * std)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, N, D], mask [B, N] -> [B, N, D]."""
        q, k, v = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        # before both products, so that distances are scaled too
        q = q * q.shape[-1] ** -0.5
        positions = torch.arange(x.shape[1], device=x.device)
        by_distance = q @ self.emb_rel_k[0].T
        scores = q @ k.transpose(-1, -2) + self._distance_scores(by_distance, positions)
        weights = scores.masked_fill(mask[:, None, None] == 0, MASKED_SCORE).softmax(dim=-1)
        # values have distance embeddings of their own
        out = weights @ v + self._distance_weights(weights, positions) @ self.emb_rel_v[0]
        result: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return result

    def _distance_scores(self, by_distance: Tensor, positions: Tensor) -> Tensor:
        """Scores by distance [B, H, N, W] -> by token [B, H, N, N], zero beyond the window."""
        # 0 to 2w inside the window; other distances have score 0
        distance = positions[None, :] - positions[:, None] + self.window_size
        clamped = distance.clamp(0, 2 * self.window_size)
        index = clamped.expand(*by_distance.shape[:2], -1, -1)
        return by_distance.gather(-1, index) * (distance == clamped)

    def _distance_weights(self, weights: Tensor, positions: Tensor) -> Tensor:
        """Weights by token [B, H, N, N] -> by distance [B, H, N, W], zero beyond both ends."""
        window = torch.arange(-self.window_size, self.window_size + 1, device=positions.device)
        token = positions[:, None] + window
        clamped = token.clamp(0, len(positions) - 1)
        index = clamped.expand(*weights.shape[:2], -1, -1)
        return weights.gather(-1, index) * (token == clamped)


class FeedForward(nn.Module):
    """Two convolutions over tokens, an activation between; padding tokens are zeros for both."""

    def __init__(self, config: PhonemesConfig) -> None:
        super().__init__()
        size = config.kernel_size
        self.activate = ACTIVATIONS[config.activation]
        self.conv_1 = nn.Conv1d(config.hidden_size, config.ffn_dim, size, padding="same")
        self.conv_2 = nn.Conv1d(config.ffn_dim, config.hidden_size, size, padding="same")

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, N, D], mask [B, N] -> [B, N, D]."""
        mask = mask[:, None]
        h = self.activate(self.conv_1(x.transpose(1, 2) * mask))
        out: Tensor = self.conv_2(h * mask) * mask
        return out.transpose(1, 2)


class Layer(nn.Module):
    """Attention, then feed-forward; each is added and the sum normalized."""

    def __init__(self, config: PhonemesConfig) -> None:
        super().__init__()
        self.attention = RelativeAttention(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, N, D], mask [B, N] -> [B, N, D]."""
        x = self.layer_norm(x + self.attention(x, mask))
        out: Tensor = self.final_layer_norm(x + self.feed_forward(x, mask))
        return out


class Stack(nn.Module):
    """All layers in order; padding tokens are zeros before and after."""

    def __init__(self, config: PhonemesConfig) -> None:
        super().__init__()
        self.layers = TypedModuleList[Layer](Layer(config) for _ in range(config.num_layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, N, D], mask [B, N] -> [B, N, D]."""
        x = x * mask[..., None]
        for layer in self.layers:
            x = layer(x, mask)
        return x * mask[..., None]


class PhonemeEncoder(nn.Module):
    """Phoneme ids, 0 for padding -> one state per id.

    `positional` is added to padding too, as published.
    """

    def __init__(self, config: PhonemesConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.embed_tokens = nn.Embedding(config.vocab_size, width)
        nn.init.normal_(self.embed_tokens.weight, 0.0, width**-0.5)
        self.encoder = Stack(config)
        # VITS' prior over its own latent: unused, but published files have it, and saving must
        # write it back
        self.project = nn.Conv1d(width, 2 * width, 1)
        self.positional = nn.Parameter(torch.zeros(1, width, config.max_length))

    def forward(self, ids: Tensor) -> Context:
        """Encode phonemes.

        As in the original, the mask covers as many tokens as there are ids other than 0, counted
        from the start. An unknown symbol, which also has id 0, therefore masks the last token.

        Args:
            ids: [B, N] int64, N at most `config.max_length`.

        Returns:
            Tokens [B, N, D] and mask [B, N], both floating point.
        """
        count = ids.shape[1]
        assert count <= self.config.max_length, (
            f"{count} phonemes exceed the model's {self.config.max_length} positions"
        )
        # VITS scales embeddings by the square root of the width
        embedded = self.embed_tokens(ids) * math.sqrt(self.config.hidden_size)
        num_real = (ids != 0).sum(dim=1, keepdim=True)
        mask = (torch.arange(count, device=ids.device) < num_real).to(embedded.dtype)
        states = self.encoder(embedded, mask)
        return Context(states + self.positional[..., :count].transpose(1, 2), mask)
