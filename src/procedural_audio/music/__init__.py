"""Music: composition of phrases, instruments, drums, and the classes of the family "music"."""
