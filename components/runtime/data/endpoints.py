"""Where object storage is reached: the variables of the clouds' own tools, for what reads and for what writes."""

from __future__ import annotations

import json
import os
from typing import Any


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
