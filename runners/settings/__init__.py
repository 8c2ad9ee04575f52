"""What was asked for: a model's settings and the parameters of a run, read and checked."""
