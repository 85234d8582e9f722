"""Sound sources: effects and speech, a module per family with a table `CLASSES`."""
