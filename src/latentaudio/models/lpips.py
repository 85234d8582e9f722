"""LPIPS: a distance of images in the features of VGG16 (arXiv 1801.03924; numerics: training).

Modules have the names of torchvision's VGG16 and of the package lpips, so that their files load.

B batch, C channels, H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

VGG16_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
"""Channels of VGG16's convolutions (arXiv 1409.1556, table 1, D); 0 is a maximum of 2 x 2."""
LAST_LAYERS = (3, 8, 15, 22, 29)
"""Activations that are compared: the last one before each maximum, and the last of all."""
SHIFT = (-0.030, -0.088, -0.188)  # of images in [-1, 1], ImageNet's mean
SCALE = (0.458, 0.448, 0.450)  # ImageNet's deviation
_EPSILON = 1e-10


class LPIPS(nn.Module):
    """The distance of two images, with frozen weights that a caller loads."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 3
        widths = []
        for width in VGG16_WIDTHS:
            if width == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU()]
            in_channels = width
            if len(layers) - 1 in LAST_LAYERS:
                widths.append(width)
        self.features = nn.ModuleList(layers)
        # weights of the channels' squared differences
        self.lin = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in widths)
        for name, values in (("shift", SHIFT), ("scale", SCALE)):
            column = torch.tensor(values, device="cpu").view(1, 3, 1, 1)
            self.register_buffer(name, column, persistent=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the distances [B] of images [B, C, H, W]; one channel stands for all three."""
        distances = []
        pairs = zip(self.taps(first), self.taps(second), strict=True)
        for weigh, (first_map, second_map) in zip(self.lin, pairs, strict=True):
            difference = normalize(first_map, eps=_EPSILON) - normalize(second_map, eps=_EPSILON)
            distances.append(weigh(difference.square()).mean(dim=(1, 2, 3)))
        return torch.stack(distances).sum(0)

    def taps(self, images: Tensor) -> list[Tensor]:
        """Return the compared feature maps of images [B, C, H, W], the finest first."""
        x = (images - self.shift) / self.scale
        maps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in LAST_LAYERS:
                maps.append(x)
        return maps
