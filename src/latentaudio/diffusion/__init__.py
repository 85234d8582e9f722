"""Noise schedules, guidance and samplers.

Functions of callables and tensors, independent of networks and prompts.
"""
