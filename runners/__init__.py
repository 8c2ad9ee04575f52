"""Runs compiled pipelines, and tells what came of them."""
