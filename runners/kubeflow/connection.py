"""The connection to a Kubeflow Pipelines server: who it is, and how long and in whose name it is spoken to."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any

from components.runtime.errors import InputError
from runners.kubeflow import answers
from runners.kubeflow.contexts import Context
from runners.remote.http import TIMEOUT, explained, refusal

MINIMUM_SERVER = (2, 5)
"""The oldest server that is spoken to; what is compiled uses nothing newer."""
_HEALTH = frozenset(
    {"commit_sha", "tag_name", "multi_user", "pipeline_store"}
    | {"apiServerCommitHash", "apiServerTagName", "apiServerMultiUser"}
)
"""What a server says of its health: some of it always, if only that it is unknown."""


class Connection:
    """A connected server.

    Attributes:
      where: what the server is called in messages.
      version: that the server tells; empty where it tells none.
      namespace: empty where the server has but one user.
      client: kfp.Client.
    """

    def __init__(self, context: Context, timeout: float = TIMEOUT) -> None:
        """Connects: asks how the server is and which version it has.

        Raises:
          InputError: too old, not authorised, or no KFP server.
          TransientError: no answer.
        """
        self.where = context.host
        self._context = context
        self._timeout = timeout
        health = self._health()
        tag = health.get("tag_name") or health.get("apiServerTagName")
        version = tag if isinstance(tag, str) else ""
        _check_version(self.where, version)
        self.version = version
        multi_user = bool(health.get("multi_user", health.get("apiServerMultiUser", False)))
        if multi_user and not context.namespace:
            raise InputError(
                f"{self.where}: the server has many users; name your namespace: --namespace, or in the context"
            )
        # A server of one user refuses requests that name a namespace.
        self.namespace = context.namespace if multi_user else ""
        with self.doing("connecting"):
            self.client = self._kfp_client()

    def fetch(
        self, path: str, doing: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        """Gets what lies beside the API on the same host: `/artifacts/get`, the metadata store.

        Raises:
          InputError: it is not served there.
        """
        import urllib3

        sent = dict(headers or {})
        if self._context.token:
            sent["authorization"] = f"Bearer {self._context.token}"
        with explained(self.where, doing, [self._context.token]), self._pool() as pool:
            method = "GET" if body is None else "POST"
            answer = pool.request(method, f"{self.where}{path}", body=body, headers=sent, redirect=False)
            if answer.status != 200:
                raise refusal(self.where, doing, answer.status, answer.data)
            assert isinstance(answer, urllib3.BaseHTTPResponse)
            return answer.data

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """One line for every error; kfp's own links and warnings are not printed."""
        with (
            explained(self.where, what, [self._context.token]),
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield

    def _health(self) -> dict[str, Any]:
        """What the server says of itself; asked before kfp.Client does, which would try for half a minute."""
        data = self.fetch("/apis/v2beta1/healthz", "connecting")
        health = answers.document(self.where, data)
        if not health.keys() & _HEALTH:
            raise answers.stranger(self.where, data)
        return health

    def _kfp_client(self) -> Any:
        import kfp

        client = kfp.Client(
            host=self.where,
            # kfp takes its own default for "not given" and keeps every other name.
            namespace=self.namespace or "kubeflow",
            existing_token=self._context.token or None,
            ssl_ca_cert=self._context.ca_file or None,
        )
        api_client = client.runs.run_service_get_run.__self__.api_client
        rest = api_client.rest_client
        plain = rest.request

        def request(*arguments: Any, **options: Any) -> Any:
            # kfp has no time-out of its own: a server that hangs would hang the command.
            options["_request_timeout"] = (self._timeout, self._timeout)
            answer = plain(*arguments, **options)
            answers.document(self.where, answer.data)
            return answer

        rest.request = request
        answers.hold(api_client, self.where)
        rest.pool_manager.clear()
        rest.pool_manager.connection_pool_kw["retries"] = _no_retries()
        return client

    def _pool(self) -> Any:
        import urllib3

        extra: dict[str, Any] = {"ca_certs": self._context.ca_file} if self._context.ca_file else {}
        return urllib3.PoolManager(timeout=urllib3.Timeout(self._timeout), retries=_no_retries(), **extra)


def _check_version(where: str, tag: str) -> None:
    """Servers built from a branch give no version; they are let pass."""
    found = re.match(r"v?(\d+)\.(\d+)", tag)
    if found and (int(found[1]), int(found[2])) < MINIMUM_SERVER:
        least = ".".join(map(str, MINIMUM_SERVER))
        raise InputError(f"{where}: Kubeflow Pipelines {tag} is too old; {least} or newer is needed")


def _no_retries() -> Any:
    import urllib3

    return urllib3.Retry(connect=0, read=0, redirect=2, status=0, other=0)
