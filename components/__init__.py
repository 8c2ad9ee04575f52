"""The stages of the pipeline: one folder is one stage, one image and one component spec."""
