"""Why a model answers as it does: what is known of it here is a function from rows to numbers, and nothing else."""
