"""The target Argo: compiled pipelines as Workflows, and the clusters that run them."""
