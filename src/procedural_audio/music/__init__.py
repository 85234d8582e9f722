"""Instruments and what they play."""
