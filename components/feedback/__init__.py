"""`feedback`: labels that came later become training data, where the volume is."""
