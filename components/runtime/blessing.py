"""Whether a model may leave the pipeline: what every stage that publishes asks before it does anything."""

from __future__ import annotations

import json

from components.runtime.artifacts import InputArtifact
from components.runtime.errors import InputError


def reason(blessing: InputArtifact, model_digest: str) -> str:
    """Why the model is blessed, in one line, as evaluate says it.

    Args:
      blessing: what evaluate made: `blessing.json` beside a file `BLESSED` or `NOT_BLESSED`.
      model_digest: `serving.model_digest` of the model that is to be published.

    Raises:
      InputError: the model is not blessed, the blessing is of another one, or there is none.
    """
    try:
        document = json.loads((blessing.path / "blessing.json").read_bytes())
        blessed, why, blessed_digest = document["blessed"], str(document["reason"]), document.get("model_digest")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"blessing: {blessing.path} is no blessing ({error}); run evaluate again") from None
    marks = {name for name in ("BLESSED", "NOT_BLESSED") if (blessing.path / name).exists()}
    if blessed is not True or marks != {"BLESSED"}:
        raise InputError(f"the model is not blessed and was not pushed: {why}")
    if blessed_digest not in (None, model_digest):
        raise InputError("the blessing is of another model and was not used: evaluate the model that is to be pushed")
    return why
