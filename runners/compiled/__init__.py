"""What is run: the compiled pipeline, its tasks' op functions, and the images that they start."""
