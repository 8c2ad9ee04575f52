"""CSV files, whatever they are written in."""
