"""The feedback stage: its contract is component.yaml beside this file."""
