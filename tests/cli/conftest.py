"""Fixtures of the command line's tests."""

import math

import pytest

from latentaudio.cli import console


@pytest.fixture
def no_progress_lines(monkeypatch):
    """Print no line of progress, however slow the machine is, so that stderr can be compared."""
    monkeypatch.setattr(console, "PROGRESS_INTERVAL_S", math.inf)
