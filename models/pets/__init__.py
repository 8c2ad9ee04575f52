"""The pets model: what its settings.yaml names."""
