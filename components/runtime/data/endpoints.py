"""Where object storage is reached, and by whom: the variables of the clouds' own tools, for reading and for writing."""

from __future__ import annotations

import functools
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError

NO_GCS_CREDENTIALS = (
    "there are no credentials: set GOOGLE_APPLICATION_CREDENTIALS, or give the machine's account the right"
)
_GCS_KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"


def s3_endpoint() -> str:
    """Where another S3 than Amazon's own is reached, as `http://HOST:PORT`; empty for Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def s3_region() -> str:
    """The region, which storages beside Amazon's take no notice of."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def gcs_endpoint() -> str:
    """Where an emulator of Cloud Storage is reached, as `http://HOST:PORT`; empty for Google's own."""
    named = os.environ.get("STORAGE_EMULATOR_HOST", "")
    return named if "://" in named or not named else f"http://{named}"


def check_gcs_credentials() -> None:
    """Looks whether there is anybody to be on Cloud Storage, before its clients do.

    Without credentials Arrow's asks for more than a minute and takes that for a storage that does not answer; where a
    folder is named in the place of a file it ends the process.

    Raises:
      InputError: there are none, or the file that is named holds none.
    """
    if gcs_endpoint():
        return
    if named := os.environ.get(_GCS_KEY_FILE):
        try:
            found = json.loads(Path(named).read_bytes())
        except OSError as error:
            raise InputError(f"{_GCS_KEY_FILE} names {named}, which cannot be read: {error.strerror}") from None
        except ValueError:
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("type"), str):
            raise InputError(
                f"{_GCS_KEY_FILE} names {named}, which holds no credentials: name the JSON file of a service account"
            )
    elif not _gcloud_credentials().is_file() and not _is_on_google():
        raise InputError(NO_GCS_CREDENTIALS)


def _gcloud_credentials() -> Path:
    """Those of `gcloud auth application-default login`."""
    return Path.home() / ".config" / "gcloud" / "application_default_credentials.json"


@functools.cache
def _is_on_google() -> bool:
    """Whether the metadata server answers that Google's machines and pods have."""
    host, _, port = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal").partition(":")
    for waited in (0.0, 0.5, 1.0):
        # (That of a pod which has just begun may refuse at first.)
        time.sleep(waited)
        try:
            socket.create_connection((host, int(port or 80)), timeout=3).close()
        except OSError:
            continue
        return True
    return False


def s3_options() -> tuple[dict[str, Any], dict[str, Any]]:
    """What the client is told besides what it reads in the environment itself: configuration, and options of HTTP."""
    endpoint = s3_endpoint()
    config = {"region": s3_region(), **({"endpoint": endpoint} if endpoint else {})}
    return config, {"allow_http": endpoint.startswith("http://")}


_GCS_KEY = ("client_email", "private_key", "private_key_id")


def gcs_options() -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of Cloud Storage."""
    endpoint = gcs_endpoint()
    if not endpoint:
        return {}, {}
    nobody = {"gcs_base_url": endpoint, "disable_oauth": True} | dict.fromkeys(_GCS_KEY, "")
    return {"service_account_key": json.dumps(nobody)}, {"allow_http": endpoint.startswith("http://")}
