"""The phoneme encoder (spec 6.7): the text encoder of VITS (arXiv 2106.06103) with a learnt place for every token.

Knows ids. Refuses to know symbols, espeak and text. Parameters are named as in transformers' VitsTextEncoder, but for
`positional`. Letters: B batch, N tokens, D width, H heads, E width of a head, W positions that a window of w reaches, 2w + 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.architecture import PhonemesConfig
from ..types import Context
from .blocks import TypedModuleList

EPS = 1e-5
_IGNORED = -1e4  # score of a masked token; finite, so that an item without any token stays finite


class RelativeAttention(nn.Module):
    """Self-attention in which near tokens also differ by their distance (arXiv 1803.02155), one table for all heads."""

    def __init__(self, config: PhonemesConfig) -> None:
        super().__init__()
        self.heads, self.window = config.num_heads, config.window_size
        width, head = config.hidden_size, config.hidden_size // config.num_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.emb_rel_k = nn.Parameter(torch.randn(1, 2 * config.window_size + 1, head) * head**-0.5)
        self.emb_rel_v = nn.Parameter(torch.randn(1, 2 * config.window_size + 1, head) * head**-0.5)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, N, D], mask [B, N] -> [B, N, D]."""
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        q = q * q.shape[-1] ** -0.5
        places = torch.arange(x.shape[1], device=x.device)
        scores = q @ k.transpose(-1, -2) + self._near_scores(q @ self.emb_rel_k[0].T, places)
        weights = scores.masked_fill(mask[:, None, None] == 0, _IGNORED).softmax(dim=-1)
        made = weights @ v + self._near_weights(weights, places) @ self.emb_rel_v[0]
        out: Tensor = self.out_proj(made.transpose(1, 2).flatten(2))
        return out

    def _near_scores(self, by_distance: Tensor, places: Tensor) -> Tensor:
        """Scores by distance [B, H, N, W] -> by token [B, H, N, N], zero beyond the window."""
        distance = places[None, :] - places[:, None] + self.window
        index = distance.clamp(0, 2 * self.window).expand(*by_distance.shape[:2], -1, -1)
        return by_distance.gather(-1, index) * (distance == distance.clamp(0, 2 * self.window))

    def _near_weights(self, weights: Tensor, places: Tensor) -> Tensor:
        """Weights by token [B, H, N, N] -> by distance [B, H, N, W], zero where there is no token."""
        token = places[:, None] + torch.arange(-self.window, self.window + 1, device=places.device)
        index = token.clamp(0, len(places) - 1).expand(*weights.shape[:2], -1, -1)
        return weights.gather(-1, index) * (token == token.clamp(0, len(places) - 1))


class FeedForward(nn.Module):
    """Two convolutions over tokens with a ReLU between; both see zeros in place of pads."""

    def __init__(self, config: PhonemesConfig) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(config.hidden_size, config.ffn_dim, config.kernel_size, padding="same")
        self.conv_2 = nn.Conv1d(config.ffn_dim, config.hidden_size, config.kernel_size, padding="same")

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, N, D], mask [B, N] -> [B, N, D]."""
        seen = mask[:, None]
        h = F.relu(self.conv_1(x.transpose(1, 2) * seen))
        out: Tensor = self.conv_2(h * seen) * seen
        return out.transpose(1, 2)


class Layer(nn.Module):
    """Attention, then feed-forward; each is added and the sum normalised."""

    def __init__(self, config: PhonemesConfig) -> None:
        super().__init__()
        self.attention = RelativeAttention(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, EPS)
        self.feed_forward = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, EPS)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, N, D], mask [B, N] -> [B, N, D]."""
        x = self.layer_norm(x + self.attention(x, mask))
        out: Tensor = self.final_layer_norm(x + self.feed_forward(x, mask))
        return out


class Stack(nn.Module):
    """The layers, one after the other, pads zeroed before and after."""

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
    """Ids of phonemes, 0 for pads -> one token each. `positional` is added on pads too."""

    def __init__(self, config: PhonemesConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        nn.init.normal_(self.embed_tokens.weight, 0.0, config.hidden_size**-0.5)
        self.encoder = Stack(config)
        # VITS' prior over its own latent. Nobody calls it; published files hold it, and what is loaded must be savable again.
        self.project = nn.Conv1d(config.hidden_size, 2 * config.hidden_size, 1)
        self.positional = nn.Parameter(torch.zeros(1, config.hidden_size, config.max_length))

    def forward(self, ids: Tensor) -> Context:
        """ids [B, N] int64, N at most `config.length` -> tokens [B, N, D], mask [B, N] float.

        As in the original, the mask covers as many tokens as there are ids other than 0, counted from the start: an unknown
        symbol, which is 0 too, hides the last token (spec 6.7).
        """
        count = ids.shape[1]
        assert count <= self.config.max_length, (
            f"{count} phonemes are more than the {self.config.max_length} that have a place"
        )
        embedded = self.embed_tokens(ids) * math.sqrt(self.config.hidden_size)
        mask = (torch.arange(count, device=ids.device) < (ids != 0).sum(dim=1, keepdim=True)).to(
            embedded.dtype
        )
        return Context(
            self.encoder(embedded, mask) + self.positional[..., :count].transpose(1, 2), mask
        )
