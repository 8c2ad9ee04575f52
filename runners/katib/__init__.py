"""Katib: the search for hyperparameters of a model as an Experiment."""
