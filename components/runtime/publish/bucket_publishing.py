"""Changes a serving directory in a bucket, which has neither locks nor renames, so that readers see whole versions.

Who makes a version first claims its number by an object that only one can create, then uploads the files, the graph
(`saved_model.pb`) last of the model's, so that TensorFlow Serving cannot load half of it, and at last the manifest,
which makes it a version. Who removes one claims it too, and begins with the manifest. A claim is renewed while its
owner lives; one that is not belongs to somebody who died: the same content is pushed on from where it stopped at once,
other content in its place when the claim is old.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from components.runtime.data.bucket import ChangedError, Stored, Tag
from components.runtime.errors import StageError, TransientError
from components.runtime.publish.mirror import CLAIM, MANIFEST, Mirror
from components.runtime.stage import progress
from components.runtime.stage.artifacts import listing_digest
from components.runtime.stage.progress import report
from components.runtime.text.json_text import parse

STALE_SECONDS = 300.0
"""A claim that was not renewed for so long is nobody's. (Clocks of those who share a bucket differ by less: S3 itself
refuses who is a quarter of an hour off.)"""
_RENEWED_SECONDS = 20.0
_GRAPH = "saved_model.pb"
_REMOVAL = "removal"


class Before(enum.Enum):
    """Who held a claim before."""

    NOBODY = enum.auto()
    THE_SAME = enum.auto()
    """Somebody with the same content: what lies there is a part of it."""
    ANOTHER = enum.auto()
    """Somebody with other content who died."""


class Claim:
    """A number in a bucket that is ours alone while we renew the claim.

    Attributes:
      before: who held it.
    """

    def __init__(self, mirror: Mirror, number: int, content: str) -> None:
        """Takes the number.

        Args:
          mirror: of the serving directory.
          number: of the version.
          content: what the version is to have, or that it is removed.

        Raises:
          TransientError: somebody else holds it.
        """
        self._bucket, self._name, self._content = mirror.bucket, f"{CLAIM}{number}", content
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._version: Tag | None = None
        self._end, self._lost = threading.Event(), threading.Event()
        self._renewed = 0.0
        self.before = Before.NOBODY
        try:
            self._write()
        except ChangedError:
            self._take_over(mirror.destination, number)
        self._where = f"{mirror.destination}: version {number}"

    def _take_over(self, destination: str, number: int) -> None:
        try:
            found, about = self._bucket.read(self._name)
            content = str(parse(found).get("content"))
            self.before = Before.THE_SAME if content == self._content else Before.ANOTHER
            if self.before is Before.ANOTHER and _age(about) < STALE_SECONDS:
                doing = "removed" if content == _REMOVAL else "made"
                raise TransientError(
                    f"{destination}: version {number} is being {doing} by somebody else since {about.changed:%H:%M:%S} "
                    f"UTC, nothing is changed; run again (if they died, in {STALE_SECONDS / 60:.0f} minutes)"
                )
            self._version = about.version
            self._write()
        except (FileNotFoundError, ChangedError):
            raise TransientError(
                f"{destination}: somebody else made or removed version {number} meanwhile; run again"
            ) from None

    def _write(self) -> None:
        said = {"content": self._content, "by": self._owner, "at": datetime.now(UTC).isoformat()}
        begun = time.monotonic()
        self._version = self._bucket.write(self._name, json.dumps(said).encode(), self._version)
        self._renewed = begun

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Renews the claim, and gives it back if all went well: else what was begun is gone on with, or removed."""
        keeper = threading.Thread(target=self._keep, daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._end.set()
            keeper.join()
        self.release()

    def release(self) -> None:
        """Gives it back."""
        self._bucket.delete([self._name])

    def _keep(self) -> None:
        while not self._end.wait(_RENEWED_SECONDS):
            try:
                self._write()
            except ChangedError:
                self._lost.set()
                return
            except StageError:
                # `check` sees how old it is.
                continue

    def check(self) -> None:
        """Is called before each step, so that nobody who slept, or was cut off, goes on over another one's work.

        Raises:
          TransientError: the claim is no longer ours.
        """
        if self._lost.is_set() or time.monotonic() - self._renewed > STALE_SECONDS / 2:
            raise TransientError(f"{self._where} was taken over by somebody else; run again")


def _age(claim: Stored) -> float:
    return (datetime.now(UTC) - claim.changed).total_seconds()


def publish(
    mirror: Mirror,
    number: int,
    source: Path,
    files: Mapping[str, str],
    besides: Mapping[str, Path],
    beside: Mapping[str, str],
    manifest: bytes,
) -> None:
    """Uploads a version.

    Args:
      mirror: of the serving directory.
      number: of the version.
      source: folder of the SavedModel.
      files: its files with their sha256.
      besides: files that are none of the model's content, by their places in the version.
      beside: their sha256.
      manifest: of the version.

    Raises:
      TransientError: somebody else makes or has made this version.
    """
    bucket, places = mirror.bucket, {name: source / name for name in files} | dict(besides)
    claim = Claim(mirror, number, listing_digest({**files, **beside}))
    with claim.held():
        there = {each.name: each.size for each in bucket.list(str(number))}
        if f"{number}/{MANIFEST}" in there or (there and claim.before is Before.NOBODY):
            claim.release()
            raise TransientError(f"{mirror.destination}/{number}: somebody else made this version meanwhile; run again")
        if there and claim.before is Before.ANOTHER:
            report(f"removing {len(there)} files of version {number}, whose push died")
            bucket.delete(there)
            there = {}
        sizes = {name: file.stat().st_size for name, file in places.items()}
        missing = {name: size for name, size in sizes.items() if there.get(f"{number}/{name}") != size}
        if there:
            report(f"going on with a push that died: {len(sizes) - len(missing)} of {len(sizes)} files are there")
        first = {name: places[name] for name in missing if name != _GRAPH}
        last = {name: places[name] for name in missing if name == _GRAPH}
        with progress.counting(sum(missing.values()), "bytes", f"uploading {len(missing)} files"):
            for some in (first, last):
                claim.check()
                wanted = {f"{number}/{name}": file for name, file in some.items()}
                bucket.upload_all(wanted, progress.advance, claim.check)
        found = {each.name: each.size for each in bucket.list(str(number))}
        if found != {f"{number}/{name}": size for name, size in sizes.items()}:
            raise TransientError(f"{mirror.destination}/{number}: not what was uploaded lies there; run again")
        claim.check()
        try:
            bucket.write(f"{number}/{MANIFEST}", manifest, None)
        except ChangedError:
            raise TransientError(
                f"{mirror.destination}/{number}: somebody else made this version meanwhile; run again"
            ) from None
    mirror.refresh()


def remove(mirror: Mirror, number: int) -> None:
    """Removes a version, its manifest first.

    Raises:
      TransientError: somebody else makes or removes it.
    """
    claim = Claim(mirror, number, _REMOVAL)
    with claim.held():
        claim.check()
        _remove(mirror, number)
    mirror.refresh()


def _remove(mirror: Mirror, number: int) -> None:
    mirror.bucket.delete([f"{number}/{MANIFEST}"])
    mirror.bucket.delete(each.name for each in mirror.bucket.list(str(number)))


def clean(mirror: Mirror, following: int) -> None:
    """Removes what those left who died, as far as their claims are old.

    Args:
      mirror: of the serving directory.
      following: number of the next version, under which a push may be gone on with.
    """
    for number, about in mirror.claimed.items():
        if number == following or _age(about) < STALE_SECONDS:
            continue
        with contextlib.suppress(TransientError):
            claim = Claim(mirror, number, _REMOVAL)
            if f"{number}/{MANIFEST}" in {each.name for each in mirror.bucket.list(str(number))}:
                # Whole: who made it died before it could give the claim back.
                claim.release()
                continue
            report(f"removing version {number}, which was half made or half removed by somebody who died")
            with claim.held():
                _remove(mirror, number)
