"""The quality benchmark of the bundled model `mini`: held-out prompts with known ground truth."""
