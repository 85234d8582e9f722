"""Convert a model from one layout into another, bit for bit, with its tokenizers and configs.

Tensors pass one component at a time. The target appears only when it is complete.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError

from ..errors import DataError
from ..fileio import atomic_directory, atomic_write
from .layouts import LAYOUTS, LayoutName, ModelSource, Progress


def convert(
    model: ModelSource, target: Path, layout: LayoutName, progress: Progress | None = None
) -> None:
    """Write a model in another layout.

    Args:
        model: The model.
        target: A new folder or, for layout "original", a new .ckpt or .pth file. The folders of
            its tokenizers are written beside that file.
        layout: A key of `LAYOUTS`.
        progress: Called after every component.

    Raises:
        DataError: The target exists or cannot be written.
        UsageError: The layout cannot hold the model, or the target has the wrong ending.
    """
    row = LAYOUTS[layout]
    if target.exists():
        raise DataError(f"{target} exists already; choose another name")
    row.check_target(target)
    row.file.check_storable(model.config)
    atomic_target = atomic_directory if row.is_folder else atomic_write
    try:
        with atomic_target(target) as temporary:
            row.file.write(model, temporary, progress)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"cannot write {target} ({error}); choose another place or free some space"
        ) from None
