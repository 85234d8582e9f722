"""Checkpoints of a run: all state that an exact resume needs.

A checkpoint is a folder `checkpoints/step_00000500` with `state.pt`. It is written under another
name and then renamed, so a kill never leaves half of one. Only tensors are read
(`weights_only=True`), never pickled code.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..config.parsing import parse_json
from ..errors import DataError, WeightsError, first_line
from ..fileio import atomic_write

_NUM_KEPT = 2  # the one before stays, in case the newest is damaged
_STEP_PREFIX = "step_"
_STEP_NUMBER = re.compile("[0-9]{8,12}")
_TEMPORARY_PREFIX = ".writing_"


def save(run_folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write a checkpoint and remove the oldest.

    Args:
        run_folder: Folder of the run.
        step: Number of steps done.
        state: State of every trainable.

    Raises:
        DataError: The checkpoint cannot be written. Earlier checkpoints stay.
    """
    folder = run_folder / "checkpoints"
    temporary = folder / f"{_TEMPORARY_PREFIX}{os.getpid()}"
    final = _step_folder(run_folder, step)
    for stale in folder.glob(f"{_TEMPORARY_PREFIX}*"):  # of a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        with (temporary / "state.pt").open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        shutil.rmtree(temporary, ignore_errors=True)
        raise DataError(
            f"cannot write a checkpoint to {folder} ({first_line(error)}); "
            "free some space and resume"
        ) from None
    for old in _saved_steps(run_folder)[:-_NUM_KEPT]:
        shutil.rmtree(_step_folder(run_folder, old))


def exists(run_folder: Path) -> bool:
    """Return whether the run has a checkpoint.

    Args:
        run_folder: Folder of the run.
    """
    return bool(_saved_steps(run_folder))


def latest_step(run_folder: Path) -> int | None:
    """Return the number of steps of the newest checkpoint, or None if there is none.

    Args:
        run_folder: Folder of the run.
    """
    steps = _saved_steps(run_folder)
    return steps[-1] if steps else None


def load_latest(run_folder: Path) -> tuple[int, dict[str, Any]] | None:
    """Return (steps done, state) of the newest checkpoint, or None if there is none.

    Args:
        run_folder: Folder of the run.

    Raises:
        WeightsError: The checkpoint is damaged.
    """
    steps = _saved_steps(run_folder)
    if not steps:
        return None
    with damage_reported(run_folder, steps[-1]):
        path = _state_file(run_folder, steps[-1])
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return steps[-1], state


@contextmanager
def damage_reported(run_folder: Path, step: int) -> Iterator[None]:
    """Turn every error of the block, which reads a checkpoint, into one of a damaged file.

    Args:
        run_folder: Folder of the run.
        step: Number of steps of the checkpoint.

    Raises:
        WeightsError: The block raised an exception.
    """
    try:
        yield
    except Exception as error:  # torch raises errors of many types for damaged values
        raise WeightsError(
            f"{_state_file(run_folder, step)} is damaged ({first_line(error)}); "
            "delete its folder to resume from the one before"
        ) from None


def trim_log(path: Path, step: int) -> None:
    """Remove the lines of a log that come after a checkpoint.

    A killed run may have logged steps that are repeated after the resume.

    Args:
        path: The log, one JSON object per line.
        step: Number of steps of the checkpoint.
    """
    if not path.is_file():
        return
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            is_before = parse_json(line)["step"] <= step
        except (ValueError, TypeError, KeyError):  # half written, or damaged
            continue
        if is_before:
            lines.append(f"{line}\n")
    with atomic_write(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def _state_file(run_folder: Path, step: int) -> Path:
    return _step_folder(run_folder, step) / "state.pt"


def _step_folder(run_folder: Path, step: int) -> Path:
    return run_folder / "checkpoints" / f"{_STEP_PREFIX}{step:08d}"


def _saved_steps(run_folder: Path) -> list[int]:
    """Return the steps of all checkpoints, the oldest first."""
    folders = (run_folder / "checkpoints").glob(f"{_STEP_PREFIX}*")
    numbers = [folder.name.removeprefix(_STEP_PREFIX) for folder in folders]
    return sorted(int(number) for number in numbers if _STEP_NUMBER.fullmatch(number))
