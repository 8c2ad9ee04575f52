"""A name in a bucket that one process alone holds while it makes or removes what the name stands for.

It is an object that only one can create. Its owner renews it while it lives; one that is not renewed belongs to
somebody who died: who brings the same content takes it at once, others when it is old.
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
from collections.abc import Iterator
from datetime import UTC, datetime

from components.runtime.data.bucket import Bucket, ChangedError, Stored, Tag
from components.runtime.errors import StageError, TransientError
from components.runtime.text.json_text import parse

STALE_SECONDS = 300.0
"""A claim that was not renewed for so long is nobody's. (Clocks of those who share a bucket differ by less: S3 itself
refuses who is a quarter of an hour off.)"""
_RENEWED_SECONDS = 20.0


class Before(enum.Enum):
    """Who held a claim before."""

    NOBODY = enum.auto()
    THE_SAME = enum.auto()
    """Somebody with the same content: what lies there is a part of it."""
    ANOTHER = enum.auto()
    """Somebody with other content who died."""


class Claim:
    """A name that is ours alone while we renew the claim.

    Attributes:
      before: who held it.
    """

    def __init__(self, bucket: Bucket, name: str, content: str, what: str) -> None:
        """Takes the name.

        Args:
          bucket: that the object is in.
          name: of the object.
          content: what is to be made, by which an earlier attempt at it is known.
          what: what people call it.

        Raises:
          TransientError: somebody else holds it.
        """
        self._bucket, self._name, self._content, self._what = bucket, name, content, what
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._version: Tag | None = None
        self._end, self._lost = threading.Event(), threading.Event()
        self._renewed = 0.0
        self.before = Before.NOBODY
        try:
            self._write()
        except ChangedError:
            self._take_over()

    def _take_over(self) -> None:
        try:
            found, about = self._bucket.read(self._name)
            content = str(parse(found).get("content"))
            self.before = Before.THE_SAME if content == self._content else Before.ANOTHER
            if self.before is Before.ANOTHER and age(about) < STALE_SECONDS:
                raise TransientError(
                    f"{self._what} is being made or removed by somebody else, who was seen at "
                    f"{about.changed:%H:%M:%S} UTC; nothing is changed; run again (where they died, "
                    f"{STALE_SECONDS / 60:.0f} minutes after that)"
                )
            self._version = about.version
            self._write()
        except (FileNotFoundError, ChangedError):
            raise TransientError(f"{self._what}: somebody else made or removed it meanwhile; run again") from None

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
            raise TransientError(f"{self._what} was taken over by somebody else; run again")


def age(claim: Stored) -> float:
    """Seconds since it was renewed."""
    return (datetime.now(UTC) - claim.changed).total_seconds()
