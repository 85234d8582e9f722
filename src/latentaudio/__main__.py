"""`python -m latentaudio`: the command line, where the installed script is not on the path."""

from .cli.main import main

if __name__ == "__main__":
    main()
