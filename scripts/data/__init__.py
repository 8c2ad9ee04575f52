"""Data for the models and the tests: made, or fetched with checksums."""
