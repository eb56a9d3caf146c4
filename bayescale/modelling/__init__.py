"""From a law and a model file to a PyMC model."""
