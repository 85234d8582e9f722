"""Loggers beside a run's own files: TensorBoard, CSV, trackio and Weights & Biases.

Each package is imported when a recipe names it. None of them asks for a login: Weights & Biases
runs in its offline mode.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import UsageError
from .recipe import LoggerName, Recipe

CSV_FILE = "log.csv"
_PROJECT = "latentaudio"
_PIP_NAMES = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}


@dataclass
class LoggedPreview:
    """A preview as files have it.

    Attributes:
        sample_rate: Sample rate of the audio in Hz.
        images: Gray images [H, W] of bytes by name.
        audio: Samples [T] by name.
    """

    sample_rate: int
    images: dict[str, np.ndarray] = field(default_factory=dict)
    audio: dict[str, np.ndarray] = field(default_factory=dict)


class Logger(Protocol):
    """Writes numbers and previews of a run somewhere."""

    def log_numbers(self, step: int, numbers: dict[str, float]) -> None:
        """Write numbers by name."""

    def log_preview(self, step: int, preview: LoggedPreview) -> None:
        """Write images and audio."""

    def close(self) -> None:
        """Write all that is left."""


class TensorBoardLogger:
    """Event files in `tensorboard/` of the run."""

    def __init__(self, run_folder: Path, recipe: Recipe) -> None:
        """Open the event file; the stage is in its name."""
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(
            str(run_folder / "tensorboard"), filename_suffix=f".{recipe.stage}"
        )

    def log_numbers(self, step: int, numbers: dict[str, float]) -> None:
        """Write numbers by name."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def log_preview(self, step: int, preview: LoggedPreview) -> None:
        """Write images and audio."""
        for name, image in preview.images.items():
            self.writer.add_image(name, image, step, dataformats="HW")
        for name, samples in preview.audio.items():
            self.writer.add_audio(name, samples[None], step, preview.sample_rate)

    def close(self) -> None:
        """Write all that is left."""
        self.writer.close()


class CSVLogger:
    """One line for each number in `log.csv`: step, name, value."""

    def __init__(self, run_folder: Path, recipe: Recipe) -> None:
        """Open the table. A resumed run adds lines, so a step may appear twice."""
        path = run_folder / CSV_FILE
        is_new = not path.is_file()
        self.file = path.open("a", encoding="utf-8", newline="", buffering=1)
        self.table = csv.writer(self.file)
        if is_new:
            self.table.writerow(["step", "name", "value"])

    def log_numbers(self, step: int, numbers: dict[str, float]) -> None:
        """Write numbers by name."""
        for name, value in numbers.items():
            self.table.writerow([step, name, f"{value:.6g}"])

    def log_preview(self, step: int, preview: LoggedPreview) -> None:
        """Write nothing: a table has no images."""

    def close(self) -> None:
        """Close the table."""
        self.file.close()


class TrackerLogger:
    """A package with the functions of Weights & Biases: init, log and finish."""

    def __init__(self, run_folder: Path, recipe: Recipe, package: str, **settings: Any) -> None:
        """Start the tracking.

        Args:
            run_folder: Folder of the run, whose name the tracked run gets.
            recipe: Recipe of the run.
            package: Name of the package.
            **settings: More arguments of its `init`.
        """
        self.package: Any = import_module(package)
        self.package.init(
            project=_PROJECT,
            name=run_folder.resolve().name,
            config=recipe.model_dump(mode="json"),
            **settings,
        )

    def log_numbers(self, step: int, numbers: dict[str, float]) -> None:
        """Write numbers by name."""
        self.package.log(numbers, step=step)

    def log_preview(self, step: int, preview: LoggedPreview) -> None:
        """Write nothing: the previews are files in the run folder."""

    def close(self) -> None:
        """Write all that is left."""
        self.package.finish()


def _wandb(run_folder: Path, recipe: Recipe) -> Logger:
    return TrackerLogger(run_folder, recipe, "wandb", mode="offline", dir=str(run_folder))


def _trackio(run_folder: Path, recipe: Recipe) -> Logger:
    return TrackerLogger(run_folder, recipe, "trackio")


LOGGERS: dict[LoggerName, Callable[[Path, Recipe], Logger] | None] = {
    "jsonl": None,  # always written, by `logger.RunLogger`
    "tensorboard": TensorBoardLogger,
    "csv": CSVLogger,
    "trackio": _trackio,
    "wandb": _wandb,
}
"""Name in a recipe -> what opens the logger."""


def open_loggers(run_folder: Path, recipe: Recipe) -> list[Logger]:
    """Return the loggers that a recipe names; TensorBoard by default, if it is installed.

    Args:
        run_folder: Folder of the run.
        recipe: Recipe of the run.

    Raises:
        UsageError: The package of a logger is not installed.
    """
    names: tuple[LoggerName, ...] = ()
    if recipe.loggers is not None:
        names = recipe.loggers
    elif find_spec("tensorboard"):
        names = ("tensorboard",)
    check_loggers(names)
    loggers = []
    for name in dict.fromkeys(names):
        build = LOGGERS[name]
        if build is not None:
            loggers.append(build(run_folder, recipe))
    return loggers


def check_loggers(names: tuple[LoggerName, ...]) -> None:
    """Raise unless the packages of some loggers are installed.

    Args:
        names: Names in `LOGGERS`.

    Raises:
        UsageError: A package is missing.
    """
    for name in names:
        package = _PIP_NAMES.get(name)
        if package is not None and not find_spec(package):
            raise UsageError(
                f"loggers: {name} needs the package {package}; run pip install {package}, "
                "or remove the logger"
            )
