"""`python -m latentaudio`: the command line, for when the installed script is not on the path."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
