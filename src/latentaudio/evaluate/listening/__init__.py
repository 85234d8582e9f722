"""A blind listening test of several systems in the browser, on this machine only."""
