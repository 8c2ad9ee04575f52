"""`retrain`: begins a training on the cluster where a version in service has drifted."""
