"""The bulk_infer stage: its contract is component.yaml beside this file."""
