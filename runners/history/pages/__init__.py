"""Self-contained pages of runs, for a browser and for colleagues."""
