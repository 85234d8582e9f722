"""The benchmark of the embedded model."""
