"""The log of a run: losses, images and audio in its folder, and in TensorBoard if installed."""

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

from ..config.parsing import parse_json
from .recipe import Recipe
from .stages.base import Preview

LOG_FILE = "log.jsonl"
_LOG_MEL_MIN = float(np.log(1e-5))  # black; the floor of the log-mels
_LOG_MEL_MAX = 2.0  # white
_PIXELS_PER_BAND = 3


class RunLogger:
    """Writer of `log.jsonl`, `previews/` and TensorBoard events in a run's folder."""

    def __init__(self, run_folder: Path, recipe: Recipe) -> None:
        """Open the log.

        Args:
            run_folder: Folder of the run.
            recipe: Recipe of the run; its stage names the TensorBoard file.
        """
        self.run_folder = run_folder
        self.log_file = (run_folder / LOG_FILE).open("a", encoding="utf-8", buffering=1)
        self.writer: Any = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(
                str(run_folder / "tensorboard"), filename_suffix=f".{recipe.stage}"
            )

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
        if self.writer is not None:
            for name, value in losses.items():
                self.writer.add_scalar(name, value, step)

    def log_preview(self, step: int, preview: Preview) -> None:
        """Write a preview; each file of `previews/` is overwritten by the next of its name.

        Args:
            step: Number of steps done.
            preview: Images and audio of the stage.
        """
        folder = self.run_folder / "previews"
        folder.mkdir(exist_ok=True)
        for name, log_mel in preview.images.items():
            image = mel_to_image(log_mel)
            Image.fromarray(image).save(folder / f"{name}.png")
            if self.writer is not None:
                self.writer.add_image(name, image, step, dataformats="HW")
        for name, samples in preview.audio.items():
            samples = samples.float()
            soundfile.write(
                folder / f"{name}.flac",
                samples.clamp(-1, 1).cpu().numpy(),
                preview.sample_rate,
            )
            if self.writer is not None:
                self.writer.add_audio(name, samples.cpu()[None], step, preview.sample_rate)

    def close(self) -> None:
        """Flush and close all files."""
        self.log_file.close()
        if self.writer is not None:
            self.writer.close()


def read_log(run_folder: Path) -> list[dict[str, float]]:
    """Return the entries of a run's log, one per `log_every` steps.

    Args:
        run_folder: Folder of the run.
    """
    lines = (run_folder / LOG_FILE).read_text(encoding="utf-8").splitlines()
    return [parse_json(line) for line in lines]


def mel_to_image(log_mel: Tensor) -> np.ndarray:
    """Return a log-mel spectrogram as a gray image [3 F, T] of bytes, low bands at the bottom.

    Args:
        log_mel: Natural logarithm of mel magnitudes [T, F].
    """
    span = _LOG_MEL_MAX - _LOG_MEL_MIN
    scaled = (log_mel.float().cpu() - _LOG_MEL_MIN) / span
    gray = scaled.clamp(0, 1).mul(255).to(torch.uint8)
    return np.repeat(gray.numpy().T[::-1], _PIXELS_PER_BAND, axis=0)
