"""Begins a run on Kubeflow Pipelines, by its API from a pod of its own.

API: kubeflow/pipelines, backend/api/v2beta1. Its token is where kfp's client looks for it in a pod
(ServiceAccountTokenVolumeCredentials); a server of one user asks for none.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from components.retrain.begun import Begun
from components.runtime.errors import InputError, TransientError

_TOKEN = ("KF_PIPELINES_SA_TOKEN_PATH", "/var/run/secrets/kubeflow/pipelines/token")
_API = "/apis/v2beta1"
_TIMEOUT = 30.0
_PAGE = 100
_NOT_FOUND = 404
_STATES = {"SUCCEEDED": "done", "SKIPPED": "done", "FAILED": "failed", "CANCELED": "failed"}
_RIGHTS = (401, 403)
_TEMPORARY = 500
_DESCRIPTION = re.compile(r"begun by the watch run (\S+) for version ([0-9]+) on (.+): ([0-9a-f]{64})")
"""Of a run that a look has begun: the note of it, for whoever finds the run and no note."""


class Kubeflow:
    """The pipelines of a server."""

    def __init__(self, template: str, address: str, own_run: str) -> None:
        """Connects to nothing yet.

        Args:
          template: name of a pipeline on the server.
          address: of the API.
          own_run: id of the run that this is a task of.
        """
        self._template, self._address, self._own = template, address.rstrip("/"), own_run
        token = Path(os.environ.get(_TOKEN[0], _TOKEN[1]))
        self._headers = {"Authorization": f"Bearer {token.read_text().strip()}"} if token.is_file() else {}
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(_TIMEOUT))

    def state(self, run: str) -> str:
        """How a run is: running, done, failed, or gone."""
        found = self._asked("GET", f"/runs/{run}", missing=True)
        return _STATES.get(str(found.get("state")), "running") if found else "gone"

    def begin(self, wanted: Begun, parameters: Mapping[str, str]) -> Begun:
        """Begins a run of the newest version, in the experiment and as the account of this one.

        Args:
          wanted: the run, without its id.
          parameters: given as far as the pipeline has them.

        Returns:
          The run of that name, with its id: another one, where there was one.

        Raises:
          InputError: there is no such pipeline, or the account may not.
          TransientError: the server does not answer.
        """
        own = self._asked("GET", f"/runs/{self._own}")
        where = {"experiment_id": own["experiment_id"]} if own.get("experiment_id") else {}
        newest = {"sort_by": "created_at desc", "page_size": _PAGE} | where
        # (Kubeflow takes a name any number of times. One of this look is there where the answer to an attempt before
        # this one was lost, and is among the newest then.)
        for each in self._asked("GET", f"/runs?{urlencode(newest)}").get("runs") or []:
            told = _DESCRIPTION.fullmatch(str(each.get("description") or ""))
            if told and each.get("display_name") == wanted.run:
                return Begun(wanted.run, str(each["run_id"]), int(told[2]), told[4], told[3], told[1])
        version = self._version()
        known = _parameters(version)
        config = {"parameters": {key: value for key, value in parameters.items() if key in known}}
        if root := (own.get("runtime_config") or {}).get("pipeline_root"):
            config["pipeline_root"] = root
        reference = {key: version[key] for key in ("pipeline_id", "pipeline_version_id")}
        trained = f"for version {wanted.version} on {wanted.data}: {wanted.window}"
        description = f"begun by the watch run {wanted.after} {trained}"
        made = self._asked(
            "POST",
            "/runs",
            where
            | {"display_name": wanted.run, "description": description, "runtime_config": config}
            | {"pipeline_version_reference": reference}
            | ({"service_account": own["service_account"]} if own.get("service_account") else {}),
        )
        return replace(wanted, id=str(made["run_id"]))

    def _version(self) -> dict[str, Any]:
        token = ""
        while True:
            paging = urlencode({"page_size": _PAGE, "page_token": token})
            page = self._asked("GET", f"/pipelines?{paging}")
            for each in page.get("pipelines") or []:
                if each.get("display_name") == self._template:
                    order = urlencode({"sort_by": "created_at desc", "page_size": 1})
                    listed = self._asked("GET", f"/pipelines/{each['pipeline_id']}/versions?{order}")
                    if found := listed.get("pipeline_versions"):
                        version: dict[str, Any] = found[0]
                        return version
            token = str(page.get("next_page_token") or "")
            if not token:
                raise InputError(
                    f"{self._address}: there is no pipeline {self._template} with a version; upload it: ./millrace "
                    f"kubeflow upload {self._template} --as {self._template}"
                )

    def _asked(self, method: str, path: str, body: Any = None, *, missing: bool = False) -> dict[str, Any]:
        """What the API answers; nothing where what is asked for is not there, if it may be missing."""
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        content = None if body is None else json.dumps(body).encode()
        what = f"{method} {path.partition('?')[0]}"
        try:
            answer = self._pool.request(method, f"{self._address}{_API}{path}", body=content, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(
                f"Kubeflow at {self._address}: no answer ({type(error).__name__}); try again"
            ) from None
        if answer.status == _NOT_FOUND and missing:
            return {}
        try:
            found = json.loads(answer.data)
        except ValueError:
            found = None
        if answer.status < 400 and isinstance(found, dict):
            return found
        said = str(found.get("message") or "") if isinstance(found, dict) else ""
        said = " ".join(said.split()) or "no answer of Kubeflow's"
        if answer.status >= _TEMPORARY:
            raise TransientError(f"Kubeflow, {what}: {said} ({answer.status}); try again")
        hint = "; docs/watch.md has the rights that the pod needs" if answer.status in _RIGHTS else ""
        raise InputError(f"Kubeflow at {self._address}, {what}: {said} ({answer.status}){hint}")


def _parameters(version: Mapping[str, Any]) -> set[str]:
    """The parameters of a version; its IR stands by itself, or behind it beside the platform spec."""
    spec = version.get("pipeline_spec") or {}
    ir = spec.get("pipeline_spec", spec)
    return set(((ir.get("root") or {}).get("inputDefinitions") or {}).get("parameters") or {})
