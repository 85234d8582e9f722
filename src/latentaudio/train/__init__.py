"""Training: one loop, stages as data. Nothing in here runs at inference."""
