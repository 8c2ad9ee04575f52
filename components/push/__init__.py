"""The push stage: its contract is component.yaml beside this file."""
