"""The blessed model in the formats of devices, browsers and other runtimes, each held to the model's own gates."""
