"""Ctrl-C and SIGTERM: deferred to the end of a step, and never lost."""

import os
import signal
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
