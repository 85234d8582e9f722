"""The folder in which data sets leave what is worth keeping: checks, indices, copies of shards.

Everything in it is computed again if it is deleted.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

CACHE_VARIABLE = "LATENTAUDIO_CACHE"
"""Environment variable with another folder."""


def cache_folder() -> Path:
    """Return the folder: $LATENTAUDIO_CACHE, or latentaudio in the user's folder of caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    user_caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user_caches).expanduser() / "latentaudio"


def file_key(path: Path) -> str:
    """Return a hash of a file's place, size and times: it changes if the file does.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    state = path.stat()
    return text_key(f"{path.absolute()} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}")


def text_key(text: str) -> str:
    """Return a hash of a text, which can be the name of a file."""
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()
