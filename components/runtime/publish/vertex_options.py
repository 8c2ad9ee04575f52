"""What the settings and the stage push_vertex say about Vertex AI: one definition, checked in both places."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from components.runtime.publish import vertex_accelerators

OUR_LABELS = "millrace_"
_ARTIFACTS_MB = 10_000
"""What Vertex AI takes: the files of a model must not exceed 10 GB together (vertex-ai/docs/general/import-model)."""


def _matching(pattern: str, expected: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


Project = Annotated[
    str,
    _matching(
        r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]",
        "the id of a project: 6 to 30 small letters, digits and hyphens",
    ),
]
Region = Annotated[str, _matching(r"[a-z]+-[a-z]+[0-9]{1,2}", "a region, such as europe-west4")]
Staging = Annotated[
    str, _matching(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^?#]*)?", "a place in Cloud Storage: gs://BUCKET/FOLDER")
]
ModelId = Annotated[
    str,
    _matching(
        r"|[a-z_][a-z0-9_-]{0,62}|[0-9]{1,20}",
        "at most 63 small letters, digits, '_' and '-', a letter first; or the number of a model that is there",
    ),
]
Alias = Annotated[
    str,
    _matching(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]", "letters, digits and '-', a small letter first, no capital last"),
]
LabelKey = Annotated[
    str, _matching(r"[a-z][a-z0-9_-]{0,62}", "small letters, digits, '_' and '-', a letter first, at most 63")
]
LabelValue = Annotated[str, _matching(r"[a-z0-9_-]{0,63}", "small letters, digits, '_' and '-', at most 63")]
DisplayName = Annotated[str, Field(max_length=128)]
Machine = Annotated[str, _matching(r"[a-z][a-z0-9]*-[a-z0-9]+(-[a-z0-9]+)*", "a machine type, such as n1-standard-4")]
Accelerator = Annotated[str, AfterValidator(lambda name: vertex_accelerators.check(name) if name else name)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Container(_Section):
    """What serves the model: without an image Vertex AI's own for TensorFlow.

    Attributes:
      image: in Artifact Registry.
      predict_route: path of predictions, in an image of one's own.
      health_route: path of the health check.
      port: that the server listens on; Vertex AI's default is 8080.
      command: in place of the image's own.
      args: of the command.
    """

    image: str = ""
    predict_route: str = ""
    health_route: str = ""
    port: int = Field(default=0, ge=0, le=65535)
    command: list[str] = []
    args: list[str] = []

    @model_validator(mode="after")
    def _routes_go_with_an_image(self) -> Container:
        if not self.image and self.model_dump(exclude_defaults=True):
            raise ValueError("routes, port, command and args are of an image of your own: name it too")
        return self


class Endpoint(_Section):
    """Where the model answers.

    Attributes:
      display_name: of the endpoint, reused where there is one of that name; the model's name without.
      machine_type: of the machines that serve.
      accelerator_type: as Vertex AI calls it.
      accelerator_count: per machine.
      min_replicas: machines that always run.
      max_replicas: machines at most.
      traffic_percent: what the new version gets; the others keep the rest in proportion.
      undeploy_idle: whether versions of this model that get no traffic are taken off.
    """

    display_name: DisplayName = ""
    machine_type: Machine = "n1-standard-2"
    accelerator_type: Accelerator = ""
    accelerator_count: PositiveInt = 1
    min_replicas: PositiveInt = 1
    max_replicas: PositiveInt = 1
    traffic_percent: int = Field(default=100, ge=0, le=100)
    undeploy_idle: bool = False

    @model_validator(mode="after")
    def _machine_fits(self) -> Endpoint:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas, {self.min_replicas}, is above max_replicas, {self.max_replicas}")
        vertex_accelerators.check_machine(self.machine_type, self.accelerator_type)
        return self


class PushVertex(_Section):
    """Where on Vertex AI a blessed model goes.

    Attributes:
      project: its id.
      region: of the model and the endpoint, and of the bucket.
      staging: folder in Cloud Storage that the model's files are copied to first.
      display_name: of the model; the pipeline's name without.
      model_id: last part of the model's resource name; made of the display name without.
      aliases: of versions, which the pushed one takes over.
      labels: more labels of the version.
      container: what serves it.
      endpoint: where it answers; without, it is registered only.
      size_limit_mb: of the model's files together, in 10^6 bytes.
      wait_minutes: for one operation of Vertex AI.
      request_seconds: for one request, with what is tried again.
      api_endpoint: address of the API where it is not the region's own, such as one of Private Service Connect.
    """

    project: Project
    region: Region
    staging: Staging
    display_name: DisplayName = ""
    model_id: ModelId = ""
    aliases: list[Alias] = ["default", "blessed"]
    labels: dict[LabelKey, LabelValue] = {}
    container: Container = Container()
    endpoint: Endpoint | None = None
    size_limit_mb: PositiveInt = _ARTIFACTS_MB
    wait_minutes: PositiveFloat = 60.0
    request_seconds: PositiveFloat = 60.0
    api_endpoint: str = ""

    @model_validator(mode="after")
    def _labels_are_not_ours(self) -> PushVertex:
        for key in self.labels:
            if key.startswith(OUR_LABELS):
                raise ValueError(f"labels: {key}: labels under {OUR_LABELS} are our own; use another prefix")
        return self
