"""Shapes, registry, options and presets. Needs no torch."""
