"""Warnings of the libraries, collected for the request that causes them, in each thread apart."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MAX_NOTICES = 20
_LOCAL = threading.local()


def install() -> None:
    """Let warnings of this process go to `collect`, and to stderr where nothing collects."""
    shown_before = warnings.showwarning

    def show(message: Warning | str, *details: Any, **settings: Any) -> None:
        notices = getattr(_LOCAL, "notices", None)
        if notices is None:
            shown_before(message, *details, **settings)
        elif len(notices) < MAX_NOTICES and str(message) not in notices:
            notices.append(str(message))

    warnings.showwarning = show
    warnings.simplefilter("always", UserWarning)


@contextmanager
def collect(notices: list[str]) -> Iterator[None]:
    """Add the warnings of a block in this thread to a list.

    Args:
        notices: The list.
    """
    before = getattr(_LOCAL, "notices", None)
    _LOCAL.notices = notices
    try:
        yield
    finally:
        _LOCAL.notices = before
