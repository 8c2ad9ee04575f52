"""The pipeline root: the folder of runs and artifacts on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from components.runtime.errors import InputError
from components.runtime.text.redaction import redact

ROOT = "pipeline_root"
ROOT_VARIABLE = "MILLRACE_ROOT"


def checked(folder: str, option: str) -> Path:
    """A folder as the pipeline root.

    Args:
      folder: what a person gave.
      option: what they wrote before it, as `--root `, for messages.

    Raises:
      InputError: it can be none.
    """
    if not folder.strip():
        raise InputError(f"{option.strip(' =')} is empty (a variable that is not set?); name a folder, or leave it out")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", folder):
        # (Only a run brings what it needs of a bucket: docs/object-storage.md.)
        shared = f", which run --bucket {redact(folder)} shares" if folder.startswith(("s3://", "gs://")) else ""
        raise InputError(
            f"{option}{redact(folder)}: runs on this machine keep what they make in one of its folders; name a folder"
            f"{shared}"
        )
    root = Path(folder)
    if root.exists() and not root.is_dir():
        raise InputError(f"{option}{root}: a file lies there; name a folder")
    try:
        os.fsencode(root.absolute()).decode("utf-8")
    except UnicodeDecodeError:
        shown = os.fsencode(root.absolute()).decode("utf-8", "backslashreplace")
        raise InputError(
            f"{option}{shown}: TensorFlow and Arrow open no path that is not UTF-8; name another folder"
        ) from None
    return root
