"""A new model for images: how they lie, what is in them, and what its files say of that."""
