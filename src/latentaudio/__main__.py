"""`python -m latentaudio` and the installed script: the command line.

It imports the command line under a guard: Ctrl-C or SIGTERM meanwhile is one line, too.
"""

import sys

from .interrupts import Terminated, ignore_stops, raise_on_sigterm


def run() -> None:
    """Run the command line and exit with its code."""
    try:
        raise_on_sigterm()
        from .cli.main import main

        code = main()
        ignore_stops()  # the work is done, and Python ends
    except KeyboardInterrupt as stop:
        sys.stderr.write("latentaudio: stopped\n")
        code = 143 if isinstance(stop, Terminated) else 130
    sys.exit(code)


if __name__ == "__main__":
    run()
