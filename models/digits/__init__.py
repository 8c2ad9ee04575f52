"""The digits model: what its settings.yaml names."""
