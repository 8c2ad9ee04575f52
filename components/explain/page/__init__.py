"""The page of an explanation, one module for each of its parts."""
