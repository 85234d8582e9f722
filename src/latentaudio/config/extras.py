"""The command that installs an extra of this package, for the way in which it was installed."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .parsing import parse_json

PACKAGE = "latentaudio"
_DIRECT_URL = "direct_url.json"  # PEP 610: how an installation that came from a folder is recorded
_PROJECT_FILE = "pyproject.toml"
_CONSTRAINTS_FILE = "constraints.txt"


def install_command(extra: str) -> str:
    """Return the command that adds an extra, such as `pip install -e '/work/latentaudio[serve]'`.

    Args:
        extra: One of the optional dependencies of `pyproject.toml`.
    """
    folder, is_editable = _installed_from()
    if folder is None:
        return f"pip install '{PACKAGE}[{extra}]'"
    constraints = folder / _CONSTRAINTS_FILE
    words = ["pip install"]
    if constraints.is_file():
        words.append(f"-c '{constraints}'")
    if is_editable:
        words.append("-e")
    return " ".join([*words, f"'{folder}[{extra}]'"])


def _installed_from() -> tuple[Path | None, bool]:
    """Return the folder of the source if the package came from one, and whether it is editable."""
    text = None
    try:
        text = importlib.metadata.distribution(PACKAGE).read_text(_DIRECT_URL)
    except importlib.metadata.PackageNotFoundError:  # it runs from its source
        root = Path(__file__).resolve().parents[3]
        if (root / _PROJECT_FILE).is_file():
            return root, True
    record = parse_json(text) if text else {}
    url = urlsplit(str(record.get("url", "")))
    folder = Path(unquote(url.path))
    if url.scheme != "file" or not (folder / _PROJECT_FILE).is_file():
        return None, False
    return folder, bool(record.get("dir_info", {}).get("editable"))
