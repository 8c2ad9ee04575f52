"""The consumer complaints model: what its settings.yaml names, and that of complaints_product."""
