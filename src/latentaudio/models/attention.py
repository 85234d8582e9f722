"""Attention and transformer blocks of the VAE, the UNet and the latent prior.

B batch, C channels, T' F' latent grid, N tokens, D width, H heads.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..types import Context
from .blocks import TypedModuleList, zero_module
from .cpu_packing import fused_add, geglu

MAX_EXPLICIT_SCORES = 256 * 256
"""Score matrices up to this size are computed explicitly on a CPU in training: faster there than
the fused kernel."""


class KeyValue(NamedTuple):
    """Keys and values of the tokens that are attended to.

    Attributes:
        keys: [B, H, N, D/H].
        values: [B, H, N, D/H].
        mask: Boolean [B, 1, 1, N], True = use; or None.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor | None = None


def attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(q k' / sqrt(width)) v per head.

    Args:
        q: Queries [B, H, N, D/H].
        keys: [B, H, M, D/H].
        values: [B, H, M, D/H].
        mask: Boolean, broadcast to [B, H, N, M], with at least one True for every query; or None.

    Returns:
        [B, H, N, D/H].
    """
    if (
        q.device.type not in ("cpu", "meta")
        or not torch.is_grad_enabled()
        or q.shape[2] * keys.shape[2] > MAX_EXPLICIT_SCORES
    ):
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
    # the backward pass of the fused CPU kernel takes five to ten times as long
    scores = (q * q.shape[3] ** -0.5) @ keys.transpose(2, 3)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    out: Tensor = scores.softmax(dim=3) @ values
    return out


class Attention(nn.Module):
    """Multi-head attention over its own tokens, or over a context of width `context_dim`.

    `bias` is for q, k and v.
    """

    def __init__(
        self, width: int, num_heads: int, context_dim: int | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(width, width, bias)
        self.to_k = nn.Linear(context_dim or width, width, bias)
        self.to_v = nn.Linear(context_dim or width, width, bias)
        self.to_out = nn.Linear(width, width)
        # keys and values of a context are computed once per clip: packing would gain nothing
        packed = ("to_q", "to_out") if context_dim else ("to_q", "to_k", "to_v", "to_out")
        self.packable_layers = dict.fromkeys(packed, "linear")

    def split_heads(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, H, N, D/H], a view."""
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)

    def project_kv(self, tokens: Tensor, mask: Tensor | None = None) -> KeyValue:
        """Tokens [B, N, D] and mask [B, 1, 1, N] -> keys and values, the same for every step."""
        keys = self.split_heads(self.to_k(tokens))
        return KeyValue(keys, self.split_heads(self.to_v(tokens)), mask)

    def attend_to(self, x: Tensor, kv: KeyValue | None = None) -> Tensor:
        """x [B, N, D] attends to `kv`, or to itself -> [B, N, D], before `to_out`."""
        # no kv: self-attention, whose keys change at every call
        keys, values, mask = kv or self.project_kv(x)
        out = attend(self.split_heads(self.to_q(x)), keys, values, mask)
        return out.transpose(1, 2).flatten(2)

    def forward(self, x: Tensor, kv: KeyValue | None = None) -> Tensor:
        """x [B, N, D] attends to `kv`, or to itself -> [B, N, D]."""
        out: Tensor = self.to_out(self.attend_to(x, kv))
        return out


class TransformerBlock(nn.Module):
    """Self-attention, attention to a context (or again to itself), GEGLU feed-forward.

    Each is a residual (numerics: UNet).
    """

    packable_layers: ClassVar = {"ff_in": "geglu", "ff_out": "linear"}

    def __init__(self, width: int, num_heads: int, context_dim: int | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, num_heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, num_heads, context_dim)
        self.norm3 = nn.LayerNorm(width)
        self.ff_in = nn.Linear(width, 8 * width)  # value and gate, 4 width each
        self.ff_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, kv: KeyValue | None) -> Tensor:
        """x [B, N, D] -> same.

        kv: the context's keys and values, None where this block has no context.
        """
        x = fused_add(self.attn1.to_out, self.attn1.attend_to(self.norm1(x)), x)
        x = fused_add(self.attn2.to_out, self.attn2.attend_to(self.norm2(x), kv), x)
        return fused_add(self.ff_out, geglu(self.ff_in, self.norm3(x)), x)


class Transformer(nn.Module):
    """A residual over the grid's cells as time-major tokens, with one context or none.

    Cell (t, f) is token t * F' + f.

    Its last projection starts at zero, so that a new transformer is the identity (numerics: UNet).
    """

    def __init__(
        self, width: int, num_heads: int, context_dim: int | None, depth: int, num_groups: int
    ) -> None:
        super().__init__()
        self.context_dim = context_dim
        self.norm = nn.GroupNorm(num_groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.blocks = TypedModuleList[TransformerBlock](
            TransformerBlock(width, num_heads, context_dim) for _ in range(depth)
        )
        self.proj_out = zero_module(nn.Conv2d(width, width, 1))

    def project_kv(self, context: Context | None) -> list[KeyValue | None]:
        """Keys and values of one context for every block in order.

        None stands for self-attention.
        """
        if context is None:
            return [None] * len(self.blocks)
        # the same mask for all heads and queries
        mask = context.mask[:, None, None].bool()
        return [block.attn2.project_kv(context.tokens, mask) for block in self.blocks]

    def forward(self, x: Tensor, kv: list[KeyValue | None]) -> Tensor:
        """x [B, C, T', F'] -> same."""
        # [B, C, T', F'] -> [B, T' F', C]
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block, block_kv in zip(self.blocks, kv, strict=True):
            tokens = block(tokens, block_kv)
        return fused_add(self.proj_out, tokens.transpose(1, 2).unflatten(2, x.shape[2:]), x)
