"""Group norm with exact sums on large grids.

torch's kernel for channels_last adds the numbers of a channel one after the other. In float32, over
the 65,536 cells of a log-mel of 10 s, its relative error is 1e-5. The vocoder continues the phase
of its sines over the clip, and would turn that into another clip on each machine.

B batch, C channels, G groups, T frames, F frequency bins.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MIN_CELLS = 8192
"""Cells of a grid from which the sums are done in parts. A UNet's grids are smaller."""


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm`, with a relative error below 1e-7 in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, F] -> same."""
        # contiguous grids have another kernel, whose sums are exact
        if x.is_contiguous() or x.device.type != "cpu" or x.dtype != torch.float32:
            return super().forward(x)
        if torch.is_grad_enabled() or x[0, 0].numel() < MIN_CELLS:
            return super().forward(x)
        groups = (x.shape[0], self.num_groups, -1)
        cells = x.permute(0, 2, 3, 1)
        # torch.mean adds in a tree
        mean = cells.mean((1, 2)).double().view(groups).mean(2)
        square = cells.square().mean((1, 2)).double().view(groups).mean(2)
        spread = (square - mean.square() + self.eps).rsqrt()
        per_group = x.shape[1] // self.num_groups
        scale = spread.repeat_interleave(per_group, 1) * self.weight
        shift = self.bias - mean.repeat_interleave(per_group, 1) * scale
        scale = scale.float()[:, None, None]
        shift = shift.float()[:, None, None]
        return torch.addcmul(shift, cells, scale).permute(0, 3, 1, 2)
