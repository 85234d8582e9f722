"""The log of a run: its folder always, and other loggers by name.

`log.jsonl` has the losses, `validation.jsonl` those of held-out clips and at fixed timesteps, and
`previews/` the newest previews. None of the loggers needs a login.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image
from torch import Tensor

from ..fileio import atomic_write
from .loggers import LoggedPreview, Logger, open_loggers
from .recipe import Recipe
from .stages.base import Preview

LOG_FILE = "log.jsonl"
VALIDATION_FILE = "validation.jsonl"
"""File of a run with losses of held-out clips and at fixed timesteps."""
_LOG_MEL_MIN = float(np.log(1e-5))  # black; the floor of the log-mels
_LOG_MEL_MAX = 2.0  # white
_PIXELS_PER_BAND = 3
_MAP_PIXELS = 8  # side of a cell of a map


class RunLogger:
    """Writer of the logs and previews in a run's folder, and of other loggers."""

    def __init__(self, run_folder: Path, recipe: Recipe) -> None:
        """Open the logs.

        Args:
            run_folder: Folder of the run.
            recipe: Recipe of the run, which names the loggers.

        Raises:
            UsageError: The package of a logger is not installed.
        """
        self.run_folder = run_folder
        self.loggers: list[Logger] = open_loggers(run_folder, recipe)
        self.log_file = (run_folder / LOG_FILE).open("a", encoding="utf-8", buffering=1)

    def log(self, step: int, losses: dict[str, float], steps_per_second: float) -> None:
        """Write one line of numbers.

        Args:
            step: Number of steps done.
            losses: Losses by name.
            steps_per_second: Speed of the run.
        """
        entry: dict[str, float] = {"step": step}
        for name, value in losses.items():
            entry[name] = round(value, 6)
        entry["steps_per_second"] = round(steps_per_second, 4)
        self.log_file.write(json.dumps(entry) + "\n")
        for logger in self.loggers:
            logger.log_numbers(step, losses)

    def log_validation(self, step: int, losses: dict[str, float]) -> None:
        """Write losses of held-out clips and at fixed timesteps.

        Args:
            step: Number of steps done.
            losses: Losses by name.
        """
        entry: dict[str, float] = {"step": step}
        for name, value in losses.items():
            entry[name] = round(value, 6)
        with (self.run_folder / VALIDATION_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        for logger in self.loggers:
            logger.log_numbers(step, losses)

    def log_preview(self, step: int, preview: Preview, variant: str = "") -> None:
        """Write a preview; each file of `previews/` is overwritten by the next of its name.

        Args:
            step: Number of steps done.
            preview: Images, audio and texts of the stage.
            variant: Added to the names, for example "without_adapter".
        """
        folder = self.run_folder / "previews"
        folder.mkdir(exist_ok=True)
        ending = f"_{variant}" if variant else ""
        logged = LoggedPreview(preview.sample_rate)
        for name, log_mel in preview.images.items():
            logged.images[name + ending] = mel_to_image(log_mel)
        for name, values in preview.maps.items():
            logged.images[name + ending] = map_to_image(values)
        for name, samples in preview.audio.items():
            logged.audio[name + ending] = samples.float().clamp(-1, 1).cpu().numpy()
        for name, image in logged.images.items():
            with atomic_write(folder / f"{name}.png") as temporary:
                Image.fromarray(image).save(temporary, format="PNG")
        for name, sound in logged.audio.items():
            with atomic_write(folder / f"{name}.flac") as temporary:
                soundfile.write(temporary, sound, preview.sample_rate, format="FLAC")
        for name, text in preview.texts.items():
            with atomic_write(folder / f"{name}{ending}.txt") as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")
        for logger in self.loggers:
            logger.log_preview(step, logged)

    def close(self) -> None:
        """Flush and close all files."""
        self.log_file.close()
        for logger in self.loggers:
            logger.close()


def mel_to_image(log_mel: Tensor) -> np.ndarray:
    """Return a log-mel spectrogram as a gray image [3 F, T] of bytes, low bands at the bottom.

    Args:
        log_mel: Natural logarithm of mel magnitudes [T, F].
    """
    span = _LOG_MEL_MAX - _LOG_MEL_MIN
    scaled = (log_mel.float().cpu() - _LOG_MEL_MIN) / span
    gray = scaled.clamp(0, 1).mul(255).to(torch.uint8)
    return np.repeat(gray.numpy().T[::-1], _PIXELS_PER_BAND, axis=0)


def map_to_image(values: Tensor) -> np.ndarray:
    """Return any values [H, W] as a gray image of bytes: the least black, the largest white.

    Args:
        values: The values. A small map is drawn with larger cells.
    """
    values = values.float().cpu()
    low = values.min()
    scaled = (values - low) / (values.max() - low).clamp(min=1e-12)
    gray = scaled.mul(255).to(torch.uint8).numpy()
    side = _MAP_PIXELS if max(gray.shape) <= 64 else 1
    return np.repeat(np.repeat(gray, side, axis=0), side, axis=1)
