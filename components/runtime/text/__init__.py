"""Text from people and for people: YAML, JSON, what nobody would see, and what nobody may see."""
