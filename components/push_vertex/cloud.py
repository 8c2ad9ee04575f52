"""Google's clients, with credentials as google-auth finds them, and what they raise in words for people."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.api_core import exceptions, retry
from google.api_core.client_options import ClientOptions
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.exceptions import RequestException

from components.runtime.errors import InputError, StageError, TransientError, did_you_mean
from components.runtime.publish.vertex_options import PushVertex

CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LONGEST = 300
_PASSING = (
    exceptions.TooManyRequests,
    exceptions.InternalServerError,
    exceptions.BadGateway,
    exceptions.ServiceUnavailable,
    exceptions.GatewayTimeout,
    RequestException,
    TransportError,
)
# google.rpc.Code: what an operation may have failed of that passes.
_PASSING_CODES = {4: "deadline", 8: "quota", 10: "aborted", 13: "internal", 14: "unavailable"}


@dataclass(frozen=True)
class Cloud:
    """Vertex AI of a project in a region, and its Cloud Storage.

    Attributes:
      where: what it is called in messages.
      parent: resource name of the project's region.
      seconds: for one request, with what is tried again.
    """

    where: str
    parent: str
    models: Any
    endpoints: Any
    operations: Any
    storage: Any
    seconds: float

    @property
    def asking(self) -> dict[str, Any]:
        """Arguments of a request that changes nothing: it is sent again while a fault passes."""
        again = retry.Retry(
            predicate=retry.if_exception_type(*_PASSING), initial=0.2, maximum=8.0, timeout=self.seconds
        )
        return {"retry": again, "timeout": self.seconds}

    @property
    def changing(self) -> dict[str, Any]:
        """Arguments of a request that changes something: sent once; a retried task finds what came of it."""
        return {"retry": None, "timeout": self.seconds}

    @property
    def storing(self) -> dict[str, Any]:
        """Arguments of a request to Cloud Storage, whose preconditions make a second one harmless."""
        return {"retry": DEFAULT_RETRY.with_timeout(self.seconds), "timeout": self.seconds}

    def doing(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Explains what the clients raise inside."""
        return _explained(self.where, what)


def connect(options: PushVertex) -> Cloud:
    """Makes the clients; asks no server but that of the credentials.

    Raises:
      InputError: no such region, or no credentials.
    """
    from google.api_core import operations_v1
    from google.cloud import aiplatform_v1
    from google.cloud.storage import Client

    if not options.api_endpoint:
        # (A region that is newer than the library is reached by its address.)
        _check_region(options.region)
    credentials = _credentials()
    address = options.api_endpoint or f"{options.region}-aiplatform.googleapis.com"
    # REST, as proxies understand it.
    given: dict[str, Any] = {
        "credentials": credentials,
        "transport": "rest",
        "client_options": ClientOptions(api_endpoint=address),
    }
    # The clients' own `get_operation` asks under the path of Google's console, /ui/, when it goes by REST.
    operations = operations_v1.OperationsRestTransport(host=address, credentials=credentials, path_prefix="v1")
    return Cloud(
        where=f"Vertex AI of {options.project} in {options.region}",
        parent=f"projects/{options.project}/locations/{options.region}",
        models=aiplatform_v1.ModelServiceClient(**given),
        endpoints=aiplatform_v1.EndpointServiceClient(**given),
        operations=operations_v1.AbstractOperationsClient(transport=operations),
        storage=Client(project=options.project, credentials=credentials),
        seconds=options.request_seconds,
    )


def failed(cloud: Cloud, what: str, code: int, message: str) -> StageError:
    """The error behind an operation that ended badly; `code` is a google.rpc.Code."""
    said = f"{cloud.where}: {what} failed: {_one_line(message) or f'code {code}'}"
    if code in _PASSING_CODES:
        return TransientError(f"{said} ({_PASSING_CODES[code]}); try again")
    return InputError(said)


def _credentials() -> Any:
    """What google-auth finds."""
    import google.auth
    from google.auth.credentials import with_scopes_if_required

    # Its private logger warns of what the errors below say; where it has another name, test_no_credentials fails.
    logging.getLogger("google.auth._default").setLevel(logging.CRITICAL)
    try:
        found, _ = google.auth.default()
    except (DefaultCredentialsError, OSError, AttributeError) as error:
        file = os.environ.get(CREDENTIALS)
        if not file:
            raise InputError(
                "no Google credentials: name a secret with a key file under resources.push_vertex.credentials.gcp, give"
                f" the pod's service account a workload identity, or set {CREDENTIALS}"
            ) from None
        # (google-auth puts the error of a parser after its own words, and knows no list where a mapping should be.)
        why = error.args[0] if isinstance(error, DefaultCredentialsError) and error.args else "it is no key file"
        raise InputError(
            f"{CREDENTIALS}={file}: {_one_line(str(why)).rstrip('.')}; give a key file of a service account"
        ) from None
    return with_scopes_if_required(found, [_SCOPE])


def _check_region(region: str) -> None:
    from google.cloud.aiplatform.constants.base import SUPPORTED_REGIONS

    regions = sorted(SUPPORTED_REGIONS - {"global"})
    if region not in regions:
        hint = did_you_mean(region, regions) or f"; it has: {', '.join(regions)}"
        raise InputError(f"region: Vertex AI has no region {region!r}{hint}")


@contextlib.contextmanager
def _explained(where: str, what: str) -> Iterator[None]:
    try:
        yield
    except StageError:
        raise
    except exceptions.RetryError as error:
        raise _explain(error.cause, where, what) or TransientError(
            f"{where}: no answer in time while {what}; try again"
        ) from None
    except (
        exceptions.GoogleAPICallError,
        GoogleAuthError,
        RequestException,
        InvalidResponse,
        DataCorruption,
    ) as error:
        explained = _explain(error, where, what)
        if explained is None:
            raise
        raise explained from None


def _explain(error: BaseException | None, where: str, what: str) -> StageError | None:
    if isinstance(error, exceptions.GoogleAPICallError):
        # (REST puts the request before what the service said.)
        message = _one_line(re.sub(r"^[A-Z]+ https?://\S+: ", "", str(error.message)))
        return _refusal(int(error.code or 500), message, where, what)
    if isinstance(error, InvalidResponse):
        return _refusal(int(error.response.status_code), "", where, what)
    if isinstance(error, DataCorruption):
        return TransientError(f"{where}: other bytes arrived than were sent while {what}; try again")
    if isinstance(error, TransportError | RequestException):
        return TransientError(f"{where}: no connection while {what} ({type(error).__name__}); try again")
    if isinstance(error, GoogleAuthError):
        return InputError(f"{where}: the credentials are refused while {what}: {_one_line(str(error))}; renew them")
    return None


def _refusal(status: int, message: str, where: str, what: str) -> StageError:
    said = f": {message}" if message else ""
    if status == 401:
        return InputError(f"{where}: the credentials are refused (401) while {what}{said}; renew them")
    if status == 403:
        return InputError(
            f"{where}: not allowed (403) while {what}{said}; the account needs the roles aiplatform.user and, on the"
            " bucket, storage.objectUser"
        )
    if status == 404:
        return InputError(f"{where}: not found (404) while {what}{said}; check project, region and bucket")
    if status == 429:
        return TransientError(f"{where}: the quota is used up (429) while {what}{said}; try later, or ask for more")
    if status in (408, 409, 412):
        return TransientError(f"{where}: somebody else is at it ({status}) while {what}{said}; try again")
    if status >= 500:
        return TransientError(f"{where}: fault of the service ({status}) while {what}{said}; try again")
    return InputError(f"{where}: refused ({status}) while {what}{said}")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
