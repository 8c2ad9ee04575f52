"""The taxi model: what its settings.yaml names."""
