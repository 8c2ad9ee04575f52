"""Endpoints: makes or finds one, deploys a version, and divides the traffic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.cloud.aiplatform_v1 import types as gca

from components.push_vertex.cloud import Cloud
from components.push_vertex.operations import Operations
from components.push_vertex.registry import Candidate, Version
from components.runtime.errors import InputError
from components.runtime.publish.vertex_options import Endpoint
from components.runtime.stage.progress import report

_NEW = "0"
"""What the API calls the model that a request deploys."""


@dataclass(frozen=True)
class Deployment:
    """A version on an endpoint, and what each deployed model gets of the traffic, in percent."""

    endpoint: str
    deployed_model: str
    traffic: dict[str, int]


def split(current: Mapping[str, int], newcomer: str, percent: int) -> dict[str, int]:
    """Divides the traffic: the newcomer gets its share, the others keep the rest in the proportion that they have.

    Whole percents by largest remainder, so that they add up to 100. What is alone gets everything, unless it is to get
    nothing.

    Args:
      current: percent by deployed model.
      newcomer: its id; what it has now does not count.
      percent: for it, 0 to 100.

    Returns:
      Percent by deployed model, without those that get nothing.
    """
    others = {name: share for name, share in current.items() if name != newcomer and share > 0}
    if not others:
        return {newcomer: 100} if percent else {}
    total, rest = sum(others.values()), 100 - percent
    shares = {name: share * rest // total for name, share in others.items()}
    by_remainder = sorted(others, key=lambda name: (-(others[name] * rest % total), -others[name], name))
    for name in by_remainder[: rest - sum(shares.values())]:
        shares[name] += 1
    return {name: share for name, share in {newcomer: percent, **shares}.items() if share}


def deploy(
    cloud: Cloud, options: Endpoint, version: Version, display_name: str, candidate: Candidate, operations: Operations
) -> Deployment:
    """Puts a version on the endpoint, unless it is there, and divides the traffic as the options say."""
    endpoint = _endpoint(cloud, options.display_name or display_name, operations)
    key = f"{candidate.label}-deploy-{_file_name(endpoint)}-{_file_name(version.name.rpartition('/')[2])}"
    resources = _resources(options)

    def start() -> Any:
        current = dict(_read(cloud, endpoint).traffic_split)
        request = {
            "endpoint": endpoint,
            "deployed_model": {
                "model": version.name,
                "display_name": f"{display_name}-{version.number}"[:128],
                "dedicated_resources": resources,
            },
            "traffic_split": split(current, _NEW, options.traffic_percent),
        }
        return cloud.endpoints.deploy_model(request, **cloud.changing)

    what = f"deploying version {version.number} on {options.machine_type}"
    deployed = operations.once(
        key,
        what,
        start,
        lambda: _deployed(cloud, endpoint, version),
        lambda response: str(gca.DeployModelResponse.deserialize(response).deployed_model.id),
    )
    _tell_of_other_resources(cloud, endpoint, deployed, resources)
    traffic = _divide(cloud, endpoint, deployed, options.traffic_percent)
    if options.undeploy_idle:
        _undeploy_idle(cloud, endpoint, version, deployed, operations)
    return Deployment(endpoint, deployed, traffic)


def _resources(options: Endpoint) -> Any:
    machine: dict[str, Any] = {"machine_type": options.machine_type}
    if options.accelerator_type:
        machine["accelerator_type"] = options.accelerator_type
        machine["accelerator_count"] = options.accelerator_count
    return gca.DedicatedResources(
        machine_spec=machine, min_replica_count=options.min_replicas, max_replica_count=options.max_replicas
    )


def _tell_of_other_resources(cloud: Cloud, endpoint: str, deployed: str, wanted: Any) -> None:
    """What runs is not moved to other machines under the feet of those who use it; the log says so."""
    for each in _read(cloud, endpoint).deployed_models:
        has = each.dedicated_resources
        there = (has.machine_spec.machine_type, has.min_replica_count, has.max_replica_count)
        asked = (wanted.machine_spec.machine_type, wanted.min_replica_count, wanted.max_replica_count)
        if str(each.id) == deployed and there != asked:
            report(f"it is deployed on {there[1]} to {there[2]} {there[0]} and stays there; undeploy it to change that")


def _endpoint(cloud: Cloud, display_name: str, operations: Operations) -> str:
    """Resource name of the endpoint of that name; it is made where there is none."""
    identity = re.sub(r"[^a-z0-9-]+", "-", display_name.lower()).strip("-")[:63].rstrip("-")
    if not re.match("[a-z]", identity):
        identity = f"e-{identity}"[:63].rstrip("-")

    def find() -> str | None:
        request = {"parent": cloud.parent, "filter": f"display_name={_quoted(display_name)}"}
        with cloud.doing("looking for the endpoint"):
            found = list(cloud.endpoints.list_endpoints(request, **cloud.asking))
        names = sorted(each.name for each in found if each.display_name == display_name)
        if len(names) > 1:
            raise InputError(
                f"{cloud.where}: {len(names)} endpoints are called {display_name!r}"
                f" ({', '.join(name.rpartition('/')[2] for name in names)}); rename all but one"
            )
        return names[0] if names else None

    def start() -> Any:
        request = {"parent": cloud.parent, "endpoint": {"display_name": display_name}, "endpoint_id": identity}
        return cloud.endpoints.create_endpoint(request, **cloud.changing)

    return operations.once(
        f"endpoint-{_file_name(cloud.parent)}-{identity}",
        f"making the endpoint {display_name}",
        start,
        find,
        lambda response: str(gca.Endpoint.deserialize(response).name),
    )


def _read(cloud: Cloud, endpoint: str) -> Any:
    with cloud.doing("reading the endpoint"):
        return cloud.endpoints.get_endpoint({"name": endpoint}, **cloud.asking)


def _deployed(cloud: Cloud, endpoint: str, version: Version) -> str | None:
    """Id of the version on the endpoint, if it is there."""
    for each in _read(cloud, endpoint).deployed_models:
        model, _, number = each.model.partition("@")
        # The number of the project may stand where its id was given.
        same = model.split("/")[-1] == version.model.split("/")[-1]
        if same and (each.model_version_id or number) == version.number:
            return str(each.id)
    return None


def _divide(cloud: Cloud, endpoint: str, deployed: str, percent: int) -> dict[str, int]:
    """Gives the version its share where it was deployed already with another."""
    current = {name: share for name, share in dict(_read(cloud, endpoint).traffic_split).items() if share}
    wanted = split(current, deployed, percent)
    if wanted and wanted != current:
        report(f"traffic: {percent} % for {deployed}")
        request = {"endpoint": {"name": endpoint, "traffic_split": wanted}, "update_mask": {"paths": ["traffic_split"]}}
        with cloud.doing("dividing the traffic"):
            cloud.endpoints.update_endpoint(request, **cloud.changing)
        return wanted
    return current


def _undeploy_idle(cloud: Cloud, endpoint: str, version: Version, deployed: str, operations: Operations) -> None:
    """Takes off the versions of this model that get no traffic; other models on the endpoint are not ours to touch."""
    content = _read(cloud, endpoint)
    traffic = dict(content.traffic_split)
    for each in content.deployed_models:
        same = each.model.partition("@")[0].split("/")[-1] == version.model.split("/")[-1]
        identity = str(each.id)
        if not same or identity == deployed or traffic.get(identity):
            continue

        def start(identity: str = identity) -> Any:
            request = {"endpoint": endpoint, "deployed_model_id": identity}
            return cloud.endpoints.undeploy_model(request, **cloud.changing)

        def gone(identity: str = identity) -> bool | None:
            return None if any(str(other.id) == identity for other in _read(cloud, endpoint).deployed_models) else True

        key = f"undeploy-{_file_name(endpoint)}-{_file_name(identity)}"
        operations.once(key, f"undeploying {identity}", start, gone, lambda response: True)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _file_name(resource: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", resource)
