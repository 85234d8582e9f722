"""Training: one loop and a table of stages. Inference uses nothing of this package."""
