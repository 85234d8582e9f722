"""Stopping: Ctrl-C and SIGTERM end a program at a place where nothing is lost."""

from __future__ import annotations

import signal
import sys
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

    @property
    def is_sigterm(self) -> bool:
        """Whether the signal is SIGTERM."""
        return self.signal_number == signal.SIGTERM

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


_RECEIVED = StopRequest()
"""The first signal that the handlers of this program have got."""


def raise_on_signals() -> None:
    """Turn SIGTERM into `Terminated`, and remember it and Ctrl-C, for the whole program.

    Library code can turn the exception into another, or lose it: see `received_signal`.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    _RECEIVED.signal_number = None
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in the background of a shell
            signal.signal(number, _remember_and_raise)
    sys.unraisablehook = _print_unraisable


def received_signal() -> int | None:
    """Return the signal that should have stopped this program, or None."""
    return _RECEIVED.signal_number


def raise_if_received() -> None:
    """Stop now if a signal has come whose exception was lost, for example in a destructor."""
    if _RECEIVED.signal_number is not None:
        raise_interrupt(_RECEIVED.signal_number)


def _remember_and_raise(signal_number: int, _frame: FrameType | None) -> None:
    _RECEIVED.signal_number = signal_number
    raise_interrupt(signal_number)


def _print_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Print an exception that nobody can catch, unless it is the stop of a signal."""
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)


def ignore_stops() -> None:
    """Ignore Ctrl-C and SIGTERM from now on: the program ends by itself."""
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
