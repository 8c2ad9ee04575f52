"""What validate found, as `verdict.json` beside its anomalies: read before anything that takes time to import.

The file is JSON: `{"valid": false, "summary": "train: fare: ..."}`.
"""

from __future__ import annotations

import json

from components.runtime.errors import InputError
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.text.json_text import parse

VERDICT_FILE = "verdict.json"


def write(anomalies: OutputArtifact, *, valid: bool, summary: str) -> None:
    """Writes the verdict into the anomalies.

    Args:
      anomalies: what validate makes.
      valid: whether the pipeline goes on with this data.
      summary: the anomalies on one line.
    """
    verdict = {"valid": valid, "summary": summary}
    (anomalies.directory() / VERDICT_FILE).write_text(json.dumps(verdict, indent=1) + "\n")


def check(anomalies: InputArtifact) -> None:
    """Refuses data that validate found invalid.

    Raises:
      InputError: the data is invalid, or there is no verdict.
    """
    try:
        verdict = parse((anomalies.path / VERDICT_FILE).read_bytes())
        valid, summary = verdict["valid"], str(verdict["summary"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"anomalies: {anomalies.path} has no verdict ({error}); run validate again") from None
    if valid is not True:
        raise InputError(
            f"the data did not pass validate: {summary}; its report has them: correct the data or the schema"
        )
