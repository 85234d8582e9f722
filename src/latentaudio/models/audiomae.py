"""AudioMAE: a masked autoencoder over filterbanks, whose features are the language of audio.

See arXiv 2207.06405.

A vision transformer with its masked pre-training and the pooling of its features (numerics:
AudioMAE, language of audio). Modules have the published checkpoint's names, so that its encoder
loads by name. The published decoder is of another kind (windowed attention) and is not loaded:
inference needs the encoder only.

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
TOKEN_STD = 0.02  # of the CLS and mask tokens at the start of training
MAX_PERIOD = 10000  # of the slowest sinusoid of the position table


class FusedAttention(nn.Module):
    """Multi-head self-attention with one projection for q, k and v."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """A pre-norm transformer block with exact GELU."""

    def __init__(self, width: int, num_heads: int, mlp_ratio: int) -> None:
        super().__init__()
        hidden = width * mlp_ratio
        self.norm1 = nn.LayerNorm(width, EPS)
        self.attn = FusedAttention(width, num_heads)
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
    """Result of one pass of masked pre-training.

    Attributes:
        loss: A scalar.
        prediction: [B, N, P P], normalized patches.
        mask: [B, N], 1 where the encoder did not see the patch.
    """

    loss: Tensor
    prediction: Tensor
    mask: Tensor


class AudioMAE(nn.Module):
    """The encoder, and with `decoder_num_layers` above 0 the decoder that pre-training needs."""

    pos_embed: Tensor
    decoder_pos_embed: Tensor

    def __init__(self, config: AudioMAEConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        patch = config.patch_size
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
        self._initialize()

    def _initialize(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("_token"):
                nn.init.normal_(parameter, std=TOKEN_STD)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() > 1:
                # flat: a patch is a vector here, not an image
                nn.init.xavier_uniform_(parameter.flatten(1))

    def embed(self, fbank: Tensor) -> Tensor:
        """Embed patches, with their positions and without CLS.

        Args:
            fbank: [B, 1, T, F]; T is a multiple of P, at most `config.num_frames`.

        Returns:
            [B, N, D].
        """
        frames, bins = fbank.shape[2:]
        assert bins == self.config.n_mels and frames % self.config.patch_size == 0, (
            f"AudioMAE takes no fbank of {frames} x {bins}"
        )
        # [B, D, T / P, F / P] -> [B, N, D]
        x = self.patch_embed(fbank).flatten(2).transpose(1, 2)
        assert x.shape[1] < self.pos_embed.shape[1], (
            f"{frames} frames are more than {self.config.num_frames}"
        )
        # time-major: a shorter clip has the first positions
        out: Tensor = x + self.pos_embed[:, 1 : 1 + x.shape[1]]
        return out

    def features(self, fbank: Tensor) -> Tensor:
        """fbank [B, 1, T, F] -> [B, 1 + N, D], CLS first.

        The mean of the last blocks' normalized outputs, without masking.
        """
        x = self._with_cls(self.embed(fbank))
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        averaged = outputs[-self.config.num_averaged_layers :]
        return torch.stack([self.norm(output) for output in averaged]).mean(0)

    def pool(self, features: Tensor, frames: int, time_pool: int = 8, freq_pool: int = 8) -> Tensor:
        """Pool patch features to (average + maximum) / 2 per cell (numerics: language of audio).

        Args:
            features: [B, 1 + N, D] of clips of `frames`.
            frames: T, which must fill whole cells.
            time_pool: Patches per cell along time.
            freq_pool: Patches per cell along frequency.

        Returns:
            [B, n, D], time-major.
        """
        patch = self.config.patch_size
        columns = self.config.n_mels // patch
        fills_cells = frames % (patch * time_pool) == 0 and columns % freq_pool == 0
        assert fills_cells, (
            f"{frames} frames do not fill cells of {time_pool} x {freq_pool} patches"
        )
        return pool_patches(features[:, 1:], columns, time_pool, freq_pool)  # without CLS

    def language_of_audio(
        self, fbank: Tensor, time_pool: int = 8, freq_pool: int = 8
    ) -> LanguageOfAudio:
        """Compute the language of audio.

        The tokens that a translator learns to generate and the UNet attends to.

        Args:
            fbank: [B, 1, T, F].
            time_pool: Patches per token along time.
            freq_pool: Patches per token along frequency.

        Returns:
            Tokens [B, n, D], all unmasked.
        """
        tokens = self.pool(self.features(fbank), fbank.shape[2], time_pool, freq_pool)
        return LanguageOfAudio(tokens, tokens.new_ones(tokens.shape[:2]), origin="audio")

    def reconstruct(
        self, fbank: Tensor, mask_ratio: float = 0.8, generator: torch.Generator | None = None
    ) -> Reconstruction:
        """Run one pass of masked pre-training: hide patches, predict them, squared error.

        See arXiv 2111.06377.

        Each target patch is normalized by its own mean and deviation; only hidden patches count.

        Args:
            fbank: [B, 1, T, F].
            mask_ratio: Fraction of patches to hide.
            generator: CPU generator of the choice of patches, so that a seed hides the same ones on
                every device.

        Returns:
            Loss, prediction and mask.
        """
        x = self.embed(fbank)
        batch, count, _ = x.shape
        # a random permutation for each clip; its first part stays visible
        order = torch.rand(batch, count, generator=generator).argsort(dim=1).to(x.device)
        visible = order[:, : int(count * (1 - mask_ratio))]
        mask = x.new_ones(batch, count).scatter(1, visible, 0.0)
        x = self._with_cls(_gather(x, visible))
        for block in self.blocks:
            x = block(x)
        prediction = self._decode(self.norm(x), order)
        patch = self.config.patch_size
        # the target: pixels of every patch, [B, N, P P]
        patches = F.unfold(fbank, patch, stride=patch).transpose(1, 2)
        variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
        error = (prediction.float() - (patches - mean) / (variance + EPS).sqrt()).square().mean(2)
        return Reconstruction((error * mask).sum() / mask.sum(), prediction, mask)

    def _with_cls(self, x: Tensor) -> Tensor:
        cls = self.cls_token + self.pos_embed[:, :1]
        return torch.cat([cls.expand(x.shape[0], -1, -1), x], dim=1)

    def _decode(self, encoded: Tensor, order: Tensor) -> Tensor:
        """Encoded [B, 1 + visible, D], order [B, N] with visible first -> patches [B, N, P P]."""
        x = self.decoder_embed(encoded)
        num_hidden = order.shape[1] + 1 - x.shape[1]
        hidden = self.mask_token.expand(x.shape[0], num_hidden, -1).to(x.dtype)
        # argsort of a permutation is its inverse: back to the order in time
        patches = _gather(torch.cat([x[:, 1:], hidden], dim=1), order.argsort(dim=1))
        x = torch.cat([x[:, :1], patches], dim=1) + self.decoder_pos_embed[:, : 1 + order.shape[1]]
        out: Tensor = self.decoder_pred(self.decoder_norm(self.decoder_blocks(x)))[:, 1:]
        return out


def pool_patches(patches: Tensor, num_columns: int, time_pool: int, freq_pool: int) -> Tensor:
    """Pool patch features to (average + maximum) / 2 per cell (numerics: language of audio).

    Args:
        patches: [B, N, D], time-major and without CLS.
        num_columns: Patches along frequency.
        time_pool: Patches per cell along time.
        freq_pool: Patches per cell along frequency.

    Returns:
        [B, n, D], time-major.
    """
    rows = patches.shape[1] // num_columns
    # back to [B, D, rows, columns]
    grid = patches.transpose(1, 2).reshape(patches.shape[0], -1, rows, num_columns)
    cell = (time_pool, freq_pool)
    pooled = (F.avg_pool2d(grid, cell) + F.max_pool2d(grid, cell)) / 2
    return pooled.flatten(2).transpose(1, 2)


def sin_cos_table(grid: tuple[int, int], width: int) -> Tensor:
    """Return the fixed position table [1, 1 + rows * columns, width], zeros first for CLS.

    See arXiv 2111.06377.

    The first half of the width encodes the column, the second the row, each as sines then cosines
    of falling frequency.
    """
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    quarter = width // 4
    rates = 1 / MAX_PERIOD ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    features = []
    for axis in (columns, rows):
        angles = axis.reshape(-1, 1) * rates
        features += [angles.sin(), angles.cos()]
    table = torch.cat(features, dim=1).float()
    return F.pad(table, (0, 0, 1, 0)).unsqueeze(0)


def _gather(x: Tensor, indices: Tensor) -> Tensor:
    """Rows of x [B, N, D] at indices [B, M] -> [B, M, D]."""
    return x.gather(1, indices.unsqueeze(2).expand(-1, -1, x.shape[2]))
