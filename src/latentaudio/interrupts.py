"""Stopping: Ctrl-C and SIGTERM end a program at a place where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception, so that files are closed and temporary ones deleted."""


class StopRequest:
    """Whether the user or the system has asked a long computation to stop.

    Attributes:
        signal_number: The signal that arrived; None: none yet.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None

    @property
    def is_made(self) -> bool:
        """Whether a signal has arrived."""
        return self.signal_number is not None

    def handle(self, signal_number: int, _frame: FrameType | None) -> None:
        """Remember the first signal; stop at once at the second."""
        if self.is_made:
            raise_interrupt(signal_number, "stopped at once; the last steps are lost")
        self.signal_number = signal_number


def raise_interrupt(signal_number: int, message: str = "") -> NoReturn:
    """Raise `KeyboardInterrupt`, or `Terminated` for SIGTERM.

    Args:
        signal_number: The signal.
        message: A line for the user.
    """
    raise (Terminated if signal_number == signal.SIGTERM else KeyboardInterrupt)(message)


@contextmanager
def deferred_stops() -> Iterator[StopRequest]:
    """Let a block end by itself after Ctrl-C or SIGTERM: it asks the request that it gets.

    Python delivers signals to the main thread only; in another thread no request is ever made.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.signal(number, request.handle) for number in STOP_SIGNALS}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def raise_on_sigterm() -> None:
    """Turn SIGTERM into `Terminated`, for the whole program."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, _frame: raise_interrupt(number))


def ignore_stops() -> None:
    """Ignore Ctrl-C and SIGTERM from now on: the program ends by itself."""
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
