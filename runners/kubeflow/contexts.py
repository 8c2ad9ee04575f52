"""Where the clusters are: a small file with a name for each, that holds no secret.

current: kind
contexts:
  kind: {host: "http://localhost:8080"}
  work: {host: "https://kubeflow.example.org/pipeline", namespace: team, token_env: KFP_TOKEN}
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from components.runtime.errors import InputError
from components.runtime.text import yaml_files
from runners.remote.http import missing

FILE_VARIABLE = "MILLRACE_CONTEXTS"
# The variable that kfp.Client itself reads.
HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"
_SECRET_KEYS = frozenset({"token", "password", "secret", "cookie", "cookies"})


@dataclass(frozen=True)
class Context:
    """One cluster.

    Attributes:
      name: what people call it; the host where it has no name.
      host: address of the Kubeflow Pipelines API, or of the dashboard in front of it.
      namespace: of the user, where the server has many.
      token: bearer token; never shown.
      ca_file: certificates that the server's is checked against.
    """

    name: str
    host: str
    namespace: str = ""
    token: str = field(default="", repr=False)
    ca_file: str = ""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    host: str
    namespace: str = ""
    token_env: str = ""
    token_file: str = ""
    ca_file: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    current: str = ""
    contexts: dict[str, _Entry] = {}


def find(name: str = "", host: str = "", namespace: str = "") -> Context:
    """The cluster that was asked for.

    Args:
      name: of a context in the file; the file's `current` when empty and no host is given.
      host: an address instead.
      namespace: in place of the context's.

    Raises:
      InputError: no such context, none at all, or a file that is wrong.
    """
    if name and host:
        raise InputError("--context and --host exclude each other; give one of them")
    # What stands on the command line, then the variable, then the file's own choice.
    host = host or ("" if name else os.environ.get(HOST_VARIABLE, ""))
    if host:
        return Context(name=_address(host), host=_address(host), namespace=namespace)
    file = _path()
    content = _read(file)
    name = name or content.current
    if not name:
        raise InputError(
            f"no cluster is named: give --host, or --context with the name of one in {file}, or set {HOST_VARIABLE}"
        )
    if name not in content.contexts:
        raise missing("context", name, content.contexts, str(file), "in")
    entry = content.contexts[name]
    return Context(
        name=name,
        host=_address(entry.host),
        namespace=namespace or entry.namespace,
        token=_token(name, entry),
        ca_file=str(Path(entry.ca_file).expanduser()) if entry.ca_file else "",
    )


def names() -> list[str]:
    """Names of the clusters that a command can go to; an empty one for that of the variable.

    Raises:
      InputError: a file that is wrong.
    """
    return [*([""] if os.environ.get(HOST_VARIABLE) else []), *_read(_path()).contexts]


def _path() -> Path:
    named = os.environ.get(FILE_VARIABLE)
    return Path(named) if named else Path("~/.config/millrace/contexts.yaml").expanduser()


def _read(file: Path) -> _File:
    try:
        content = yaml_files.load(file.read_bytes(), str(file))
    except FileNotFoundError:
        if os.environ.get(FILE_VARIABLE):
            raise InputError(f"{FILE_VARIABLE} names {file}, which is not there; name a file of contexts") from None
        return _File()
    if not isinstance(content, dict):
        raise InputError(f"{file}: holds no contexts; it has `contexts:`, a mapping of names to hosts")
    try:
        return _File.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{file}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    mistake = error.errors()[0]
    where = ".".join(str(part) for part in mistake["loc"])
    if mistake["loc"][-1] in _SECRET_KEYS:
        # (Its value is not repeated here.)
        return f"{where}: secrets do not belong into this file; name where it is with token_env or token_file"
    if mistake["type"] == "extra_forbidden":
        return f"unknown key {where!r}; known are {', '.join(_Entry.model_fields)}"
    return f"{where}: {mistake['msg']}"


def _token(name: str, entry: _Entry) -> str:
    if entry.token_env:
        token = os.environ.get(entry.token_env, "").strip()
        if not token:
            raise InputError(f"context {name}: the variable {entry.token_env} with the token is not set")
        return token
    if entry.token_file:
        file = Path(entry.token_file).expanduser()
        try:
            token = file.read_text().strip()
        except OSError as error:
            raise InputError(f"context {name}: token_file {file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InputError(f"context {name}: token_file {file} holds no text") from None
        if not token:
            raise InputError(f"context {name}: token_file {file} is empty")
        return token
    return ""


def _address(host: str) -> str:
    address = (host if "://" in host else f"https://{host}").rstrip("/")
    scheme, _, rest = address.partition("://")
    if scheme not in ("http", "https") or not rest or rest.startswith("/"):
        raise InputError(f"{host}: not the address of a server; write http://NAME:PORT or https://NAME")
    if "@" in rest.partition("/")[0]:
        raise InputError(
            f"{scheme}://{rest.partition('@')[2]}: leave user and password out of its address; a context of "
            f"{_path()} takes a token from token_env or token_file"
        )
    return address
