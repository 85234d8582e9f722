"""Why a training cannot go on: losses that are not finite or grow without bound, or no memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import TrainingError
from . import checkpoint

MAX_SKIPPED_UPDATES = 10
"""Updates in a row that may be skipped because their gradients are not finite."""
WINDOW_STEPS = 25
GROWTH_LIMIT = 100.0
"""The mean loss of a window may be so many times the least one before."""
_MAX_SHOWN_CLIPS = 3
_LOWER_RATE = "lower optim.lr, raise optim.warmup_steps, or set precision to fp32"


class DivergenceMonitor:
    """Stops a run whose losses are not finite or grow without bound."""

    def __init__(self, run_folder: Path) -> None:
        """Start without any losses.

        Args:
            run_folder: Folder of the run, whose last checkpoint the errors name.
        """
        self.run_folder = run_folder
        self.num_skipped = 0
        self.sizes: deque[float] = deque(maxlen=WINDOW_STEPS)
        self.least_mean = math.inf

    def check_losses(
        self, step: int, losses: Mapping[str, float], clips: Callable[[], tuple[str, ...]]
    ) -> None:
        """Raise if a loss of a micro-batch is not finite.

        Args:
            step: Number of steps done, this one included.
            losses: Losses by name.
            clips: Returns the names of the clips of the micro-batch.

        Raises:
            TrainingError: A loss is nan or infinite.
        """
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        if not wrong:
            return
        names = clips()
        shown = f" on {_enumeration(names)}" if names else ""
        raise TrainingError(
            f"step {step}: the loss {wrong[0]} became {losses[wrong[0]]:g}{shown}; "
            f"check these clips; if they are right, {_LOWER_RATE}; {self._last_checkpoint()}"
        )

    def check_gradients(self, step: int, name: str, norm: float) -> None:
        """Count updates that were skipped, and raise if there are too many in a row.

        Args:
            step: Number of steps done, this one included.
            name: Trainable.
            norm: Norm of its gradients.

        Raises:
            TrainingError: No update was possible for `MAX_SKIPPED_UPDATES` times.
        """
        self.num_skipped = 0 if math.isfinite(norm) else self.num_skipped + 1
        if self.num_skipped >= MAX_SKIPPED_UPDATES:
            raise TrainingError(
                f"step {step}: the gradients of {name} were not finite for {self.num_skipped} "
                f"updates in a row, so nothing was learned; {_LOWER_RATE}; "
                f"{self._last_checkpoint()}"
            )

    def check_growth(self, step: int, losses: Mapping[str, float]) -> None:
        """Raise if the losses have grown far above their least values.

        Args:
            step: Number of steps done, this one included.
            losses: Weighted losses by name.

        Raises:
            TrainingError: The mean of the last steps is `GROWTH_LIMIT` times the least before.
        """
        self.sizes.append(sum(abs(value) for value in losses.values()))
        if len(self.sizes) < WINDOW_STEPS:
            return
        mean = sum(self.sizes) / WINDOW_STEPS
        self.least_mean = min(self.least_mean, mean)
        if mean > GROWTH_LIMIT * self.least_mean:
            largest = max(losses, key=lambda name: abs(losses[name]))
            raise TrainingError(
                f"step {step}: the training diverges: its loss, {mean:.3g}, was "
                f"{self.least_mean:.3g} before, and {largest} is the largest part; "
                f"{_LOWER_RATE}; {self._last_checkpoint()}"
            )

    def _last_checkpoint(self) -> str:
        return last_checkpoint(self.run_folder)


def last_checkpoint(run_folder: Path) -> str:
    """Return a clause that says what is left of a run.

    Args:
        run_folder: Folder of the run.
    """
    step = checkpoint.latest_step(run_folder)
    if step is None:
        return "there is no checkpoint yet"
    return f"the last checkpoint is of step {step}"


@contextmanager
def memory_errors_reported(run_folder: Path, settings: tuple[str, ...]) -> Iterator[None]:
    """Turn errors of too little memory in a block into one line.

    Args:
        run_folder: Folder of the run.
        settings: Settings of the recipe that decide the memory, the most important first.

    Raises:
        TrainingError: The block needed more memory than there is.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise TrainingError(
            f"out of memory; lower {' or '.join(settings)}, raise gradient_accumulation_steps by "
            f"as much, or set precision to bf16; {last_checkpoint(run_folder)}"
        ) from None


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that an allocation failed; torch has no class for the CPU's."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return "not enough memory" in text or "can't allocate memory" in text


def _enumeration(names: tuple[str, ...]) -> str:
    """A few names, and how many there are beside them."""
    shown = ", ".join(names[:_MAX_SHOWN_CLIPS])
    num_more = len(names) - _MAX_SHOWN_CLIPS
    return f"{shown} and {num_more} more clips" if num_more > 0 else shown
