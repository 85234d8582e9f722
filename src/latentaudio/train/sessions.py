"""What each command of a run computed with: the last bits of a training depend on it."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..config.parsing import parse_json, read_bounded
from ..fileio import atomic_write

SESSIONS_FILE = "sessions.json"
"""File of a run with one entry for each command that trained it."""


@dataclass(frozen=True)
class Session:
    """What a command computes with.

    Attributes:
        step: Steps that were done before it.
        processes: Number of processes.
        threads: Threads of each process on the CPU.
        cpu: Instructions that torch uses on the CPU, such as "AVX512".
        device: Kind of the device.
        torch: Version of torch.
    """

    step: int
    processes: int
    threads: int
    cpu: str
    device: str
    torch: str


def this_session(step: int, num_processes: int, device: torch.device) -> Session:
    """Return what this command computes with.

    Args:
        step: Steps that were done before it.
        num_processes: Number of processes.
        device: Device of the run.
    """
    return Session(
        step=step,
        processes=num_processes,
        threads=torch.get_num_threads(),
        cpu=torch.backends.cpu.get_cpu_capability(),
        device=device.type,
        torch=str(torch.__version__),
    )


def record_session(run_folder: Path, session: Session) -> None:
    """Add a command to the record of a run, and warn if it computes in another way than before.

    Args:
        run_folder: Folder of the run.
        session: This command.
    """
    entries = [entry for entry in read_sessions(run_folder) if entry["step"] < session.step]
    if entries:
        before = entries[-1]
        changes = []
        for name, value in asdict(session).items():
            if name != "step" and before.get(name) != value:
                changes.append(f"{name} {before.get(name)} before, {value} now")
        if changes:
            warnings.warn(
                f"{run_folder} goes on in another way ({'; '.join(changes)}): the batches stay "
                "the same, the last bits of the weights will differ",
                stacklevel=2,
            )
    with atomic_write(run_folder / SESSIONS_FILE) as temporary:
        temporary.write_text(json.dumps([*entries, asdict(session)], indent=1), encoding="utf-8")


def read_sessions(run_folder: Path) -> list[dict[str, Any]]:
    """Return the recorded commands of a run; none if the file is missing or damaged.

    Args:
        run_folder: Folder of the run.
    """
    try:
        entries = parse_json(read_bounded(run_folder / SESSIONS_FILE))
    except (OSError, ValueError):
        return []
    if not isinstance(entries, list):
        return []
    return [e for e in entries if isinstance(e, dict) and isinstance(e.get("step"), int)]


def had_several_processes(run_folder: Path) -> bool:
    """Return whether several processes have trained a run before.

    Args:
        run_folder: Folder of the run.
    """
    return any(entry.get("processes", 1) != 1 for entry in read_sessions(run_folder))
