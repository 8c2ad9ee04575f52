"""Who gives the new version its share of the traffic: a Gateway API route by weights, or KServe by a percentage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from components.runtime.errors import InputError
from components.runtime.stage.kubernetes import Kubernetes, place_of

_ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{name}"
_SLICES = (
    "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    "?labelSelector=kubernetes.io%2Fservice-name%3D{name}"
)
_SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices/{name}"
_PODS = "/api/v1/namespaces/{namespace}/pods?labelSelector=serving.knative.dev%2Frevision%3D{name}"
_ALL = 100

STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True)
class Pod:
    """A pod that serves.

    Attributes:
      port: of its REST API.
    """

    namespace: str
    name: str
    port: int


class Traffic(ABC):
    """What shares the requests between two servers."""

    where: str
    """What it is called in messages."""

    numbers_versions: bool
    """Whether servers behind it call a version by its number."""

    @abstractmethod
    def begin(self, version: int) -> None:
        """Has the new version where requests can be sent to."""

    @abstractmethod
    def give(self, percent: int) -> None:
        """Gives so much of the traffic to the new version, and the rest to the stable one.

        Raises:
          InputError: what shares the traffic is not there, or may not be changed.
          TransientError: Kubernetes does not answer.
        """

    @abstractmethod
    def pods(self, side: str) -> list[Pod]:
        """The pods that are ready on a side, STABLE or CANARY."""

    @abstractmethod
    def settle(self, *, promoted: bool) -> None:
        """All traffic to the version that stays: the new one where it is promoted."""


class Route(Traffic):
    """An HTTPRoute with two services behind it: https://gateway-api.sigs.k8s.io/guides/traffic-splitting/.

    Once the new version is promoted the stable server serves it too, so that all traffic goes to that one again.
    """

    numbers_versions = True

    def __init__(self, cluster: Kubernetes, route: str, stable: str, canary: str) -> None:
        """Asks for nothing yet.

        Args:
          cluster: where it is.
          route: its name, with its namespace before a `/` where that is another than the pod's.
          stable: the service of the server that holds the stable version.
          canary: the service of the server that has the newest one.
        """
        self._cluster = cluster
        self._namespace, self._name = place_of(cluster, route, "canary.route")
        self._services = {STABLE: stable, CANARY: canary}
        self.where = f"the HTTPRoute {self._namespace}/{self._name}"
        self._path = _ROUTES.format(namespace=quote(self._namespace), name=quote(self._name))

    def begin(self, version: int) -> None:
        """The server behind the second service has loaded it by itself."""

    def give(self, percent: int) -> None:
        """Sets the weights in each rule of the route that names both services."""
        resource = self._cluster.get(self._path)
        wanted = {self._services[STABLE]: _ALL - percent, self._services[CANARY]: percent}
        changes: list[dict[str, Any]] = []
        for rule, each in enumerate(resource.get("spec", {}).get("rules", [])):
            named = [str(reference["name"]) for reference in each.get("backendRefs", [])]
            for place, name in enumerate(named if set(wanted) <= set(named) else []):
                if name in wanted:
                    path = f"/spec/rules/{rule}/backendRefs/{place}"
                    # Somebody may write the route anew meanwhile.
                    changes.append({"op": "test", "path": f"{path}/name", "value": name})
                    changes.append({"op": "add", "path": f"{path}/weight", "value": wanted[name]})
        if not changes:
            raise InputError(
                f"{self.where}: no rule has the services {' and '.join(wanted)} behind it; add both to one"
            )
        self._cluster.patch(self._path, changes)

    def pods(self, side: str) -> list[Pod]:
        """Those behind a service, by its EndpointSlices."""
        path = _SLICES.format(namespace=quote(self._namespace), name=quote(self._services[side]))
        found = []
        for each in self._cluster.get(path).get("items", []):
            ports = {str(port.get("name")): int(port["port"]) for port in each.get("ports") or []}
            if "rest" not in ports:
                continue
            for endpoint in each.get("endpoints") or []:
                target = endpoint.get("targetRef") or {}
                if endpoint.get("conditions", {}).get("ready") and target.get("kind") == "Pod":
                    found.append(Pod(self._namespace, str(target["name"]), ports["rest"]))
        return found

    def settle(self, *, promoted: bool) -> None:
        """The stable server has the version that stays, whichever that is."""
        self.give(0)


class InferenceService(Traffic):
    """KServe's own sharing, of a service on Knative.

    https://kserve.github.io/website/docs/model-serving/predictive-inference/rollout-strategies/canary
    """

    # It mounts the folder of one version.
    numbers_versions = False

    def __init__(self, cluster: Kubernetes, service: str, model_uri: str, port: int) -> None:
        """Asks for nothing yet.

        Args:
          cluster: where it is.
          service: its name, with its namespace before a `/` where that is another than the pod's.
          model_uri: where the service finds a version, with `{version}` for its number.
          port: of REST in its pods.
        """
        self._cluster = cluster
        self._namespace, self._name = place_of(cluster, service, "canary.inference_service")
        if "{version}" not in model_uri:
            raise InputError(
                f"canary.model_uri: {model_uri!r} has no {{version}}; such as pvc://millrace/serving/taxi/{{version}}"
            )
        self._model_uri, self._port = model_uri, port
        self._before = ""
        self.where = f"the InferenceService {self._namespace}/{self._name}"
        self._path = _SERVICES.format(namespace=quote(self._namespace), name=quote(self._name))

    def begin(self, version: int) -> None:
        """Makes a revision with the new version, without traffic."""
        resource = self._cluster.get(self._path)
        model = resource.get("spec", {}).get("predictor", {}).get("model") or {}
        self._before = str(model.get("storageUri") or "")
        if not self._before:
            raise InputError(f"{self.where}: spec.predictor.model.storageUri is not set; it is what canary changes")
        uri = self._model_uri.replace("{version}", str(version))
        self._change({"canaryTrafficPercent": 0, "model": {"storageUri": uri}})

    def give(self, percent: int) -> None:
        """Sets `canaryTrafficPercent`."""
        self._change({"canaryTrafficPercent": percent})

    def _change(self, predictor: Mapping[str, Any]) -> None:
        self._cluster.merge(self._path, {"spec": {"predictor": dict(predictor)}})

    def pods(self, side: str) -> list[Pod]:
        """Those of a revision: the latest is the new version's, the one that was rolled out before the stable one's."""
        component = self._cluster.get(self._path).get("status", {}).get("components", {}).get("predictor", {})
        revision = component.get("latestCreatedRevision" if side == CANARY else "latestRolledoutRevision")
        if not revision:
            return []
        found = self._cluster.get(_PODS.format(namespace=quote(self._namespace), name=quote(str(revision)))).get(
            "items", []
        )
        return [Pod(self._namespace, str(each["metadata"]["name"]), self._port) for each in found if _is_ready(each)]

    def settle(self, *, promoted: bool) -> None:
        """All traffic to the latest revision, which is that of the earlier version again where it is not promoted."""
        if promoted:
            self._change({"canaryTrafficPercent": None})
        elif self._before:
            # Traffic leaves the new version first; only then is there a revision of the earlier one again.
            self._change({"canaryTrafficPercent": 0})
            self._change({"canaryTrafficPercent": None, "model": {"storageUri": self._before}})


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
