"""The Model Registry: finds the version that holds a model, or uploads one, and gives it its aliases."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud.aiplatform_v1.types import UploadModelResponse

from components.push_vertex.cloud import Cloud
from components.push_vertex.operations import Operations
from components.runtime.errors import InputError
from components.runtime.publish.blessing import Blessing
from components.runtime.publish.vertex_options import OUR_LABELS, Container, PushVertex
from components.runtime.stage.progress import report

DIGEST_LABEL = f"{OUR_LABELS}digest"
BASELINE_LABEL = f"{OUR_LABELS}baseline"
_LABEL_LENGTH = 63
_IMAGE = "{place}-docker.pkg.dev/vertex-ai/prediction/tf2-{kind}.2-15:latest"
"""Vertex AI's newest image for TensorFlow; only the tag `latest` is supported (predictions/pre-built-containers)."""
_EUROPE, _ASIA = ("europe", "me", "africa"), ("asia", "australia")


@dataclass(frozen=True)
class Candidate:
    """A model that is to be registered.

    Attributes:
      digest: of its content, `sha256:<hex>`.
      uri: where its files are copied to.
      blessed: why, and against which model.
      pipeline: that made it.
      run: that pushes it; empty where it has no name.
    """

    digest: str
    uri: str
    blessed: Blessing
    pipeline: str
    run: str

    @property
    def label(self) -> str:
        """The digest, as far as a label has room."""
        return _digest_label(self.digest)


@dataclass(frozen=True)
class Version:
    """A version in the registry."""

    model: str
    number: str
    aliases: frozenset[str] = field(default_factory=frozenset)

    @property
    def name(self) -> str:
        """Resource name of the version."""
        return f"{self.model}@{self.number}"


@dataclass(frozen=True)
class Registry:
    """One model of the registry, by its resource name."""

    cloud: Cloud
    options: PushVertex
    model: str
    display_name: str

    def find(self, candidate: Candidate) -> Version | None:
        """The version that holds the model, the newest where there are several."""
        # The label is not whole, and people change labels: what the version says of itself must agree.
        same = [
            each
            for each in self._labelled(DIGEST_LABEL, candidate.label)
            if candidate.digest in each.version_description
        ]
        if not same:
            return None
        newest = max(same, key=lambda each: int(each.version_id))
        return Version(self.model, str(newest.version_id), frozenset(newest.version_aliases))

    def check_not_overtaken(self, candidate: Candidate) -> None:
        """Refuses to take the aliases from a version that was found better than the candidate.

        Raises:
          TransientError: there is one.
        """
        for better in self._labelled(BASELINE_LABEL, candidate.label):
            if set(self.options.aliases) & set(better.version_aliases):
                published = str(better.version_description).partition(": ")[0]
                where = f"version {better.version_id} of {self.model.rpartition('/')[2]}"
                candidate.blessed.check_not_overtaken(where, candidate.digest, published, candidate.digest)

    def _labelled(self, label: str, value: str) -> list[Any]:
        """The versions with a label."""
        request = {"name": self.model, "filter": f'labels.{label}="{value}"'}
        with self.cloud.doing("looking for the version"):
            try:
                return list(self.cloud.models.list_model_versions(request, **self.cloud.asking))
            except NotFound:
                return []

    def upload(self, candidate: Candidate, operations: Operations) -> Version:
        """Makes a version, the first one with the model itself; waits until it is there."""
        exists = self._exists()
        if not exists and self.model.rpartition("/")[2].isdecimal():
            raise InputError(
                f"model_id: {self.cloud.where} has no model {self.model.rpartition('/')[2]}; give the number of a model"
                " that is there, or a name for a new one"
            )

        def start() -> Any:
            place = {"parent_model": self.model} if exists else {"model_id": self.model.rpartition("/")[2]}
            request = {"parent": self.cloud.parent, "model": self._content(candidate), **place}
            return self.cloud.models.upload_model(request, **self.cloud.changing)

        def read(response: bytes) -> Version:
            # (It names the project by its number.)
            return Version(self.model, str(UploadModelResponse.deserialize(response).model_version_id))

        key = f"{candidate.label}-upload-{_file_name(self.model)}"
        return operations.once(key, "registering the model", start, lambda: self.find(candidate), read)

    def take_aliases(self, version: Version) -> list[str]:
        """Gives the version the aliases that it lacks, and returns these: whichever version had them loses them."""
        lacking = sorted(set(self.options.aliases) - version.aliases)
        if lacking:
            report(f"version {version.number} becomes {', '.join(lacking)}")
            with self.cloud.doing("giving the version its aliases"):
                self.cloud.models.merge_version_aliases(
                    {"name": version.name, "version_aliases": lacking}, **self.cloud.changing
                )
        return lacking

    def _exists(self) -> bool:
        with self.cloud.doing("looking for the model"):
            try:
                self.cloud.models.get_model({"name": self.model}, **self.cloud.asking)
            except NotFound:
                return False
        return True

    def _content(self, candidate: Candidate) -> dict[str, Any]:
        ours = {"digest": candidate.label, "pipeline": candidate.pipeline, "run": candidate.run}
        ours["baseline"] = _digest_label(candidate.blessed.baseline_digest or "")
        labels = {f"{OUR_LABELS}{key}": _label(value) for key, value in ours.items() if value}
        return {
            "display_name": self.display_name,
            "version_description": f"{candidate.digest}: {candidate.blessed.reason}"[:1000],
            "version_aliases": sorted(set(self.options.aliases)),
            "labels": {**self.options.labels, **labels},
            "artifact_uri": candidate.uri,
            "container_spec": _container(self.options),
        }


def model_name(cloud: Cloud, options: PushVertex, display_name: str) -> str:
    """Resource name of the model: a name that is fixed before it is made cannot be made twice."""
    identity = options.model_id or re.sub(r"[^a-z0-9_-]+", "-", display_name.lower()).strip("-")[:63]
    if not re.match(r"[a-z_]|[0-9]+$", identity):
        identity = f"m-{identity}"[:63]
    return f"{cloud.parent}/models/{identity}"


def prebuilt_image(region: str, gpu: bool) -> str:
    """Vertex AI's own image for TensorFlow, from the repository nearest to a region."""
    continent = region.split("-")[0]
    place = "europe" if continent in _EUROPE else "asia" if continent in _ASIA else "us"
    return _IMAGE.format(place=place, kind="gpu" if gpu else "cpu")


def _container(options: PushVertex) -> dict[str, Any]:
    given: Container = options.container
    gpu = bool(options.endpoint and options.endpoint.accelerator_type.startswith("NVIDIA"))
    content: dict[str, Any] = {"image_uri": given.image or prebuilt_image(options.region, gpu)}
    for field_name in ("predict_route", "health_route", "command", "args"):
        if value := getattr(given, field_name):
            content[field_name] = value
    if given.port:
        content["ports"] = [{"container_port": given.port}]
    return content


def _digest_label(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_LABEL_LENGTH]


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:_LABEL_LENGTH]


def _file_name(resource: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", resource)
