"""The forward process and everything that follows from it alone: noising, targets, weights, time steps.

Knows the numbers alpha and sigma of every train-time step, z_t = alpha_t x0 + sigma_t epsilon. Refuses to know networks and
solvers (see `samplers`).

Letters: B batch, C channels, T' F' latent grid, S sampling steps.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..config.architecture import Prediction, ScheduleConfig
from ..errors import UsageError

Spacing: TypeAlias = Literal["leading", "trailing", "log_snr"]


class Schedule:
    """sqrt-linear betas (spec 5.1); tables are float64 on the CPU, arithmetic happens in the dtype and on the device of z.

    betas, alphas_cumprod: [steps]. log_snr: [steps], lambda_t = ln(alpha_t / sigma_t), half the logarithm of the SNR.
    """

    def __init__(self, config: ScheduleConfig | None = None) -> None:
        self.config = config or ScheduleConfig()
        roots = (math.sqrt(self.config.beta_start), math.sqrt(self.config.beta_end))
        self.betas = torch.linspace(*roots, self.config.num_train_timesteps, dtype=torch.float64).square()
        self.alphas_cumprod = torch.cumprod(1.0 - self.betas, dim=0)
        self._alpha = self.alphas_cumprod.sqrt()
        self._sigma = (1.0 - self.alphas_cumprod).sqrt()
        self.log_snr = (self._alpha / self._sigma).log()

    def alpha_sigma(self, t: int) -> tuple[float, float]:
        """alpha and sigma of one train-time step; t = -1 is clean data, (1, 0)."""
        return (float(self._alpha[t]), float(self._sigma[t])) if t >= 0 else (1.0, 0.0)

    def q_sample(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """z_t for x0 and noise [B, C, T', F'] at t [B] (DDPM, arXiv 2006.11239, eq. 4)."""
        alpha, sigma = self._broadcast(t, x0)
        return alpha * x0 + sigma * noise

    def to_x0_and_eps(
        self, z: Tensor, t: Tensor, prediction: Tensor, kind: Prediction | None = None
    ) -> tuple[Tensor, Tensor]:
        """(x0, epsilon) that a network's prediction means for z [B, C, T', F'] at t [B]; `kind` defaults to the configured one.

        v = alpha epsilon - sigma x0 (arXiv 2202.00512, appendix D).
        """
        alpha, sigma = self._broadcast(t, z)
        match kind or self.config.prediction:
            case "epsilon":
                return (z - sigma * prediction) / alpha, prediction
            case "x0":
                return prediction, (z - alpha * prediction) / sigma
            case "v":
                return alpha * z - sigma * prediction, sigma * z + alpha * prediction

    def training_target(
        self, x0: Tensor, noise: Tensor, t: Tensor, kind: Prediction | None = None
    ) -> Tensor:
        """What a perfect network answers at t [B] for x0 and noise [B, C, T', F']; the inverse of `split`."""
        match kind or self.config.prediction:
            case "epsilon":
                return noise
            case "x0":
                return x0
            case "v":
                alpha, sigma = self._broadcast(t, x0)
                return alpha * noise - sigma * x0

    def loss_weight(self, t: Tensor, snr_gamma: float | None = None) -> Tensor:
        """Loss weight [B] of each t [B]: ones, or min-SNR-gamma for the configured prediction (arXiv 2303.09556, section 3.4).

        An x0 error is weighted by min(SNR, gamma); one of epsilon or v is the same error seen larger, SNR or SNR + 1 times.
        """
        if snr_gamma is None:
            return torch.ones(t.shape, device=t.device)
        snr = (2.0 * self.log_snr).exp().float().to(t.device)[t]
        scale = {"x0": torch.ones_like(snr), "epsilon": snr, "v": snr + 1.0}[self.config.prediction]
        return snr.clamp_max(snr_gamma) / scale

    def timesteps(self, steps: int, spacing: Spacing) -> list[int]:
        """Exactly S distinct train-time steps, noisiest first.

        leading: {0, c, 2c, ...} + 1 with c = 1000 // S, DDIM's published choice (spec 5.2). trailing: from the last step down
        in equal strides (arXiv 2305.08891, table 2). log_snr: equal strides of lambda, what DPM-Solver is derived for
        (arXiv 2211.01095, section 4). Raises UsageError when S is not in 1 ... 1000.
        """
        total = self.config.num_train_timesteps
        if not 1 <= steps <= total:
            raise UsageError(f"cannot take {steps} sampling steps; choose 1 to {total}")
        count = np.arange(steps)
        match spacing:
            case "leading":
                stride = total // steps
                rising = count * stride + min(
                    1, total - 1 - (steps - 1) * stride
                )  # S = 1000 leaves no room for the + 1
            case "trailing":
                rising = np.round(np.arange(total, 0, -total / steps))[:steps][::-1].astype(int) - 1
            case "log_snr":
                rising = self._uniform_log_snr(steps)
        return [int(t) for t in rising[::-1]]

    def _uniform_log_snr(self, steps: int) -> np.ndarray:
        """Nearest integer times to equal strides of lambda, moved apart where rounding made two of them one."""
        curve = self.log_snr.numpy()
        wanted = np.linspace(curve[0], curve[-1], steps) if steps > 1 else curve[-1:]
        times = np.interp(-wanted, -curve, np.arange(len(curve))).round().astype(int)
        count = np.arange(steps)
        return np.asarray(
            np.minimum(np.maximum.accumulate(times - count), len(curve) - steps) + count
        )

    def _broadcast(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma of t [B] as [B, 1, 1, 1] next to `like`."""
        shape = (-1,) + (1,) * (like.ndim - 1)
        alpha, sigma = (
            table.to(like.dtype).to(t.device)[t].to(like.device)
            for table in (self._alpha, self._sigma)
        )
        return alpha.view(shape), sigma.view(shape)
