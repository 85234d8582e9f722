"""Weights on disk and in memory: model folders, strict loading."""
