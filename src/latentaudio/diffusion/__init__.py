"""Noise schedules, guidance and samplers. Knows callables and tensors; refuses to know networks, prompts and sound."""
