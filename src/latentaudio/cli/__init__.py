"""The command line: one thin file per verb. Torch is imported inside a command, never by --help."""
