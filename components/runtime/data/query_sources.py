"""The sources that a query can ask, and what says where each of them is; no secret is among it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.runtime.errors import InputError, did_you_mean
from components.runtime.text.redaction import refuse_credentials

DELTA = "delta"
ICEBERG = "iceberg"
LAKES = (DELTA, ICEBERG)
"""Tables of files, each state of which has a number; queries call such a table `lake`."""

POSTGRESQL = "postgresql"
FILES = ("sqlite", "duckdb")
"""Databases that are a file."""

SECRET_VARIABLE = "MILLRACE_QUERY_SECRET"
"""Of the environment, where the settings name no other: a source's password or token."""


@dataclass(frozen=True)
class Kind:
    """What says where a source of one kind is.

    Attributes:
      needed: keys without which nothing can be asked.
      known: the others, each with its default; None for none.
      types: of keys that are no text.
      secret: what the secret is called; empty where there is none of our asking.
    """

    needed: tuple[str, ...]
    known: Mapping[str, Any]
    secret: str = ""


KINDS: dict[str, Kind] = {
    "sqlite": Kind(("path",), {}),
    "duckdb": Kind(("path",), {}),
    POSTGRESQL: Kind(("host", "database", "user"), {"port": 5432, "sslmode": "prefer"}, "password"),
    "mysql": Kind(("host", "database", "user"), {"port": 3306, "tls": False}, "password"),
    "trino": Kind(("host", "user", "catalog"), {"port": 443, "scheme": "https", "schema": None}, "password"),
    "bigquery": Kind(("project",), {"location": None, "streams": 4}),
    "snowflake": Kind(
        ("account", "user", "database"),
        # (The last three where a private link, and not the account's own address, leads there.)
        {"warehouse": None, "schema": "PUBLIC", "role": None, "host": None, "port": 443, "scheme": "https"},
        "password",
    ),
    DELTA: Kind(("path",), {"version": -1}),
    ICEBERG: Kind(
        (), {"path": None, "catalog": None, "uri": None, "warehouse": None, "table": None, "snapshot": None}, "token"
    ),
}
_NUMBERS = {"port", "version", "streams"}
_FLAGS = {"tls"}


def read(source: Mapping[str, Any]) -> dict[str, Any]:
    """A source with the defaults of its kind.

    Args:
      source: `kind` and the keys of that kind, as the settings have them.

    Raises:
      InputError: a kind or a key that is not known, one that is lacking, or a value of another type.
    """
    kind = source.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        near = did_you_mean(str(kind), KINDS) or ";"
        raise InputError(f"source.kind is {kind!r}{near} the sources are: {', '.join(KINDS)}")
    described = KINDS[kind]
    keys = [*described.needed, *described.known]
    for key, value in source.items():
        if key == "kind":
            continue
        if key not in keys:
            near = did_you_mean(key, keys) or ";"
            raise InputError(f"source.{key}: {kind} has no such key{near} its keys are: {', '.join(keys)}")
        expected = int if key in _NUMBERS else bool if key in _FLAGS else str
        # (KFP hands integers over as numbers with a fraction of zero.)
        whole = isinstance(value, float) and value == int(value)
        if not (type(value) is expected or (expected is int and whole)) or value == "":
            raise InputError(f"source.{key} is {value!r}: expected {_WORDS[expected]}")
        if isinstance(value, str) and _holds_secret(key, value):
            raise InputError(
                f"source.{key} holds more than its name says, such as a password, which records would keep: "
                f"write the {key} alone; user and port have keys of their own, and secrets come from the environment"
            )
    if missing := [key for key in described.needed if key not in source]:
        raise InputError(f"source.{missing[0]} is missing: say where the {kind} is, by {', '.join(described.needed)}")
    given = {key: int(value) if key in _NUMBERS else value for key, value in source.items()}
    if kind == ICEBERG and ("path" in given) == ("table" in given):
        raise InputError(
            "source: an iceberg table is named by path, its folder or metadata file, or by table, uri and warehouse "
            "of its catalog: give one of them"
        )
    if kind == ICEBERG and "table" in given and "uri" not in given:
        raise InputError("source.uri is missing: say where the catalog of the iceberg table is")
    return {**described.known, **given}


def _holds_secret(key: str, value: str) -> bool:
    try:
        refuse_credentials(value, key, place=True)
    except InputError:
        return True
    # (An address of IPv6 has two colons at least. Users may have the @ of a domain, projects the colon of one.)
    name_and_more = (
        (key in _HOSTS and "@" in value)
        or (key == "host" and value.count(":") == 1)
        or (key == "user" and ":" in value)
    )
    return name_and_more or _ASSIGNED.search(value) is not None


_HOSTS = ("host", "account", "project")
# As in a connection string.
_ASSIGNED = re.compile(r"(password|passwd|pwd|token|secret|passfile)\s*=", re.IGNORECASE)
_WORDS = {int: "a whole number", bool: "true or false", str: "a text"}


def told(source: Mapping[str, Any]) -> str:
    """A source in a few words, for messages and records."""
    kind = source["kind"]
    where = source.get("path") or source.get("host") or source.get("project") or source.get("account")
    inside = source.get("database") or source.get("catalog") if kind != ICEBERG else source.get("table")
    return " ".join(filter(None, [kind, inside and f"{inside} at", where or source.get("uri")]))
