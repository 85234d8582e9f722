"""Doors through which other programs use a model."""
