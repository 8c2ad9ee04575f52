"""A repository of the Hugging Face Hub: what is in it, and changing it under an optimistic lock."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from components.push_hub.faults import ConflictError, explained
from components.runtime.errors import InputError, TransientError
from components.runtime.stage.progress import report

MAIN = "main"
ATTRIBUTES = ".gitattributes"
"""The Hub's own file in every repository: which names it stores as large files."""

Content = Path | bytes
"""A file to be pushed: where it lies, or what is in it."""


@dataclass(frozen=True)
class Repo:
    """One repository, `kind` is model or space."""

    api: HfApi
    repo_id: str
    kind: str = "model"

    @property
    def endpoint(self) -> str:
        """Address of the Hub."""
        return str(constants.ENDPOINT)

    @property
    def url(self) -> str:
        """Where people find it."""
        return f"{self.endpoint}/{'spaces/' if self.kind == 'space' else ''}{self.repo_id}"

    @property
    def name(self) -> str:
        """For people."""
        return f"the {self.kind} {self.repo_id}"

    def ensure(self, private: bool, **options: Any) -> None:
        """Makes the repository where it does not exist.

        Args:
          private: whether nobody else may see it.
          options: of `HfApi.create_repo`.

        Raises:
          InputError: it exists and everybody may see it, which `private` forbids; or it cannot be made.
        """
        with explained(f"reading {self.name}", self.endpoint):
            try:
                found = self.api.repo_info(self.repo_id, repo_type=self.kind)
            except RepositoryNotFoundError as error:
                if error.response.status_code == 401:
                    raise
                found = None
        if found is None:
            report(f"creating {self.name}")
            with explained(f"creating {self.name}", self.endpoint):
                # Somebody else may make it at the same time, which is as good.
                self.api.create_repo(self.repo_id, repo_type=self.kind, private=private, exist_ok=True, **options)
        elif private and found.private is False:
            raise InputError(
                f"{self.url} is public, and the settings say private: true, so nothing was pushed; "
                "make it private on the Hub, or say private: false"
            )

    def head(self, branch: str) -> str | None:
        """The commit that a branch is at; None where there is no such branch."""
        with explained(f"reading {branch} of {self.name}", self.endpoint):
            try:
                return str(self.api.repo_info(self.repo_id, repo_type=self.kind, revision=branch).sha)
            except RevisionNotFoundError:
                return None

    def branch(self, name: str) -> None:
        """Makes a branch from `main`; it may be there already."""
        with explained(f"creating the branch {name} of {self.name}", self.endpoint):
            self.api.create_branch(self.repo_id, repo_type=self.kind, branch=name, revision=MAIN, exist_ok=True)

    def files(self, commit: str) -> dict[str, RepoFile]:
        """The files of a commit by their paths."""
        with explained(f"listing {self.name}", self.endpoint):
            entries = list(self.api.list_repo_tree(self.repo_id, repo_type=self.kind, revision=commit, recursive=True))
        return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}

    def read(self, commit: str, path: str) -> bytes:
        """A file of a commit."""
        with (
            explained(f"reading {path} of {self.name}", self.endpoint),
            tempfile.TemporaryDirectory(prefix="millrace-hub-") as folder,
        ):
            return Path(
                self.api.hf_hub_download(
                    self.repo_id, path, repo_type=self.kind, revision=commit, local_dir=folder, force_download=True
                )
            ).read_bytes()

    def pointer(self, path: str) -> dict[str, Any]:
        """A JSON object in a file of `main`; empty where there is none."""
        head = self.head(MAIN)
        if head is None or path not in self.files(head):
            return {}
        with contextlib.suppress(ValueError):
            if isinstance(content := json.loads(self.read(head, path)), dict):
                return content
        return {}

    def settle(
        self,
        branch: str,
        files: Mapping[str, Content],
        message: str,
        *,
        alone: bool = False,
        any_content: Collection[str] = (),
    ) -> tuple[str, bool]:
        """Makes a branch hold files, by at most one commit, and only if nobody else commits to it meanwhile.

        Args:
          branch: one that exists.
          files: what it shall hold.
          message: of the commit.
          alone: whether it shall hold nothing else, but for the Hub's own file.
          any_content: those of `files` that may stay as they are where they are there.

        Returns:
          The commit that holds the files, and whether this call made it.

        Raises:
          TransientError: somebody else committed something else at the same time, or what then lies there differs.
        """
        parent = self.head(branch)
        if parent is None:
            raise TransientError(f"{self.name}: the branch {branch} is gone; run again")
        there = self.files(parent)
        if not (missing := self._differences(there, files, alone, any_content)):
            return parent, False
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(path, content) for path, content in files.items()
        ]
        if alone:
            operations += [CommitOperationDelete(path, is_folder=False) for path in _others(there, files)]
        report(f"uploading {len(missing)} files, {_size(missing, files):,} bytes, to {branch} of {self.name}")
        try:
            with explained(f"uploading to {branch} of {self.name}", self.endpoint):
                done = self.api.create_commit(
                    self.repo_id,
                    operations,
                    repo_type=self.kind,
                    revision=branch,
                    commit_message=message,
                    parent_commit=parent,
                )
        except ConflictError:
            now = self.head(branch)
            if now is not None and not self._differences(self.files(now), files, alone, any_content):
                return now, False
            raise TransientError(
                f"{self.name}: somebody else changed {branch} at the same time, and nothing was overwritten; run again"
            ) from None
        if wrong := self._differences(self.files(done.oid), files, alone, ()):
            raise TransientError(
                f"{self.url}: {wrong[0]} is not there as it was pushed to {branch}; run again, "
                "and look for a .gitignore in the repository if it stays so"
            )
        return str(done.oid), True

    @staticmethod
    def _differences(
        there: Mapping[str, RepoFile], files: Mapping[str, Content], alone: bool, any_content: Collection[str]
    ) -> list[str]:
        """Paths that are not as they shall be."""
        differing = [
            path
            for path, content in files.items()
            if path not in there or (path not in any_content and not _same(there[path], content))
        ]
        return differing + (_others(there, files) if alone else [])


def _size(paths: Collection[str], files: Mapping[str, Content]) -> int:
    """Bytes of those of the paths that are uploaded; the others are deleted."""
    contents = [files[path] for path in paths if path in files]
    return sum(content.stat().st_size if isinstance(content, Path) else len(content) for content in contents)


def _others(there: Mapping[str, RepoFile], files: Mapping[str, Content]) -> list[str]:
    return sorted(there.keys() - files.keys() - {ATTRIBUTES})


def _same(remote: RepoFile, content: Content) -> bool:
    """Whether the Hub holds these bytes: it knows large files by their sha256, others by Git's sha1."""
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    if remote.size != size:
        return False
    if remote.lfs:
        return str(remote.lfs.sha256) == _digest(hashlib.sha256(), content)
    return str(remote.blob_id) == _digest(hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False), content)


def _digest(algorithm: Any, content: Content) -> str:
    if isinstance(content, bytes):
        algorithm.update(content)
    else:
        with content.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                algorithm.update(chunk)
    return str(algorithm.hexdigest())
