"""Whether the model is blessed: the thresholds of the EvalConfig, held against what was measured."""
