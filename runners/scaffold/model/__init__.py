"""A new model's folder: what is in the data, what that makes of each column, and the files that say so."""
