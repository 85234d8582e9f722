"""Losses of adversarial training that the VAE stage and the vocoder stage share.

See numerics: training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, relu

from ...models.discriminators import (
    DiscriminatorOutput,
    HiFiGANDiscriminator,
    WaveformDiscriminator,
)

MAX_ADAPTIVE_WEIGHT = 1e4
_ADAPTIVE_EPSILON = 1e-4
_FEATURE_EPSILON = 1e-4

Outputs = Sequence[DiscriminatorOutput]


@dataclass(frozen=True)
class WaveformGAN:
    """The discriminators of a vocoder and their losses.

    Attributes:
        build: Returns the discriminators; takes the channels of their first layers.
        disc_name: Name of the discriminators' loss.
        disc_loss: Returns it, of (outputs for real sounds, outputs for generated ones).
        gen_loss: Returns the generator's loss, of the outputs for generated sounds.
        feature_distance: Returns the distance of the outputs' features, of (real, generated).
    """

    build: Callable[[int], nn.Module]
    disc_name: str
    disc_loss: Callable[[Outputs, Outputs], Tensor]
    gen_loss: Callable[[Outputs], Tensor]
    feature_distance: Callable[[Outputs, Outputs], Tensor]


def hinge_loss(real: Outputs, fake: Outputs) -> Tensor:
    """Return the mean hinge loss of all discriminators (arXiv 1705.02894, section 3).

    Args:
        real: Outputs for real sounds.
        fake: Outputs for generated sounds.
    """
    terms = []
    for real_output, fake_output in zip(real, fake, strict=True):
        real_loss = relu(1 - real_output.logits.float()).mean()
        terms.append(real_loss + relu(1 + fake_output.logits.float()).mean())
    return torch.stack(terms).mean()


def _negative_mean(fake: Outputs) -> Tensor:
    """The generator's part of the hinge loss, the mean of all discriminators."""
    return -torch.stack([output.logits.float().mean() for output in fake]).mean()


def relative_feature_distance(real: Outputs, fake: Outputs) -> Tensor:
    """Return the mean distance of features, relative to the size of the real ones.

    All layers therefore count alike.

    Args:
        real: Outputs for real sounds.
        fake: Outputs for generated sounds.
    """
    distances = []
    for real_output, fake_output in zip(real, fake, strict=True):
        features = zip(fake_output.features, real_output.features, strict=True)
        for fake_feature, real_feature in features:
            target = real_feature.float()
            distance = l1_loss(fake_feature.float(), target)
            distances.append(distance / (target.abs().mean() + _FEATURE_EPSILON))
    return torch.stack(distances).mean()


def least_squares_loss(real: Outputs, fake: Outputs) -> Tensor:
    """Return the sum of the discriminators' least squares (arXiv 2010.05646, eq. 1).

    Args:
        real: Outputs for real sounds.
        fake: Outputs for generated sounds.
    """
    terms = []
    for real_output, fake_output in zip(real, fake, strict=True):
        real_loss = (real_output.logits.float() - 1).square().mean()
        terms.append(real_loss + fake_output.logits.float().square().mean())
    return torch.stack(terms).sum()


def _least_squares_generator(fake: Outputs) -> Tensor:
    """The generator's least squares, the sum of all discriminators (arXiv 2010.05646, eq. 2)."""
    return torch.stack([(output.logits.float() - 1).square().mean() for output in fake]).sum()


def summed_feature_distance(real: Outputs, fake: Outputs) -> Tensor:
    """Return the sum of the mean distances of features and logits (arXiv 2010.05646, eq. 4).

    Args:
        real: Outputs for real sounds.
        fake: Outputs for generated sounds.
    """
    distances = []
    for real_output, fake_output in zip(real, fake, strict=True):
        real_maps = [*real_output.features, real_output.logits]
        fake_maps = [*fake_output.features, fake_output.logits]
        for real_map, fake_map in zip(real_maps, fake_maps, strict=True):
            distances.append(l1_loss(fake_map.float(), real_map.float()))
    return torch.stack(distances).sum()


WAVEFORM_GANS: dict[str, WaveformGAN] = {
    "univnet": WaveformGAN(
        WaveformDiscriminator,
        "disc/hinge",
        hinge_loss,
        _negative_mean,
        relative_feature_distance,
    ),
    "hifigan": WaveformGAN(
        HiFiGANDiscriminator,
        "disc/least_squares",
        least_squares_loss,
        _least_squares_generator,
        summed_feature_distance,
    ),
}
"""Adversarial trainings of a vocoder by name."""


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last_layer: Tensor) -> Tensor:
    """Return the weight that gives both losses gradients of equal norm (arXiv 2012.09841, eq. 7).

    Args:
        reconstruction: Loss of the reconstruction.
        adversarial: The generator's loss.
        last_layer: Weight of the decoder's last layer.

    Returns:
        A scalar without gradient, between 0 and `MAX_ADAPTIVE_WEIGHT`; 1 where there are no
        gradients.
    """
    if not torch.is_grad_enabled():
        return torch.ones_like(reconstruction)
    norms = []
    for loss in (reconstruction, adversarial):
        [gradient] = torch.autograd.grad(loss, last_layer, retain_graph=True)
        norms.append(gradient.norm())
    weight = norms[0] / (norms[1] + _ADAPTIVE_EPSILON)
    return weight.clamp(0, MAX_ADAPTIVE_WEIGHT).detach()


def no_training(module: nn.Module) -> Tensor:
    """Return a loss of 0 that leaves a module as it is.

    Args:
        module: Module whose training has not begun.
    """
    parameters = [parameter.sum() for parameter in module.parameters() if parameter.requires_grad]
    return 0.0 * torch.stack(parameters).sum()
