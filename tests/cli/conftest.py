"""Fixtures of the command line's tests."""

import math
import signal
import sys

import pytest

from latentaudio.cli import console
from latentaudio.interrupts import STOP_SIGNALS


@pytest.fixture
def no_progress_lines(monkeypatch):
    """Print no line of progress, however slow the machine is, so that stderr can be compared."""
    monkeypatch.setattr(console, "PROGRESS_INTERVAL_S", math.inf)


@pytest.fixture
def sigint_is_not_ignored():
    """Programs inherit an ignored SIGINT, as of a shell that runs the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def own_handlers():
    """`main()` without words is a program: it sets handlers of signals, which end with the test."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)
