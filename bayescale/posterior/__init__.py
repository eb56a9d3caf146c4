"""Sampling, the fit, and draws of what it predicts."""
