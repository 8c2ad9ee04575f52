"""Push to Vertex AI: Google's own libraries against the services on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.runtime.publish import vertex_accelerators
from components.runtime.publish.vertex_options import Container, PushVertex
from components.runtime.stage.artifacts import content_digest
from tests.components.push.serving_support import tree
from tests.components.push_vertex.model_server import PARENT, VertexModels
from tests.components.push_vertex.vertex_push import DEFAULTS, Push
from tests.support import ROOT

MODEL = f"{PARENT}/models/taxi"
ENDPOINT = {"machine_type": "n1-standard-4", "accelerator_type": "NVIDIA_TESLA_T4", "max_replicas": 3}


def aliases(server: VertexModels, model: str = "taxi") -> dict[str, list[str]]:
    return {each["versionId"]: each["versionAliases"] for each in server.versions(model)}


# --- the registry


def test_the_first_push_makes_the_model(server: VertexModels, push: Push) -> None:
    pushed = push(labels={"team": "rides"})
    assert pushed.exit_code == 0, pushed.error
    digest = content_digest(push.model("one"))
    [version] = server.versions()
    assert version["displayName"] == "taxi"
    assert version["labels"] == {
        "team": "rides",
        "millrace_pipeline": "taxi",
        "millrace_digest": digest.removeprefix("sha256:")[:63],
    }
    assert version["versionDescription"] == f"{digest}: all 2 thresholds hold"
    assert version["containerSpec"] == {"imageUri": "europe-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"}
    assert version["versionAliases"] == ["blessed", "default"]
    assert pushed.output == {"version": "1", "endpoint_name": ""}
    assert pushed.metadata["resourceName"] == f"{MODEL}@1"
    assert (pushed.metadata["created"], pushed.metadata["model_digest"]) == (True, digest)
    assert server.endpoints == {}


def test_the_bucket_holds_each_file_once_and_saved_model_comes_last(server: VertexModels, push: Push) -> None:
    pushed = push()
    prefix = pushed.metadata["staging"].removeprefix("gs://staging/")
    assert prefix == f"models/taxi/{content_digest(push.model('one')).removeprefix('sha256:')}"
    stored = {name.removeprefix(f"{prefix}/"): each[0] for (_, name), each in server.storage.objects.items()}
    assert stored == tree(push.model("one") / "Format-Serving")
    written = [name for name in server.storage.written if name.startswith(prefix)]
    assert len(written) == len(set(written)) == 4
    assert written[-1] == f"{prefix}/saved_model.pb"


def test_a_file_of_more_than_8_mb_goes_by_a_resumable_upload(server: VertexModels, push: Push) -> None:
    push.extra_bytes = 9_000_000
    assert push().exit_code == 0
    assert [line.split("/storage")[0] for line in server.requests].count("PUT /upload") == 1
    [data] = [each[0] for (_, name), each in server.storage.objects.items() if ".data-" in name]
    assert len(data) == 9_000_300


def test_another_model_is_the_next_version_and_takes_the_aliases(server: VertexModels, push: Push) -> None:
    assert push("one").output["version"] == "1"
    assert push("two").output["version"] == "2"
    assert aliases(server) == {"1": [], "2": ["blessed", "default"]}


def test_the_same_model_twice_is_one_version_and_gets_its_aliases_back(server: VertexModels, push: Push) -> None:
    push("one")
    push("two")
    written = len(server.storage.written)
    again = push("one")
    assert (again.output["version"], again.metadata["created"]) == ("1", False)
    assert again.metadata["moved"] == ["blessed", "default"]
    assert push("one").metadata["moved"] == []
    assert len(server.storage.written) == written
    assert server.begun == ["upload", "upload"]
    assert aliases(server) == {"1": ["blessed", "default"], "2": []}


def test_a_version_that_was_found_better_keeps_its_aliases(server: VertexModels, push: Push) -> None:
    """Two runs that overlap: what the later one published was blessed against the model of this one."""
    push.baseline = ""
    assert push("one").exit_code == 0
    push.baseline = "one"
    assert push("two").exit_code == 0
    assert server.versions()[1]["labels"]["millrace_baseline"] == server.versions()[0]["labels"]["millrace_digest"]
    push.baseline = ""
    late = push("one")
    assert late.exit_code == 75
    assert late.error.startswith("version 2 of taxi: another run has published a model that was found better than this")
    assert aliases(server) == {"1": [], "2": ["blessed", "default"]}
    # Compared with that one, it may come back.
    push.baseline = "two"
    assert push("one").exit_code == 0
    assert aliases(server) == {"1": ["blessed", "default"], "2": []}


def test_a_version_whose_description_names_another_model_does_not_count(server: VertexModels, push: Push) -> None:
    push("one")
    server.versions()[0]["versionDescription"] = "something else"
    assert push("one").output["version"] == "2"


def test_an_existing_model_by_its_number_gets_a_version(server: VertexModels, push: Push) -> None:
    server.models[f"{PARENT}/models/12345"] = []
    missing = push(model_id="999")
    assert (missing.exit_code, "has no model 999; give the number" in missing.error) == (65, True)
    server.models[f"{PARENT}/models/12345"] = [{"name": "x", "versionId": "1", "versionAliases": ["default"]}]
    assert push(model_id="12345").output["version"] == "2"


def test_an_own_container_and_name(server: VertexModels, push: Push) -> None:
    container = {"image": "europe-docker.pkg.dev/p/r/serving:1", "predict_route": "/v1/models/taxi:predict"}
    container |= {"health_route": "/v1/models/taxi", "port": 8501.0, "args": ["--rest_api_port=8501"]}
    assert push(container=container, display_name="Taxi tips (Chicago)").exit_code == 0
    [version] = server.versions("taxi-tips-chicago")
    assert version["displayName"] == "Taxi tips (Chicago)"
    assert version["containerSpec"] == {
        "imageUri": "europe-docker.pkg.dev/p/r/serving:1",
        "predictRoute": "/v1/models/taxi:predict",
        "healthRoute": "/v1/models/taxi",
        "ports": [{"containerPort": 8501}],
        "args": ["--rest_api_port=8501"],
    }


def test_the_run_is_a_label_as_far_as_labels_go(server: VertexModels, push: Push) -> None:
    push(run="Taxi.20261120/213455")
    assert server.versions()[0]["labels"]["millrace_run"] == "taxi-20261120-213455"


def test_images_come_from_the_nearest_repository() -> None:
    from components.push_vertex.registry import prebuilt_image

    regions = {"europe-west4": "europe", "me-west1": "europe", "us-east1": "us", "southamerica-east1": "us"}
    for region, place in (regions | {"asia-east1": "asia", "australia-southeast1": "asia"}).items():
        assert prebuilt_image(region, gpu=True) == f"{place}-docker.pkg.dev/vertex-ai/prediction/tf2-gpu.2-15:latest"


# --- endpoints


def test_an_endpoint_is_made_once_and_the_versions_share_its_traffic(server: VertexModels, push: Push) -> None:
    first = push("one", endpoint=ENDPOINT | {"display_name": "Rides!"})
    assert first.exit_code == 0, first.error
    assert first.output["endpoint_name"] == f"{PARENT}/endpoints/rides"
    [endpoint] = server.endpoints.values()
    [deployed] = endpoint["deployedModels"]
    assert deployed["dedicatedResources"] == {
        "machineSpec": {"machineType": "n1-standard-4", "acceleratorType": 5, "acceleratorCount": 1},
        "minReplicaCount": 1,
        "maxReplicaCount": 3,
    }
    assert endpoint["trafficSplit"] == {deployed["id"]: 100}
    assert server.versions()[0]["containerSpec"]["imageUri"].endswith("tf2-gpu.2-15:latest")
    second = push("two", endpoint={"display_name": "Rides!", "traffic_percent": 20.0})
    assert len(endpoint["deployedModels"]) == 2
    assert sorted(endpoint["trafficSplit"].values()) == [20, 80]
    assert second.metadata["traffic"] == endpoint["trafficSplit"]
    assert endpoint["trafficSplit"][second.metadata["deployed_model"]] == 20
    assert server.begun == ["upload", "endpoint", "deploy", "upload", "deploy"]


def test_a_version_that_is_deployed_already_is_not_deployed_again(server: VertexModels, push: Push) -> None:
    push("one", endpoint={"traffic_percent": 100})
    push("two", endpoint={"traffic_percent": 10})
    begun = list(server.begun)
    patched = sum(line.startswith("PATCH") for line in server.requests)
    push("two", endpoint={"traffic_percent": 10})
    assert sum(line.startswith("PATCH") for line in server.requests) == patched
    more = push("two", endpoint={"traffic_percent": 50})
    assert server.begun == begun
    assert more.metadata["traffic"][more.metadata["deployed_model"]] == 50
    [endpoint] = server.endpoints.values()
    assert sorted(endpoint["trafficSplit"].values()) == [50, 50]


def test_a_deployed_version_stays_on_its_machines(
    server: VertexModels, push: Push, capsys: pytest.CaptureFixture[str]
) -> None:
    push(endpoint={"machine_type": "n1-standard-2"})
    push(endpoint={"machine_type": "n1-standard-8", "max_replicas": 2})
    assert "it is deployed on 1 to 1 n1-standard-2 and stays there; undeploy it to change that" in (
        capsys.readouterr().out
    )
    assert server.begun == ["upload", "endpoint", "deploy"]


def test_versions_without_traffic_are_taken_off_where_asked(server: VertexModels, push: Push) -> None:
    push("one", endpoint={"traffic_percent": 100})
    [endpoint] = server.endpoints.values()
    foreign = {"id": "7", "model": f"{PARENT}/models/another", "modelVersionId": "1"}
    endpoint["deployedModels"].append(foreign)
    push("two", endpoint={"traffic_percent": 100})
    assert len(endpoint["deployedModels"]) == 3
    push("three", endpoint={"traffic_percent": 100, "undeploy_idle": True})
    assert [each["modelVersionId"] for each in endpoint["deployedModels"] if each is not foreign] == ["3"]
    assert foreign in endpoint["deployedModels"]


def test_two_endpoints_of_a_name_are_not_guessed_between(server: VertexModels, push: Push) -> None:
    for number in ("1", "2"):
        name = f"{PARENT}/endpoints/{number}"
        server.endpoints[name] = {"name": name, "displayName": "taxi", "deployedModels": [], "trafficSplit": {}}
    failed = push(endpoint={"traffic_percent": 100})
    assert failed.exit_code == 65
    assert "2 endpoints are called 'taxi' (1, 2); rename all but one" in failed.error


@pytest.mark.parametrize(
    ("current", "percent", "expected"),
    [
        ({}, 20, {"new": 100}),
        ({}, 0, {}),
        ({"a": 0}, 20, {"new": 100}),
        ({"a": 100}, 20, {"new": 20, "a": 80}),
        ({"a": 100}, 100, {"new": 100}),
        ({"a": 100}, 0, {"a": 100}),
        ({"a": 50, "b": 30, "c": 20}, 50, {"new": 50, "a": 25, "b": 15, "c": 10}),
        ({"a": 34, "b": 33, "c": 33}, 50, {"new": 50, "a": 17, "b": 17, "c": 16}),
        ({"a": 98, "b": 1, "c": 1}, 99, {"new": 99, "a": 1}),
        ({"new": 20, "a": 53, "b": 27}, 20, {"new": 20, "a": 53, "b": 27}),
        ({"new": 20, "a": 60, "b": 20}, 60, {"new": 60, "a": 30, "b": 10}),
    ],
)
def test_traffic(current: dict[str, int], percent: int, expected: dict[str, int]) -> None:
    from components.push_vertex.endpoints import split

    assert split(current, "new", percent) == expected


def test_traffic_adds_up_and_keeps_the_order() -> None:
    from components.push_vertex.endpoints import split

    for first in range(1, 99):
        for second in range(1, 100 - first):
            current = {"a": first, "b": second, "c": 100 - first - second}
            for percent in (0, 1, 37, 99):
                divided = split(current, "new", percent)
                assert sum(divided.values()) == 100
                for one in current:
                    exact = current[one] * (100 - percent) / 100
                    assert abs(divided.get(one, 0) - exact) < 1


# --- what is wrong with the input: nothing is asked of anybody


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"project": "P"}, "project: expected the id of a project: 6 to 30 small letters, digits and hyphens, not 'P'"),
        ({"region": "europe"}, "region: expected a region, such as europe-west4, not 'europe'"),
        ({"region": "europe-west99", "api_endpoint": ""}, "no region 'europe-west99', did you mean 'europe-west9'?"),
        ({"staging": "/data"}, "staging: expected a place in Cloud Storage: gs://BUCKET/FOLDER, not '/data'"),
        ({"aliases": ["Blessed"]}, "aliases.0: expected letters, digits and '-', a small letter first"),
        ({"labels": {"millrace_run": "x"}}, "labels under millrace_ are our own"),
        ({"container": {"port": 8501}}, "container: routes, port, command and args are of an image of your own"),
        ({"endpoint": {"machine_type": "big"}}, "endpoint.machine_type: expected a machine type"),
        ({"endpoint": {"accelerator_type": "T4"}}, "no such accelerator, did you mean 'NVIDIA_TESLA_T4'?, not 'T4'"),
        ({"endpoint": {"accelerator_type": "nvidia.com/gpu"}}, "Vertex AI has no such accelerator"),
        ({"endpoint": ENDPOINT | {"machine_type": "n2-standard-4"}}, "takes no accelerator; NVIDIA_TESLA_T4 is for n1"),
        ({"endpoint": {"machine_type": "g2-standard-8"}}, "has NVIDIA_L4 and no other: accelerator_type: NVIDIA_L4"),
        ({"endpoint": {"accelerator_type": "NVIDIA_L4"}}, "not NVIDIA_L4, which is for g2-standard"),
        ({"endpoint": {"min_replicas": 2}}, "min_replicas, 2, is above max_replicas, 1"),
        ({"endpoint": {"traffic_percent": 101}}, "endpoint.traffic_percent: Input should be less than or equal to 100"),
        ({"endpoint": {"machine": "n1-standard-4"}}, "endpoint.machine: Extra inputs are not permitted"),
    ],
)
def test_options_that_are_wrong(server: VertexModels, push: Push, options: dict[str, Any], message: str) -> None:
    failed = push(**options)
    assert failed.exit_code == 65
    assert message in failed.error
    assert server.requests == []


def test_an_unblessed_model_is_nobodys_business(server: VertexModels, push: Push) -> None:
    push.blessed = False
    pushed = push()
    assert pushed.exit_code == 0, pushed.error
    assert (pushed.metadata["pushed"], pushed.metadata["reason"]) == (False, "auc 0.71 < 0.85 (overall)")
    assert pushed.output == {"version": "", "endpoint_name": ""}
    assert server.requests == []


def test_a_model_above_the_limit_is_not_uploaded(server: VertexModels, push: Push) -> None:
    push.extra_bytes = 2_000_000
    failed = push(size_limit_mb=2)
    assert failed.exit_code == 65
    assert "the model has 2.0 MB, more than the limit of 2 MB" in failed.error
    assert server.requests == []
    assert push(size_limit_mb=3).exit_code == 0


def test_the_defaults_of_the_settings_are_those_of_the_stage() -> None:
    spec = yaml.safe_load((ROOT / "components" / "push_vertex" / "component.yaml").read_text())
    stage = {port["name"]: port["default"] for port in spec["inputs"] if "default" in port}
    ours = PushVertex(**{name: DEFAULTS[name] for name in ("project", "region", "staging")}).model_dump()
    assert json.loads(stage.pop("endpoint")) == {}
    assert json.loads(stage.pop("container")) == Container().model_dump(exclude_defaults=True)
    assert stage.pop("run") == ""
    for name, text in stage.items():
        assert (text if isinstance(ours[name], str) else json.loads(text)) == ours[name], name


def test_accelerators_are_those_of_the_library() -> None:
    from google.cloud.aiplatform_v1.types import AcceleratorType

    ended = {"ACCELERATOR_TYPE_UNSPECIFIED", "NVIDIA_TESLA_K80"}
    assert set(vertex_accelerators.ACCELERATORS) == set(AcceleratorType.__members__) - ended


def test_no_credentials(
    push: Push, server: VertexModels, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    failed = push()
    assert failed.exit_code == 65
    assert failed.error.startswith("no Google credentials: name a secret with a key file under")
    # What google-auth says of it by itself would stand before that line.
    assert caplog.messages == []
    assert server.requests == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "was not found; give a key file of a service account"),
        ("", "is not a valid json file; give a key file"),
        ("[]", "it is no key file; give a key file"),
        ("{}", "does not have a valid type. Type is None"),
        ('{"type": "service_account", "private_key": "secret words"}', "Failed to load service account credentials"),
    ],
)
def test_a_key_file_that_is_none(
    push: Push,
    server: VertexModels,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: str | None,
    message: str,
) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    failed = push()
    assert failed.exit_code == 65
    assert failed.error.startswith(f"GOOGLE_APPLICATION_CREDENTIALS={file}: ")
    assert message in failed.error
    assert "secret words" not in failed.error
    assert server.requests == []
