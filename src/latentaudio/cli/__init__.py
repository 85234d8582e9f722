"""The command line: one file per command. Torch is imported by commands, never by --help."""
