"""Things a person runs now and then; each is `python -m scripts.<name>`."""
