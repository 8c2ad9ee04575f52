"""The pull stage: its contract is component.yaml beside this file."""
