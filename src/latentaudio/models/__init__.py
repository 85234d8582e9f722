"""Networks and nothing else: tensors in, tensors out.

Refuses to know files, devices, prompts or the names of checkpoints.
"""
