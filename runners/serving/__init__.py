"""Serving what was pushed, here, and asking it."""
