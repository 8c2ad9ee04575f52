"""Measuring models and judging them by an EvalConfig: evaluate does it to a model, export to each of its exports."""
