"""Variants of weights in a diffusers folder, such as fp16: chosen by linking them as the only ones.

diffusers reads `model.fp16.safetensors` with variant="fp16", and the plain file of a component that
has no such variant.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ..errors import UsageError

_WEIGHTS = re.compile(
    r"(?P<stem>[^.]+?)(?:\.(?P<variant>[^.]+?))??(?P<shard>-\d+-of-\d+)?"
    r"\.(?P<ending>safetensors|bin)(?P<index>\.index(?:\.(?P<index_variant>[^.]+))?\.json)?"
)
"""A file of weights, such as model.fp16-00001-of-00002.bin, or its index."""


def variants_of(folder: Path) -> list[str]:
    """Return the variants that the folders of a model have, in order of their names."""
    names = set()
    for file in folder.glob("*/*"):
        match = _WEIGHTS.fullmatch(file.name)
        if match is not None:
            names.add(match["variant"] or match["index_variant"] or "")
    return sorted(names - {""})


def link_variant(folder: Path, variant: str | None, target: Path, use_pickles: bool) -> None:
    """Fill a folder with links to the files of one variant, under plain names.

    Args:
        folder: Folder of a model.
        variant: Its variant; None: the plain weights.
        target: The folder to fill.
        use_pickles: Whether .bin files count where .safetensors are missing.

    Raises:
        UsageError: No component has the variant.
    """
    has_variant = False
    for source in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
        subfolder = target if source == folder else target / source.name
        subfolder.mkdir(exist_ok=True)
        weights: dict[str, list[tuple[Path, str]]] = {}
        for file in sorted(source.iterdir()):
            match = _WEIGHTS.fullmatch(file.name)
            if not file.is_file():
                continue
            if match is None:
                _link(file, subfolder / file.name)
            elif use_pickles or match["ending"] == "safetensors":
                plain = file.name
                if not match["shard"]:  # an index names its shards, which keep their names
                    plain = f"{match['stem']}.{match['ending']}"
                    plain += ".index.json" if match["index"] else ""
                own_variant = match["variant"] or match["index_variant"] or ""
                weights.setdefault(own_variant, []).append((file, plain))
        chosen = weights.get(variant or "", [])
        has_variant = has_variant or bool(variant and chosen)
        for file, plain in chosen or weights.get("", []):
            _link(file, subfolder / plain)
    if variant and not has_variant:
        available = ", ".join(variants_of(folder)) or "none"
        raise UsageError(
            f"You are trying to load the model files of the `variant={variant}`, but {folder} has "
            f"no such files; its variants: {available}"
        )


def _link(file: Path, link: Path) -> None:
    """Link a file, or copy it where links are not possible."""
    try:
        link.symlink_to(file.resolve())
    except OSError:
        shutil.copyfile(file, link)
