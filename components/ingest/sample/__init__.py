"""The page with a sample of the raw data."""
