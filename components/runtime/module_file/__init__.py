"""Code that users write: loading it, what it is called with, and what it may call."""
