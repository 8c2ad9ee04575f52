"""What came of runs: their records, lineage and comparisons."""
