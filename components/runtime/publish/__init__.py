"""What the stages that publish a model share: the blessing, the serving directory, Vertex AI's options."""
