"""The section `watch` of a model's settings: how a version in service is looked at, and what follows."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, PositiveInt

from runners.settings.sections import Section


def _length(text: str) -> str:
    if re.fullmatch(r"[1-9][0-9]{0,5}[smhdw]", text):
        return text
    raise ValueError("expected a whole number and s, m, h, d or w, such as 1d")


def _address(text: str) -> str:
    if re.fullmatch(r"(https?://[^/?#@\s]+/?)?", text):
        return text
    raise ValueError("expected an address such as http://ml-pipeline.kubeflow:8888")


class Positive(Section):
    """Which labels are positive: those above a number, or above that number times a feature.

    Attributes:
      of: the feature; the number alone where empty.
    """

    above: float = Field(allow_inf_nan=False)
    of: str = ""


Metric = Literal["auc", "accuracy", "log_loss", "mae", "rmse"]
Distance = Annotated[float, Field(ge=0, le=1)]


class Watch(Section, BaseModel):
    """How `./millrace watch` looks at what a model in service is asked and answers, see docs/watch.md.

    Attributes:
      every: length of a window.
      on_drift: whether a threshold that is passed starts a run besides.
      spans: what `ingest.spans` is in that run; as the settings say without.
      warm_start: whether that run starts from the model in service.
      kubeflow: address of Kubeflow's API, as pods reach it, for that run on such a cluster.
    """

    every: Annotated[str, AfterValidator(_length)] = "1d"
    windows: int = Field(default=7, ge=1, le=1000)
    threshold: Distance = 0.1
    thresholds: dict[str, Distance] = {}
    worse_by: dict[Metric, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {
        "auc": 0.05,
        "accuracy": 0.05,
        "log_loss": 0.2,
        "mae": 0.2,
        "rmse": 0.2,
    }
    positive: Positive | None = None
    slices: list[str] = []
    min_rows: PositiveInt = 300
    min_labels: int = Field(default=100, ge=2)
    on_drift: Literal["tell", "retrain"] = "tell"
    spans: PositiveInt | None = None
    warm_start: bool = True
    kubeflow: Annotated[str, AfterValidator(_address)] = ""
