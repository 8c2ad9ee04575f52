"""The explorer: runs, their comparison, their lineage and what is served, as static files that a browser opens."""
