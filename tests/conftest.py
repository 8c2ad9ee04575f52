"""Every test process starts as a stage's process does."""

from __future__ import annotations

import os

# As in runners/environments.py, before anything imports TensorFlow.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
# Figures are drawn without a display.
os.environ.setdefault("MPLBACKEND", "Agg")
