"""Sound sources, by family."""
