"""The target Kubeflow Pipelines: a server's runs, their state, and what they left."""
