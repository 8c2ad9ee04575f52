"""Builds the stages' images."""
