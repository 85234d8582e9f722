"""Checkpoints of a run: everything exact resumption needs, written whole or not at all.

Knows folders `checkpoints/step_00000500`. Refuses to know what the tensors mean. Reads tensors only (`weights_only=True`).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ..errors import DataError, WeightsError, said
from ..fileio import replacing

_KEEP = 2


def save(run: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` updates; a kill at any moment leaves the previous checkpoints untouched."""
    folder = run / "checkpoints"
    temporary = folder / f".writing_{os.getpid()}"
    final = folder / f"step_{step:08d}"
    for left in folder.glob(".writing_*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        with (temporary / "state.pt").open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
    except (OSError, RuntimeError) as problem:  # torch reports a full disk as a RuntimeError
        shutil.rmtree(temporary, ignore_errors=True)
        raise DataError(
            f"cannot write a checkpoint to {folder} ({said(problem)}); free some space and resume"
        ) from None
    for old in _steps(run)[:-_KEEP]:
        shutil.rmtree(folder / f"step_{old:08d}")


def exists(run: Path) -> bool:
    """Whether the run has a checkpoint."""
    return bool(_steps(run))


def latest(run: Path) -> tuple[int, dict[str, Any]] | None:
    """(updates done, state) of the newest checkpoint, or None when the run has none yet."""
    steps = _steps(run)
    if not steps:
        return None
    path = run / "checkpoints" / f"step_{steps[-1]:08d}" / "state.pt"
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as problem:
        raise WeightsError(
            f"{path} is damaged ({said(problem)}); delete its folder to resume from the one before"
        ) from None
    return steps[-1], state


def _steps(run: Path) -> list[int]:
    return sorted(int(p.name.removeprefix("step_")) for p in (run / "checkpoints").glob("step_*"))


def trim_log(path: Path, steps: int) -> None:
    """Drop the lines a killed run wrote after its last checkpoint, so that the log reads as one uninterrupted run."""
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= steps]
        with replacing(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
