"""Metrics: one file and one row each."""
