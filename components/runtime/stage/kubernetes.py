"""Asks the Kubernetes API: as the pod's own account, or through a `kubectl proxy` that somebody has started."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from components.runtime.errors import InputError, TransientError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_INSIDE = "https://kubernetes.default.svc"
_TIMEOUT = 30.0
_MERGE = "application/merge-patch+json"
_JSON = "application/json-patch+json"
_NOT_FOUND = 404
_CONFLICT = 409
_PASSING = (408, _CONFLICT, 429)
"""What is answered otherwise when it is asked again: too late, too early, too often."""
_TEMPORARY = 500


class MissingError(InputError):
    """A resource is not there."""


class ThereAlreadyError(InputError):
    """A resource of the same name is there."""


@dataclass(frozen=True)
class Asker:
    """Who asks the API, for errors.

    Attributes:
      does: what the stage does there, such as `canary shares traffic on Kubernetes`.
      setting: that has the address of a proxy; empty where it asks from a pod only.
      role: the folder whose manifest has the role that the stage needs.
    """

    does: str
    setting: str
    role: str


class Kubernetes:
    """A cluster, as its API tells of it and changes it."""

    def __init__(self, asker: Asker, address: str = "", account: Path = ACCOUNT) -> None:
        """Connects to nothing yet.

        Args:
          asker: who asks.
          address: of a proxy of the API, such as http://127.0.0.1:8001; this pod's own cluster without.
          account: the folder where the pod's token, certificate and namespace lie.

        Raises:
          InputError: there is no address, and this is no pod that may ask the API.
        """
        self._asker = asker
        self.namespace = ""
        self._token = account / "token"
        self._is_inside = not address
        if self._is_inside:
            if not self._token.is_file():
                proxy = f", or start `kubectl proxy` and name it: {asker.setting}: http://127.0.0.1:8001"
                raise InputError(
                    f"{asker.does}, and this is no pod with a service account; run it there"
                    f"{proxy if asker.setting else ''}"
                )
            self.namespace = (account / "namespace").read_text().strip()
        self.address = address.rstrip("/") or _INSIDE
        self._certificate = str(account / "ca.crt") if self._is_inside else None
        self._pool = self.pool()

    def pool(self) -> urllib3.PoolManager:
        """What asks the API as who runs this, and what lies behind it: `pod` has the addresses."""
        timeout = urllib3.Timeout(_TIMEOUT)
        return urllib3.PoolManager(
            maxsize=16, retries=False, timeout=timeout, headers=self._account(), ca_certs=self._certificate
        )

    def _account(self) -> dict[str, str]:
        """The header that says who asks; read each time, for the token of a pod is another one every hour."""
        return {"Authorization": f"Bearer {self._token.read_text().strip()}"} if self._is_inside else {}

    def get(self, path: str) -> dict[str, Any]:
        """A resource, or a list of them.

        Raises:
          MissingError: it is not there.
          InputError: the account may not see it.
          TransientError: the API does not answer.
        """
        return self._asked("GET", path)

    def create(self, path: str, resource: dict[str, Any]) -> dict[str, Any]:
        """Creates a resource.

        Args:
          path: of the list that it will be in.
          resource: with its name.

        Raises:
          ThereAlreadyError: one of that name is there.
          InputError: the account may not, or Kubernetes does not take it.
          TransientError: the API does not answer.
        """
        return self._asked("POST", path, resource, "application/json")

    def merge(self, path: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Changes a resource by a JSON merge patch (RFC 7386): what is None goes.

        Raises:
          InputError: as of `get`.
          TransientError: the API does not answer.
        """
        return self._asked("PATCH", path, changes, _MERGE)

    def patch(self, path: str, changes: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Changes a resource by a JSON patch (RFC 6902).

        Raises:
          InputError: as of `get`.
          TransientError: the API does not answer, or somebody else has changed it meanwhile.
        """
        return self._asked("PATCH", path, list(changes), _JSON)

    def delete(self, path: str) -> None:
        """Removes a resource, and what belongs to it soon after; one that is not there is as good as removed.

        Raises:
          InputError: the account may not.
          TransientError: the API does not answer.
        """
        with contextlib.suppress(MissingError):
            self._asked("DELETE", path)

    def pod(self, namespace: str, name: str, port: int) -> str:
        """The address of a port of a pod, behind the API."""
        return f"{self.address}/api/v1/namespaces/{namespace}/pods/http:{name}:{port}/proxy"

    def text(self, address: str) -> str:
        """What lies at an address of `pod`.

        Raises:
          TransientError: nothing answers there.
        """
        return self._raw("GET", address).decode("utf-8", "replace")

    def _asked(self, method: str, path: str, body: Any = None, kind: str = "") -> dict[str, Any]:
        content = self._raw(method, f"{self.address}{path}", body, kind)
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise InputError(f"{self.address}: answers, but not as Kubernetes does; check {self._asker.setting}")
        return found

    def _raw(self, method: str, address: str, body: Any = None, kind: str = "") -> bytes:
        headers = self._account() | ({"Content-Type": kind} if kind else {})
        content = None if body is None else json.dumps(body).encode()
        place = address.removeprefix(self.address)
        try:
            answer = self._pool.request(method, address, body=content, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(
                f"Kubernetes at {self.address}: no answer ({type(error).__name__}); try again"
            ) from None
        if answer.status < 400:
            return bytes(answer.data)
        said = _message(answer.data)
        if answer.status == _CONFLICT and method == "POST":
            raise ThereAlreadyError(f"Kubernetes, {method} {place}: {said}")
        passes = answer.status in _PASSING or answer.status >= _TEMPORARY
        if passes or "test failed" in said:
            raise TransientError(f"Kubernetes, {method} {place}: {said} ({answer.status}); try again")
        # (A webhook that does not take what it says answers with 403 too.)
        lacks_rights = answer.status in (401, 403) and "admission webhook" not in said
        hint = f"; {self._asker.role} has the role that the stage needs" if lacks_rights else ""
        refused = MissingError if answer.status == _NOT_FOUND else InputError
        raise refused(f"Kubernetes, {method} {place}: {said} ({answer.status}){hint}")


def place_of(cluster: Kubernetes, named: str, what: str) -> tuple[str, str]:
    """Namespace and name of a resource.

    Args:
      cluster: whose pod's namespace it is where none is named.
      named: NAMESPACE/NAME, or the name.
      what: the setting, for the error.

    Raises:
      InputError: it does not say where it is.
    """
    namespace, _, name = named.rpartition("/")
    if not name or not (namespace or cluster.namespace):
        raise InputError(f"{what}: {named!r} does not say where it is; write NAMESPACE/NAME")
    return namespace or cluster.namespace, name


def _message(content: bytes) -> str:
    try:
        return " ".join(str(json.loads(content)["message"]).split())
    except (ValueError, KeyError, TypeError):
        return " ".join(content[:300].decode("utf-8", "replace").split()) or "no reason given"
