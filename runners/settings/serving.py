"""The section `serving` of a model's settings: how `./millrace serve` serves it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt, StringConstraints

from runners.settings.sections import Section

LOGS = "predictions"
"""Folder in the pipeline root, for the logs of its models, each under the model's name."""

_Name = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^,]+$")]


class PredictionLog(Section):
    """What is asked and answered, kept.

    Attributes:
      folder: of the logs of all models; in the pipeline root without.
      share: of the requests that are logged.
      redact: features and outputs that are left out.
      megabytes: on disk; the oldest go first.
      images: whether encoded images are logged too, besides what is measured of them.
    """

    folder: str = ""
    share: float = Field(default=0.1, gt=0, le=1)
    redact: Annotated[list[_Name], Field(default_factory=list)]
    megabytes: PositiveInt = 1000
    images: bool = False


class Serving(Section):
    """How the model is served here."""

    log: PredictionLog | None = None
