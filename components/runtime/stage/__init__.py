"""Inside a stage's process: its executor, its artifacts, its progress and its pages."""
