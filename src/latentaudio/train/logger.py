"""What a run tells: a log of numbers, pictures and sounds on disk, and TensorBoard where it is installed.

Knows files of a run folder. Refuses to know models.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image
from torch import Tensor

from .recipe import Recipe
from .stages.base import Preview


class Board:
    """Writes `log.jsonl`, `previews/` and TensorBoard events into the run's folder."""

    def __init__(self, run: Path, recipe: Recipe) -> None:
        self.run = run
        self.log_file = (run / "log.jsonl").open("a", encoding="utf-8", buffering=1)
        self.writer: Any = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(
                str(run / "tensorboard"), filename_suffix=f".{recipe.stage}"
            )

    def log(self, step: int, losses: dict[str, float], speed: float) -> None:
        """One line of numbers after `step` updates; speed in steps a second."""
        self.log_file.write(
            json.dumps(
                {
                    "step": step,
                    **{k: round(v, 6) for k, v in losses.items()},
                    "speed": round(speed, 4),
                }
            )
            + "\n"
        )
        if self.writer is not None:
            for name, value in losses.items():
                self.writer.add_scalar(name, value, step)

    def show(self, step: int, preview: Preview) -> None:
        """Store a preview; the newest of each name lies in `previews/`."""
        folder = self.run / "previews"
        folder.mkdir(exist_ok=True)
        for name, log_mel in preview.pictures.items():
            picture = spectrogram(log_mel)
            Image.fromarray(picture).save(folder / f"{name}.png")
            if self.writer is not None:
                self.writer.add_image(name, picture, step, dataformats="HW")
        for name, samples in preview.sounds.items():
            soundfile.write(
                folder / f"{name}.flac", samples.float().clamp(-1, 1).cpu().numpy(), preview.rate
            )
            if self.writer is not None:
                self.writer.add_audio(name, samples.float().cpu()[None], step, preview.rate)

    def close(self) -> None:
        """Flush and close."""
        self.log_file.close()
        if self.writer is not None:
            self.writer.close()


def spectrogram(log_mel: Tensor) -> np.ndarray:
    """A log-mel [T, F] as a grey picture [F, T] of bytes, low bands at the bottom, each cell three pixels high."""
    low, high = float(np.log(1e-5)), 2.0
    scaled = ((log_mel.float().cpu() - low) / (high - low)).clamp(0, 1).mul(255).to(torch.uint8)
    return np.repeat(scaled.numpy().T[::-1], 3, axis=0)
