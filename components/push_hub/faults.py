"""What the Hub answers when it does not do what it is asked, as one line each for people."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx2
from huggingface_hub.errors import HfHubHTTPError

from components.runtime.errors import InputError, StageError, TransientError

TOKEN = "HF_TOKEN"
"""The environment variable with the token."""

_LONGEST_QUOTE = 300
_SECRET = f"the secret that gives {TOKEN} (resources.push_hub.secrets in the settings)"


class ConflictError(TransientError):
    """What is to be changed is no longer as it was when it was read."""


@contextlib.contextmanager
def explained(doing: str, endpoint: str) -> Iterator[None]:
    """Turns what the Hub's client raises into errors of a stage.

    Args:
      doing: what is being done to which repository, such as `creating the repository team/taxi`.
      endpoint: address of the Hub.

    Raises:
      ConflictError: 409 or 412.
      InputError: the Hub refuses, for a reason that will hold.
      TransientError: it is busy or cannot be reached.
    """
    try:
        yield
    except StageError:
        raise
    except Exception as error:
        # `from None`: the trace of a library may quote addresses that are signed, and thus secrets for their time.
        raise _fault(error, doing, endpoint) from None


def _fault(error: Exception, doing: str, endpoint: str) -> Exception:
    for cause in _causes(error):
        if isinstance(cause, HfHubHTTPError):
            return _refused(cause, doing, endpoint)
        if isinstance(cause, httpx2.TimeoutException):
            return TransientError(f"{doing}: {endpoint} did not answer in time; run again")
        if isinstance(cause, httpx2.UnsupportedProtocol | httpx2.InvalidURL):
            return InputError(f"{doing}: {endpoint} is no address of a Hub; correct HF_ENDPOINT")
        if isinstance(cause, httpx2.TransportError):
            return TransientError(
                f"{doing}: {endpoint} cannot be reached ({type(cause).__name__}); check the network, then run again"
            )
    if isinstance(error, ValueError):
        # The client's own words: metadata that the Hub does not take, an upload that its storage refuses.
        return InputError(f"{doing}: {_one_line(str(error))}")
    return error


def _refused(error: HfHubHTTPError, doing: str, endpoint: str) -> Exception:
    status = error.response.status_code
    url = str(error.response.url)
    if not url.startswith(f"{endpoint}/api/") and "/info/lfs/" not in url:
        # A storage, which may quote the address that it was sent, a signed one; another attempt gets a new one.
        return TransientError(f"{doing}: the Hub's storage does not take it ({status}); run again")
    said = f": {_one_line(error.server_message)}" if error.server_message else ""
    if status in (409, 412):
        return ConflictError(f"{doing}: somebody else changed it at the same time ({status}){said}; run again")
    if status == 408 or status == 429 or status >= 500:
        why = "too many requests" if status == 429 else "the Hub is not well"
        return TransientError(f"{doing}: {why} ({status}){said}; run again later")
    if status == 401:
        return InputError(f"{doing}: the Hub does not know the token (401){said}; put a valid one into {_SECRET}")
    if status == 402:
        return InputError(f"{doing}: the Hub wants a paid plan for it (402){said}")
    if status == 403:
        return InputError(f"{doing}: the token may not do that (403){said}; give it write access, or mend repo_id")
    if status == 404:
        return InputError(f"{doing}: no such namespace or repository (404){said}; mend repo_id in the settings")
    if status == 413:
        return InputError(f"{doing}: larger than the Hub takes (413){said}; make the model smaller")
    return InputError(f"{doing}: the Hub refuses ({status}){said}")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]}…"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
