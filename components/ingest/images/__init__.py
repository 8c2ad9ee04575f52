"""Folders of images, with masks or labels."""
