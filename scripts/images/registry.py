"""Asks a registry whether it is there, and how it speaks, before anybody builds for minutes to push to it."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import urllib.error
import urllib.request

from components.runtime.errors import InputError, TransientError

_SECONDS = 10.0


def speaks_plain_http(registry: str) -> bool:
    """Whether a registry on this machine speaks http without TLS, as one for a cluster on the same machine does.

    Others are never spoken to without TLS unless the engine's own configuration says so: passwords go there.

    Args:
      registry: the name under which images go there, such as HOST/TEAM.

    Raises:
      InputError: there is no such host.
      TransientError: nothing answers there.
    """
    host = host_of(registry)
    if not host:
        return False
    try:
        try:
            _ask("https", host)
        except ssl.SSLError:
            # It is there, and speaks something else.
            _ask("http", host)
            return _is_loopback(host)
        return False
    except TimeoutError:
        raise TransientError(
            f"the registry {host} does not answer within {_SECONDS:g} s; start it, or mend --registry"
        ) from None
    except socket.gaierror:
        raise InputError(f"the registry {host}: there is no such host; mend --registry") from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise TransientError(f"the registry {host} does not answer ({why}); start it, or mend --registry") from None


def host_of(registry: str) -> str:
    """Host and port in an image's name; empty where the engine's own default is meant."""
    first = registry.split("/")[0]
    return first if "." in first or ":" in first or first == "localhost" else ""


def _ask(scheme: str, host: str) -> None:
    """Comes back where a registry answers by a scheme; any status is an answer, a wish for a log-in too."""
    # Its certificate is the engine's to judge, by what it trusts.
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=trusting)]
    if _is_loopback(host):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        urllib.request.build_opener(*handlers).open(f"{scheme}://{host}/v2/", timeout=_SECONDS).close()
    except urllib.error.HTTPError:
        return
    except urllib.error.URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else error from None


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        return name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
