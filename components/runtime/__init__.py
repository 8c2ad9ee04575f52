"""What every stage shares. Imports nothing heavy: it works in all environments."""

VERSION = "0.1.0"
