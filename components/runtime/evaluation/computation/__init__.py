"""Measuring: models over batches or over Beam, and the numbers that came of it."""
