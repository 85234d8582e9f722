"""`python -m latentaudio` and the installed script: the command line.

It imports the command line under a guard: Ctrl-C or SIGTERM meanwhile is one line, too.
"""

import signal
import sys

from .interrupts import Terminated, ignore_stops, raise_on_signals, received_signal


def run() -> None:
    """Run the command line and exit with its code."""
    try:
        raise_on_signals()
        from .cli.main import main

        code = main()
        ignore_stops()  # the work is done, and Python ends
    except KeyboardInterrupt as stop:
        code = _report_stop(isinstance(stop, Terminated))
    except Exception:
        number = received_signal()
        if number is None:
            raise
        code = _report_stop(number == signal.SIGTERM)  # an import has changed the exception
    sys.exit(code)


def _report_stop(is_sigterm: bool) -> int:
    """Print a line and return the exit code."""
    sys.stderr.write("latentaudio: stopped\n")
    return 143 if is_sigterm else 130


if __name__ == "__main__":
    run()
