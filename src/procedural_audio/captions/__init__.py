"""Captions of rendered sounds."""
