"""A person's yes before a model is published."""
