"""The model_card stage: its contract is component.yaml beside this file."""
