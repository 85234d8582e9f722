"""AudioMAE (spec 7, arXiv 2207.06405): a masked autoencoder over filterbanks whose features are the language of audio.

Knows the vision transformer, its masked pre-training and the pooling of spec 6.5. Refuses to know how a filterbank is made
and who speaks the language. Module names are the published checkpoint's, so its encoder loads by name; the published
decoder is of another kind (windowed attention) and matters to nobody once the encoder is trained.

B batch, T frames, F bins, P patch side, N = (T / P) (F / P) patches in time-major order, D width.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.architecture import AudioMAEConfig
from ..types import LanguageOfAudio

EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """A pre-norm transformer block with exact GELU."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        hidden = width * mlp_ratio
        self.norm1 = nn.LayerNorm(width, EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, EPS)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(width, hidden), act=nn.GELU(), fc2=nn.Linear(hidden, width))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Reconstruction(NamedTuple):
    """loss: a scalar; prediction [B, N, P P]: normalised patches; mask [B, N]: 1 where the encoder saw nothing."""

    loss: Tensor
    prediction: Tensor
    mask: Tensor


class AudioMAE(nn.Module):
    """The encoder, and with `decoder_depth` above 0 the decoder that pre-training needs."""

    pos_embed: Tensor
    decoder_pos_embed: Tensor

    def __init__(self, config: AudioMAEConfig) -> None:
        super().__init__()
        self.config = config
        width, patch = config.hidden_size, config.patch_size
        grid = (config.num_frames // patch, config.n_mels // patch)
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(1, width, patch, patch)))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("pos_embed", sin_cos_table(grid, width))
        self.blocks = nn.ModuleList(
            Block(width, config.num_heads, config.mlp_ratio) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width, EPS)
        if config.decoder_num_layers:
            narrow = config.decoder_hidden_size
            self.decoder_embed = nn.Linear(width, narrow)
            self.mask_token = nn.Parameter(torch.zeros(1, 1, narrow))
            self.register_buffer("decoder_pos_embed", sin_cos_table(grid, narrow))
            blocks = (
                Block(narrow, config.decoder_num_heads, config.mlp_ratio)
                for _ in range(config.decoder_num_layers)
            )
            self.decoder_blocks = nn.Sequential(*blocks)
            self.decoder_norm = nn.LayerNorm(narrow, EPS)
            self.decoder_pred = nn.Linear(narrow, patch * patch)
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("_token"):
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() > 1:
                nn.init.xavier_uniform_(
                    parameter.flatten(1)
                )  # a patch is a flat vector here, not an image

    def embed(self, fbank: Tensor) -> Tensor:
        """fbank [B, 1, T, F] -> patches with their positions [B, N, D], no CLS. T: a multiple of P, at most `config.frames`."""
        frames, bins = fbank.shape[2:]
        assert bins == self.config.n_mels and frames % self.config.patch_size == 0, (
            f"AudioMAE takes no fbank of {frames} x {bins}"
        )
        x = self.patch_embed(fbank).flatten(2).transpose(1, 2)
        assert x.shape[1] < self.pos_embed.shape[1], (
            f"{frames} frames are more than {self.config.num_frames}"
        )
        out: Tensor = (
            x + self.pos_embed[:, 1 : 1 + x.shape[1]]
        )  # time-major: a shorter clip uses the first rows
        return out

    def features(self, fbank: Tensor) -> Tensor:
        """fbank [B, 1, T, F] -> [B, 1 + N, D], CLS first: the mean of the last blocks' normalised outputs, nothing masked."""
        x = self._with_cls(self.embed(fbank))
        kept = []
        for block in self.blocks:
            x = block(x)
            kept.append(x)
        return torch.stack([self.norm(x) for x in kept[-self.config.num_averaged_layers :]]).mean(0)

    def pool(self, features: Tensor, frames: int, time_pool: int = 8, freq_pool: int = 8) -> Tensor:
        """features [B, 1 + N, D] of a clip of `frames` -> [B, n, D], time-major: (average + maximum) / 2 per cell (spec 6.5).

        A cell is time_pool x freq_pool patches; `frames` must fill whole cells.
        """
        rows, columns = frames // self.config.patch_size, self.config.n_mels // self.config.patch_size
        whole = frames % (self.config.patch_size * time_pool) == 0 and columns % freq_pool == 0
        assert whole, f"{frames} frames do not fill cells of {time_pool} x {freq_pool} patches"
        plane = features[:, 1:].transpose(1, 2).reshape(features.shape[0], -1, rows, columns)
        cell = (time_pool, freq_pool)
        return (
            ((F.avg_pool2d(plane, cell) + F.max_pool2d(plane, cell)) / 2).flatten(2).transpose(1, 2)
        )

    def language_of_audio(
        self, fbank: Tensor, time_pool: int = 8, freq_pool: int = 8
    ) -> LanguageOfAudio:
        """fbank [B, 1, T, F] -> the tokens [B, n, D] that a translator learns to write and the UNet to read."""
        tokens = self.pool(self.features(fbank), fbank.shape[2], time_pool, freq_pool)
        return LanguageOfAudio(tokens, tokens.new_ones(tokens.shape[:2]), origin="audio")

    def reconstruct(
        self, fbank: Tensor, mask_ratio: float = 0.8, generator: torch.Generator | None = None
    ) -> Reconstruction:
        """One masked pre-training pass over fbank [B, 1, T, F] (arXiv 2111.06377): hide patches, guess them, squared error.

        The target of each patch is normalised by its own mean and deviation; only hidden patches count. The choice of patches
        is drawn on the CPU, so that one seed hides the same ones on every device.
        """
        x = self.embed(fbank)
        batch, count, _ = x.shape
        order = torch.rand(batch, count, generator=generator).argsort(dim=1).to(x.device)
        visible = order[:, : int(count * (1 - mask_ratio))]
        mask = x.new_ones(batch, count).scatter(1, visible, 0.0)
        x = self._with_cls(_gather(x, visible))
        for block in self.blocks:
            x = block(x)
        prediction = self._decode(self.norm(x), order)
        patches = F.unfold(fbank, self.config.patch_size, stride=self.config.patch_size).transpose(1, 2)
        variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
        error = (prediction.float() - (patches - mean) / (variance + EPS).sqrt()).square().mean(2)
        return Reconstruction((error * mask).sum() / mask.sum(), prediction, mask)

    def _with_cls(self, x: Tensor) -> Tensor:
        cls = self.cls_token + self.pos_embed[:, :1]
        return torch.cat([cls.expand(x.shape[0], -1, -1), x], dim=1)

    def _decode(self, encoded: Tensor, order: Tensor) -> Tensor:
        """encoded [B, 1 + visible, D], the patches' order [B, N] (visible ones first) -> predicted patches [B, N, P P]."""
        x = self.decoder_embed(encoded)
        hidden = self.mask_token.expand(x.shape[0], order.shape[1] + 1 - x.shape[1], -1).to(x.dtype)
        patches = _gather(torch.cat([x[:, 1:], hidden], dim=1), order.argsort(dim=1))
        x = torch.cat([x[:, :1], patches], dim=1) + self.decoder_pos_embed[:, : 1 + order.shape[1]]
        out: Tensor = self.decoder_pred(self.decoder_norm(self.decoder_blocks(x)))[:, 1:]
        return out


def sin_cos_table(grid: tuple[int, int], width: int) -> Tensor:
    """Fixed sin-cos table [1, 1 + rows * columns, width], zeros first for CLS (arXiv 2111.06377).

    The first half of the width tells the column, the second the row, each as sines then cosines of falling frequency.
    """
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    rates = 1 / 10000 ** (torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = [axis.reshape(-1, 1) * rates for axis in (columns, rows)]
    table = torch.cat([half for a in angles for half in (a.sin(), a.cos())], dim=1).float()
    return F.pad(table, (0, 0, 1, 0)).unsqueeze(0)


def _gather(x: Tensor, indices: Tensor) -> Tensor:
    """Rows of x [B, N, D] at indices [B, M] -> [B, M, D]."""
    return x.gather(1, indices.unsqueeze(2).expand(-1, -1, x.shape[2]))
