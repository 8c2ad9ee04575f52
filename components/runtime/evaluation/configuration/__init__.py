"""What an evaluation was asked for: its EvalConfig, read and held against the model and the schema."""
