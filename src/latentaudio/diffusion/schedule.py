"""The forward diffusion process and the quantities derived from it.

Noising, training targets, loss weights, timesteps.

z_t = alpha_t x0 + sigma_t epsilon, with alpha_t^2 + sigma_t^2 = 1 for every train-time step t.

B batch, C channels, T' F' latent grid, S sampling steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..config.architecture import Prediction, ScheduleConfig
from ..config.samplers import Spacing
from ..errors import UsageError


class Schedule:
    """The noise schedule (numerics: schedules and samplers).

    Tables are float64 on the CPU; arithmetic happens in the dtype and on the device of z.

    Attributes:
        config: Its numbers.
        betas: [num_train_timesteps], the variance that each train-time step adds.
        alphas_cumprod: [num_train_timesteps], alpha_t^2.
        half_log_snr: [num_train_timesteps], lambda_t = ln(alpha_t / sigma_t), half the logarithm of
            the signal-to-noise ratio.
    """

    def __init__(self, config: ScheduleConfig | None = None) -> None:
        self.config = config or ScheduleConfig()
        first = self.config.beta_start
        last = self.config.beta_end
        steps = self.config.num_train_timesteps
        if self.config.beta_schedule == "linear":
            self.betas = torch.linspace(first, last, steps, dtype=torch.float64)
        else:  # as the authors compute them: the square of a straight line
            roots = (math.sqrt(first), math.sqrt(last))
            self.betas = torch.linspace(*roots, steps, dtype=torch.float64).square()
        self.alphas_cumprod = torch.cumprod(1.0 - self.betas, dim=0)
        self._alpha = self.alphas_cumprod.sqrt()
        self._sigma = (1.0 - self.alphas_cumprod).sqrt()
        self.half_log_snr = (self._alpha / self._sigma).log()

    def alpha_sigma(self, t: int) -> tuple[float, float]:
        """Return alpha and sigma of one train-time step; t = -1 is clean data, (1, 0)."""
        if t < 0:
            return 1.0, 0.0
        return float(self._alpha[t]), float(self._sigma[t])

    def q_sample(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return z_t for x0 and noise [B, C, T', F'] at t [B] (DDPM, arXiv 2006.11239, eq. 4)."""
        alpha, sigma = self._broadcast(t, x0)
        return alpha * x0 + sigma * noise

    def to_x0_and_eps(
        self, z: Tensor, t: Tensor, prediction: Tensor, kind: Prediction | None = None
    ) -> tuple[Tensor, Tensor]:
        """Convert a network's prediction to x0 and epsilon.

        v = alpha epsilon - sigma x0 (arXiv 2202.00512, appendix D).

        Args:
            z: Noisy latent [B, C, T', F'].
            t: Train-time steps [B].
            prediction: The network's output, same shape as z.
            kind: What it predicts. None: as configured.

        Returns:
            The estimates of x0 and epsilon, same shape as z.
        """
        alpha, sigma = self._broadcast(t, z)
        match kind or self.config.prediction:
            case "epsilon":
                return (z - sigma * prediction) / alpha, prediction
            case "x0":
                return prediction, (z - alpha * prediction) / sigma
            case "v":  # the rotation (z, v) -> (x0, epsilon); it never divides by a small number
                return alpha * z - sigma * prediction, sigma * z + alpha * prediction

    def training_target(
        self, x0: Tensor, noise: Tensor, t: Tensor, kind: Prediction | None = None
    ) -> Tensor:
        """Return the output of a perfect network; the inverse of `to_x0_and_eps`.

        Args:
            x0: Clean latent [B, C, T', F'].
            noise: The noise that was added, same shape.
            t: Train-time steps [B].
            kind: What the network predicts. None: as configured.

        Returns:
            The target, same shape as x0.
        """
        match kind or self.config.prediction:
            case "epsilon":
                return noise
            case "x0":
                return x0
            case "v":
                alpha, sigma = self._broadcast(t, x0)
                return alpha * noise - sigma * x0

    def loss_weight(self, t: Tensor, snr_gamma: float | None = None) -> Tensor:
        """Return the loss weight of each train-time step: ones, or min-SNR.

        See arXiv 2303.09556, section 3.4.

        Args:
            t: Train-time steps [B].
            snr_gamma: Clamp of the signal-to-noise ratio. None: all weights are 1.

        Returns:
            Weights [B].
        """
        if snr_gamma is None:
            return torch.ones(t.shape, device=t.device)
        snr = (2.0 * self.half_log_snr).exp().float().to(t.device)[t]
        # an error of x0 is weighted by min(SNR, gamma); seen as epsilon or v it is SNR or SNR + 1
        # times larger
        scale = {"x0": torch.ones_like(snr), "epsilon": snr, "v": snr + 1.0}[self.config.prediction]
        return snr.clamp_max(snr_gamma) / scale

    def timesteps(self, steps: int, spacing: Spacing) -> list[int]:
        """Choose the train-time steps to sample at.

        Args:
            steps: Their number S.
            spacing: "leading": {0, c, 2c, ...} + 1 with c = 1000 // S, DDIM's published choice;
                `config.ddim_spacing` and `config.ddim_offset` may say otherwise.
                "trailing": from the last step down in equal strides (arXiv 2305.08891, table 2).
                "log_snr": equal strides of lambda, half the log-SNR, which DPM-Solver assumes
                (arXiv 2211.01095, section 4).

        Returns:
            Exactly S distinct train-time steps, noisiest first.

        Raises:
            UsageError: S is not in 1 ... 1000.
        """
        total = self.config.num_train_timesteps
        if not 1 <= steps <= total:
            raise UsageError(f"cannot take {steps} sampling steps; choose 1 to {total}")
        count = np.arange(steps)
        match self.config.ddim_spacing if spacing == "leading" else spacing:
            case "leading":
                # published: whole strides, and one step of offset
                stride = total // steps
                room = total - 1 - (steps - 1) * stride  # S = 1000 leaves no room for + 1
                rising = count * stride + min(self.config.ddim_offset, room)
            case "linspace":
                rising = np.linspace(0, total - 1, steps).round().astype(int)
            case "trailing":
                rising = np.round(np.arange(total, 0, -total / steps))[:steps][::-1].astype(int) - 1
            case "log_snr":
                rising = self._uniform_log_snr(steps)
        return [int(t) for t in rising[::-1]]

    def ddim_next_alpha(self, timesteps: Sequence[int], index: int) -> float:
        """Return abar of the noise level that one step of DDIM goes to.

        Args:
            timesteps: All train-time steps of the run, noisiest first.
            index: Index of the current one.
        """
        config = self.config
        if config.ddim_spacing == "leading" and index + 1 < len(timesteps):
            return float(self.alphas_cumprod[timesteps[index + 1]])
        # one stride down, even where the next timestep is another, as diffusers does
        next_timestep = timesteps[index] - config.num_train_timesteps // len(timesteps)
        if next_timestep < 0:
            return 1.0 if config.ddim_ends_clean else float(self.alphas_cumprod[0])
        return float(self.alphas_cumprod[next_timestep])

    def _uniform_log_snr(self, steps: int) -> np.ndarray:
        """Nearest integer timesteps to equal strides of lambda, without duplicates."""
        curve = self.half_log_snr.numpy()
        target = np.linspace(curve[0], curve[-1], steps) if steps > 1 else curve[-1:]
        # lambda falls with t; np.interp needs a rising axis
        times = np.interp(-target, -curve, np.arange(len(curve))).round().astype(int)
        count = np.arange(steps)
        # raise equal neighbors by one each, and leave room for those that follow
        return np.asarray(
            np.minimum(np.maximum.accumulate(times - count), len(curve) - steps) + count
        )

    def _broadcast(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Alpha and sigma of t [B] as [B, 1, 1, 1], in the dtype and on the device of `like`."""
        shape = (-1,) + (1,) * (like.ndim - 1)
        # float64 tables are rounded once, to the type of the latent
        alpha, sigma = (
            table.to(like.dtype).to(t.device)[t].to(like.device)
            for table in (self._alpha, self._sigma)
        )
        return alpha.view(shape), sigma.view(shape)
