"""Quality of generated audio: metrics against ground truth, benchmark of the bundled model."""
