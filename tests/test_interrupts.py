"""Ctrl-C and SIGTERM: deferred to the end of a step, and never lost."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from latentaudio.interrupts import STOP_SIGNALS, Terminated, deferred_stops, raise_interrupt


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_makes_a_request_and_the_block_goes_on(number):
    before = signal.getsignal(number)
    with deferred_stops() as stop:
        assert not stop.is_made
        os.kill(os.getpid(), number)
        assert stop.signal_number == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_the_second_signal_stops_at_once(number, error):
    with pytest.raises(error, match="stopped at once") as raised, deferred_stops():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    assert type(raised.value) is error


def test_terminated_is_handled_like_ctrl_c():
    with pytest.raises(KeyboardInterrupt, match="saved"):
        raise_interrupt(signal.SIGTERM, "saved")


def test_other_threads_leave_the_handlers_alone():
    handlers = []

    def work():
        with deferred_stops():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]


LOST_STOP = """
import os, signal, sys
from unittest.mock import patch
signal.signal(signal.SIGINT, signal.default_int_handler)
from latentaudio.__main__ import run
from latentaudio.cli import console, main

class Loses:
    def __del__(self):
        os.kill(os.getpid(), NUMBER)

def command(words, **_):
    if words[0] == "changed":
        try:
            os.kill(os.getpid(), NUMBER)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape") from None
    with console.progress_bar("working", quiet=True) as tick:
        for step in range(9):
            tick(step, 9)
            if step == 3:
                Loses()
    raise AssertionError("it goes on")

with patch.object(main, "app", command):
    run()
"""


@pytest.mark.parametrize("way", ["changed", "lost"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_that_a_library_changes_or_loses_is_a_stop(way, number, code):
    program = LOST_STOP.replace("NUMBER", str(int(number)))
    command = [sys.executable, "-c", program, way]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr == "latentaudio: stopped; finished files are complete\n"
