"""A server on the loopback device that speaks the Hub's HTTP API, as far as huggingface_hub asks it for a push.

Repositories have commits, branches and a store of large files, as on the Hub: a commit is refused where the branch has
moved since `parentCommit`, and where a large file that it names was not uploaded. Addresses of uploads are signed.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.runners.loopback import Request, serving

PAGE = 4
"""Entries of one page of a listing: few, so that every listing has several."""

LFS_BYTES = 100_000
PART_BYTES = 1_000_000

Answer = tuple[Any, ...]


@dataclass(frozen=True)
class Blob:
    """A file: known by Git's sha1, as a large file also by its sha256."""

    data: bytes
    lfs: bool

    @property
    def oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str
    message: str
    tree: dict[str, Blob]


@dataclass
class Repository:
    kind: str
    name: str
    private: bool
    sdk: str = ""
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, tree: dict[str, Blob], message: str) -> Commit:
        parent = self.branches.get(branch, "")
        listing = "".join(f"{path} {blob.oid}\n" for path, blob in sorted(tree.items()))
        oid = hashlib.sha1(f"{parent}\n{message}\n{listing}".encode()).hexdigest()
        self.commits[oid] = Commit(oid, parent, message, tree)
        self.branches[branch] = oid
        return self.commits[oid]

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.branches.get(revision, revision))

    def files(self, revision: str) -> dict[str, bytes]:
        """What is on a revision, but for the Hub's own file."""
        commit = self.at(revision)
        assert commit, f"no revision {revision}"
        return {path: blob.data for path, blob in commit.tree.items() if path != ".gitattributes"}

    def history(self, branch: str) -> list[Commit]:
        """Commits of a branch, the newest first."""
        found, oid = [], self.branches.get(branch, "")
        while oid:
            found.append(self.commits[oid])
            oid = self.commits[oid].parent
        return found


@dataclass
class Hub:
    """The state of the server, and what it was asked.

    Attributes:
      token: the one that may write to `namespaces`.
      reader: one that may read only.
      interfere: called with each request before it is answered; an answer of its own stands for the server's.
    """

    token: str = field(default_factory=lambda: f"hf_{secrets.token_hex(17)}")
    reader: str = field(default_factory=lambda: f"hf_{secrets.token_hex(17)}")
    namespaces: tuple[str, ...] = ("team",)
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    interfere: Callable[[Request], Answer | None] = lambda request: None
    signature: str = field(default_factory=lambda: secrets.token_hex(16))
    address: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def model(self, name: str = "team/taxi") -> Repository:
        return self.repositories["model", name]

    def space(self, name: str = "team/taxi-demo") -> Repository:
        return self.repositories["space", name]

    def create(self, name: str, kind: str = "model", private: bool = True, sdk: str = "") -> Repository:
        made = Repository(kind, name, private, sdk)
        attributes = Blob(b"*.pb filter=lfs diff=lfs merge=lfs -text\n", lfs=False)
        made.commit("main", {".gitattributes": attributes}, "initial commit")
        self.repositories[kind, name] = made
        return made

    def asked(self, method: str, pattern: str) -> list[Request]:
        """The requests whose path a pattern is found in."""
        return [each for each in self.requests if each.method == method and re.search(pattern, each.path)]

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        if (own := self.interfere(request)) is not None:
            return own
        with self.lock:
            return self._answer(request)

    def _answer(self, request: Request) -> Answer:
        for method, pattern, handle in _ROUTES:
            if request.method in method.split() and (found := re.fullmatch(pattern, request.path)):
                if not request.path.startswith("/storage/") and request.path != "/api/validate-yaml":
                    given = request.headers.get("authorization", "").removeprefix("Bearer ")
                    if given not in (self.token, self.reader):
                        return _error(401, "Invalid credentials in Authorization header")
                    if given == self.reader and (request.method not in ("GET", "HEAD")):
                        return _error(
                            403, "You don't have the rights to do that: a token with the role write is needed"
                        )
                return handle(self, request, **{name: unquote(value) for name, value in found.groupdict().items()})
        return _error(404, f"no such route: {request.method} {request.path}")

    def _repository(self, kind: str, name: str) -> Repository | None:
        return self.repositories.get((kind.rstrip("s"), name))

    def validate(self, request: Request) -> Answer:
        content = json.loads(request.body)["content"]
        if "license: nonsense" in content:
            return 400, {"error": "invalid", "errors": [{"message": '"license" must be one of [apache-2.0, mit, ...]'}]}
        return 200, {"errors": [], "warnings": []}

    def make(self, request: Request) -> Answer:
        asked = json.loads(request.body)
        kind, name = asked.get("type") or "model", f"{asked['organization']}/{asked['name']}"
        prefix = "spaces/" if kind == "space" else ""
        if asked["organization"] not in self.namespaces:
            return _error(
                403, f"You don't have the rights to create a {kind} under the namespace {asked['organization']!r}."
            )
        if (kind, name) in self.repositories:
            return 409, {"error": "You already created this repo", "url": f"{self.address}/{prefix}{name}"}
        self.create(name, kind, asked.get("visibility") == "private", asked.get("sdk", ""))
        return 200, {"url": f"{self.address}/{prefix}{name}", "name": name}

    def info(self, request: Request, kind: str, name: str, revision: str = "main") -> Answer:
        repository = self._repository(kind, name)
        if repository is None:
            return _error(404, "Repository not found", "RepoNotFound")
        commit = repository.at(revision)
        if commit is None:
            return _error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        siblings = [{"rfilename": path} for path in sorted(commit.tree)]
        return 200, {"id": name, "sha": commit.oid, "private": repository.private, "siblings": siblings, "tags": []}

    def branch(self, request: Request, kind: str, name: str, branch: str) -> Answer:
        repository = self._repository(kind, name)
        if repository is None:
            return _error(404, "Repository not found", "RepoNotFound")
        if branch in repository.branches:
            return _error(409, f"Reference refs/heads/{branch} already exists")
        start = repository.at((json.loads(request.body or b"{}")).get("startingPoint", "main"))
        if start is None:
            return _error(404, "Invalid rev id", "RevisionNotFound")
        repository.branches[branch] = start.oid
        return 200, {}

    def tree(self, request: Request, kind: str, name: str, revision: str) -> Answer:
        repository = self._repository(kind, name)
        commit = repository.at(revision) if repository else None
        if commit is None:
            return _error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        entries: list[dict[str, Any]] = []
        for path, blob in sorted(commit.tree.items()):
            entry = {"type": "file", "path": path, "size": len(blob.data), "oid": blob.oid}
            if blob.lfs:
                entry["lfs"] = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": 130}
            entries.append(entry)
        folders = {path.rsplit("/", 1)[0] for path in commit.tree if "/" in path}
        entries += [{"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(folders)]
        start = int(request.query.get("cursor", 0))
        after = f"{self.address}{request.path}?recursive=True&expand=False&cursor={start + PAGE}"
        headers = {"Link": f'<{after}>; rel="next"'} if start + PAGE < len(entries) else {}
        return 200, entries[start : start + PAGE], headers

    def preupload(self, request: Request, kind: str, name: str, revision: str) -> Answer:
        repository = self._repository(kind, name)
        commit = repository.at(revision) if repository else None
        if commit is None:
            return _error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        ignored = commit.tree[".gitignore"].data.decode().split() if ".gitignore" in commit.tree else []
        answers = []
        for file in json.loads(request.body)["files"]:
            path = file["path"]
            blob = commit.tree.get(path)
            answers.append(
                {
                    "path": path,
                    "uploadMode": "lfs" if path.endswith(".pb") or file["size"] > LFS_BYTES else "regular",
                    "shouldIgnore": any(fnmatch.fnmatch(path, pattern) for pattern in ignored),
                    "oid": (blob.sha256 if blob.lfs else blob.oid) if blob else None,
                }
            )
        return 200, {"files": answers}

    def batch(self, request: Request, kind: str, name: str) -> Answer:
        objects: list[dict[str, Any]] = []
        for entry in json.loads(request.body)["objects"]:
            oid, size = entry["oid"], entry["size"]
            if oid in self.large:
                objects.append({"oid": oid, "size": size})
                continue
            signed = f"{self.address}/storage/{oid}?X-Amz-Signature={self.signature}"
            upload: dict[str, Any] = {"href": signed}
            if size > PART_BYTES:
                count = -(-size // PART_BYTES)
                parts = {str(number): f"{signed}&part={number}" for number in range(1, count + 1)}
                upload = {
                    "href": f"{self.address}/storage/{oid}/complete",
                    "header": {"chunk_size": str(PART_BYTES), **parts},
                }
            verify = {"href": f"{self.address}/{'spaces/' if kind else ''}{name}.git/info/lfs/objects/verify"}
            objects.append({"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}})
        return 200, {"transfer": "basic", "objects": objects}

    def store(self, request: Request, oid: str) -> Answer:
        if request.query.get("X-Amz-Signature") != self.signature:
            return 403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
        if "part" in request.query:
            number = int(request.query["part"])
            self.parts[oid, number] = request.body
            return 200, b"", {"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'}
        return self._keep(oid, request.body)

    def complete(self, request: Request, oid: str) -> Answer:
        numbers = [part["partNumber"] for part in json.loads(request.body)["parts"]]
        return self._keep(oid, b"".join(self.parts[oid, number] for number in numbers))

    def _keep(self, oid: str, data: bytes) -> Answer:
        if hashlib.sha256(data).hexdigest() != oid:
            return 400, b"<Error><Code>BadDigest</Code></Error>"
        self.large[oid] = data
        return 200, b""

    def verify(self, request: Request, kind: str, name: str) -> Answer:
        asked = json.loads(request.body)
        return (200, {}) if len(self.large.get(asked["oid"], b"")) == asked["size"] else _error(404, "no such object")

    def commit(self, request: Request, kind: str, name: str, revision: str) -> Answer:
        repository = self._repository(kind, name)
        if repository is None or revision not in repository.branches:
            return _error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        lines = [json.loads(line) for line in request.body.splitlines()]
        header, *operations = lines
        assert header["key"] == "header"
        if header["value"].get("parentCommit", repository.branches[revision]) != repository.branches[revision]:
            return _error(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(repository.commits[repository.branches[revision]].tree)
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                tree[value["path"]] = Blob(base64.b64decode(value["content"]), lfs=False)
            elif operation["key"] == "lfsFile":
                if value["oid"] not in self.large:
                    return _error(400, f"Your push was rejected: the LFS pointer {value['path']} points to no file")
                tree[value["path"]] = Blob(self.large[value["oid"]], lfs=True)
            elif operation["key"] == "deletedFile" and tree.pop(value["path"], None) is None:
                return _error(404, "A file with this name doesn't exist", "EntryNotFound")
        made = repository.commit(revision, tree, header["value"]["summary"])
        prefix = "spaces/" if repository.kind == "space" else ""
        return 200, {"commitOid": made.oid, "commitUrl": f"{self.address}/{prefix}{name}/commit/{made.oid}"}

    def resolve(self, request: Request, kind: str, name: str, revision: str, path: str) -> Answer:
        repository = self.repositories.get(("space" if kind else "model", name))
        if repository is None:
            return _error(404, "Repository not found", "RepoNotFound")
        commit = repository.at(revision)
        if commit is None:
            return _error(404, "Invalid rev id", "RevisionNotFound")
        if path not in commit.tree:
            return _error(404, "Entry not found", "EntryNotFound")
        blob = commit.tree[path]
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.sha256 if blob.lfs else blob.oid}"'}
        if blob.lfs:
            headers |= {"X-Linked-ETag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.data))}
        return 200, blob.data, headers


def _error(status: int, message: str, code: str = "") -> Answer:
    return status, {"error": message}, {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}


_ID = r"(?P<kind>models|spaces)/(?P<name>[^/]+/[^/]+)"
_GIT = r"/(?P<kind>spaces/|)(?P<name>[^/]+/[^/]+)"
_ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("POST", "/api/validate-yaml", Hub.validate),
    ("POST", "/api/repos/create", Hub.make),
    ("GET", f"/api/{_ID}", Hub.info),
    ("GET", f"/api/{_ID}/revision/(?P<revision>[^/]+)", Hub.info),
    ("POST", f"/api/{_ID}/branch/(?P<branch>[^/]+)", Hub.branch),
    ("GET", f"/api/{_ID}/tree/(?P<revision>[^/]+)", Hub.tree),
    ("POST", f"/api/{_ID}/preupload/(?P<revision>[^/]+)", Hub.preupload),
    ("POST", f"/api/{_ID}/commit/(?P<revision>[^/]+)", Hub.commit),
    ("POST", rf"{_GIT}\.git/info/lfs/objects/batch", Hub.batch),
    ("POST", rf"{_GIT}\.git/info/lfs/objects/verify", Hub.verify),
    ("PUT", "/storage/(?P<oid>[0-9a-f]+)", Hub.store),
    ("POST", "/storage/(?P<oid>[0-9a-f]+)/complete", Hub.complete),
    ("GET HEAD", f"{_GIT}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Hub.resolve),
]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A Hub while the context lasts; its address is in `address`."""
    hub = Hub()
    with serving(hub.answer) as address:
        hub.address = address
        yield hub
