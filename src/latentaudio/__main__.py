"""`python -m latentaudio` and the installed script: the command line.

It imports the command line under a guard: Ctrl-C meanwhile is one line, too.
"""

import sys


def run() -> None:
    """Run the command line and exit with its code."""
    try:
        from .cli.main import main

        code = main()
    except KeyboardInterrupt:
        sys.stderr.write("latentaudio: stopped\n")
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    run()
