"""The query stage: its contract is component.yaml beside this file."""
