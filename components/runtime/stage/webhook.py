"""Posts to a webhook. Its address is a secret: messages name its host and no more."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from components.runtime import VERSION
from components.runtime.errors import InputError, TransientError
from components.runtime.stage.bounded import SILENCE_SECONDS, TOTAL_SECONDS, bounded

URL = "MILLRACE_NOTIFY_URL"
"""The variable of the environment with the address of whom stages tell."""
_PASSING = frozenset({408, 425, 429})
"""Refusals besides 5xx that may be others a minute later."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirected, a POST would go on as a GET without the message, and be answered with 200."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Makes the redirect an error."""


def post(url: str, payload: Mapping[str, Any]) -> str:
    """Posts a document.

    Args:
      url: the webhook's address.
      payload: JSON.

    Returns:
      The host.

    Raises:
      InputError: no address, or the receiver refuses for good.
      TransientError: no answer in time, or a refusal that may pass.
    """
    host = _host(url)
    body = json.dumps(payload).encode()
    headers = {"Content-Type": "application/json", "User-Agent": f"millrace/{VERSION}"}
    try:
        bounded(lambda: _send(urllib.request.Request(url, body, headers)), f"the webhook at {host}")
    except urllib.error.HTTPError as error:
        raise _refusal(error.code, host) from None
    except urllib.error.URLError as error:
        raise _unreachable(error.reason, host) from None
    except (ValueError, http.client.InvalidURL):
        # Its text quotes the address.
        raise InputError(f"the webhook at {host}: its address is not one; mend {URL}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(error, host) from None
    return host


def _send(request: urllib.request.Request) -> None:
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(request, timeout=SILENCE_SECONDS) as response:
        response.read(1)


def _host(url: str) -> str:
    """Host and port of an address; no user, path or query."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or parts.scheme not in ("http", "https") or not host or any(each.isspace() for each in url):
        raise InputError(f"{URL} is not an address that begins with http:// or https://; mend the secret")
    return f"{host}:{port}" if port else host


def _refusal(code: int, host: str) -> InputError | TransientError:
    # Neither its phrase nor its text: some servers quote the path.
    phrase = http.client.responses.get(code, "")
    said = f"the webhook at {host} answers {code} {phrase}".rstrip()
    if code in _PASSING or code >= 500:
        return TransientError(f"{said}; try again later")
    if 300 <= code < 400:
        return InputError(f"{said}, a redirect; put the address that it leads to into {URL}")
    return InputError(f"{said}; is {URL} still its address, and does it take what `webhook` names?")


def _unreachable(reason: object, host: str) -> InputError | TransientError:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return InputError(f"the webhook at {host}: its certificate is not valid: {reason.verify_message}")
    if isinstance(reason, TimeoutError):
        return TransientError(f"the webhook at {host} does not answer within {TOTAL_SECONDS:g} s")
    if isinstance(reason, socket.gaierror):
        return TransientError(f"the webhook at {host}: no such host, or no network")
    said = getattr(reason, "strerror", None) or type(reason).__name__
    return TransientError(f"the webhook at {host} cannot be reached: {said}")
