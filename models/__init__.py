"""The models: what a user of the pipeline writes."""
