"""MNIST through the files of the digits model: what its settings.yaml names."""
