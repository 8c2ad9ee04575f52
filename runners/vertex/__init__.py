"""The target Vertex AI Pipelines."""
