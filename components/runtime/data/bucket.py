"""Object storage that is written: what lies below a `gs://` or `s3://` URI, as names and bytes.

Where a bucket is reached and by whom is said by the variables that the clouds' own tools go by, never by a URI, which
records, logs and lineage keep: `AWS_ENDPOINT_URL` (or `AWS_ENDPOINT_URL_S3`), `AWS_REGION`, `AWS_ACCESS_KEY_ID`, …;
`GOOGLE_APPLICATION_CREDENTIALS`, `STORAGE_EMULATOR_HOST`. In a pod the machine's or the service account's rights hold.

Each object appears whole or not at all. What passes (a server's 500, a lost connection) is tried again for a minute.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from components.runtime.data.endpoints import NO_GCS_CREDENTIALS, check_gcs_credentials, gcs_options, s3_options
from components.runtime.errors import InputError, StageError, TransientError

SCHEMES = ("gs://", "s3://")

_AT_ONCE = 8
_PART_BYTES = 16 << 20
"""Of a file that is read; a part that does not come within `_TIMEOUT` is asked for again."""
_TIMEOUT = timedelta(seconds=60)
_RETRY = {"max_retries": 8, "retry_timeout": timedelta(seconds=60)}
_SECRETS = re.compile(r"://[^/]*@|\?")
_MISSING = re.compile(r"NoSuchBucket|bucket (?:does not|doesn't) exist", re.IGNORECASE)
_STATUS = re.compile(r"status code: (\d+ [A-Za-z ]+)")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
_NO_S3_CREDENTIALS = (
    "there are no credentials: set AWS_ACCESS_KEY_ID and its secret, or give the machine's account the right"
)
_KEY_FILE = re.compile(r"service account (?:file|key)|application credentials|private key", re.IGNORECASE)
# Where nobody names credentials, the client asks the machine that it runs on, which only clouds' machines answer.
_NOBODY = re.compile(r"169\.254\.169\.254|metadata\.google\.internal|token request|/latest/(?:api/token|meta-data)")


_asked_by = 0
"""The process that has used the client, whose threads no fork of it has."""

Tag = tuple[str | None, str | None]
"""What a storage tells two contents of one name by: S3 by the first (`ETag`), Cloud Storage by the second."""


class ChangedError(Exception):
    """An object is another one than was seen, or is there where none was."""


@dataclass(frozen=True)
class Stored:
    """An object as a bucket lists it.

    Attributes:
      version: of its content.
      changed: when it was written, by the storage's clock.
    """

    name: str
    size: int
    version: Tag
    changed: datetime


def is_bucket(uri: str) -> bool:
    """Whether a URI names a place in object storage."""
    return uri.startswith(SCHEMES)


class Bucket:
    """What lies below one URI; names are relative to it, with `/` between folders."""

    def __init__(self, uri: str) -> None:
        """Nothing is asked of the storage yet.

        Args:
          uri: `gs://BUCKET/FOLDER` or `s3://BUCKET/FOLDER`.

        Raises:
          InputError: it names no bucket, or has keys in it.
        """
        self.uri = uri.rstrip("/")
        if _SECRETS.search(uri):
            raise InputError(
                f"{_SECRETS.split(uri)[0]}…: a URI of object storage holds neither keys nor options, which records "
                "would keep; set AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and the like in the environment"
            )
        scheme, _, place = self.uri.partition("://")
        name, _, prefix = place.partition("/")
        if not name or scheme not in ("gs", "s3"):
            raise InputError(f"{uri}: not a URI of object storage: name a bucket, as in s3://BUCKET/FOLDER")
        self.name = name
        # (Read here alone: who keeps nothing in a bucket needs no client, nor to wait for its import.)
        from obstore import store

        if scheme == "gs":
            try:
                check_gcs_credentials()
            except InputError as error:
                raise InputError(f"{self.uri}: cannot be used: {error}") from None
        with self._said("used"):
            made: Any = store.S3Store if scheme == "s3" else store.GCSStore
            config, client = s3_options() if scheme == "s3" else gcs_options()
            self._store = made(
                name,
                prefix=prefix.strip("/") or None,
                config=config,
                client_options={"timeout": _TIMEOUT, "connect_timeout": timedelta(seconds=10), **client},
                retry_config=_RETRY,
            )

    @property
    def _client(self) -> Any:
        global _asked_by
        if _asked_by not in (0, os.getpid()):
            raise AssertionError("obstore hangs in a fork of a process that has used it: use it after the fork alone")
        _asked_by = os.getpid()
        return self._store

    def list(self, below: str = "") -> list[Stored]:
        """What is there, sorted by name.

        Args:
          below: a folder's name; everything without.
        """
        import obstore

        with self._said("listed"):
            found = obstore.list(self._client, prefix=below or None).collect()
        return sorted(map(_stored, found), key=lambda each: each.name)

    def read(self, name: str) -> tuple[bytes, Stored]:
        """The bytes of a small object, and what is told of it.

        Raises:
          FileNotFoundError: it is not there.
        """
        import obstore

        with self._said(f"read ({name})"):
            found = obstore.get(self._client, name)
            return bytes(found.bytes()), _stored(found.meta)

    def download(self, wanted: Iterable[Stored], folder: Path, told: Callable[[int], None]) -> None:
        """Brings objects into a folder, under their names; each appears there whole.

        Args:
          wanted: as they were listed.
          folder: on this machine.
          told: how many bytes came, again and again.

        Raises:
          FileNotFoundError: one is gone.
        """
        self._all(lambda each: self._download(each, folder / each.name, told), wanted)

    def _download(self, wanted: Stored, target: Path, told: Callable[[int], None]) -> None:
        import obstore

        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as stream, self._said(f"read ({wanted.name})"):
                for start in range(0, wanted.size, _PART_BYTES):
                    length = min(_PART_BYTES, wanted.size - start)
                    stream.write(obstore.get_range(self._client, wanted.name, start=start, length=length))
                    told(length)
            # (Notes of a run are told apart by their times.)
            os.utime(part, (wanted.changed.timestamp(),) * 2)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def upload(self, file: Path, name: str) -> None:
        """Puts a file in the place of what is there under a name; one that is large, in parts."""
        import obstore

        with self._said(f"written ({name})"):
            obstore.put(self._client, name, file)

    def upload_all(
        self,
        files: Mapping[str, Path],
        told: Callable[[int], None],
        check: Callable[[], None],
    ) -> None:
        """Puts files under their names, several at once and in no order.

        Args:
          files: on this machine, by name.
          told: how many bytes went, again and again.
          check: is called before each; what it raises ends it.
        """

        def one(entry: tuple[str, Path]) -> None:
            check()
            self.upload(entry[1], entry[0])
            told(entry[1].stat().st_size)

        self._all(one, files.items())

    def write(self, name: str, content: bytes, seen: Tag | None) -> Tag:
        """Puts an object where it is still what was seen; of several who do so at once, one can.

        Args:
          name: of the object.
          content: that it gets.
          seen: its version; None where there was none.

        Returns:
          the version that it has now.

        Raises:
          ChangedError: it is another one.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create"
        if seen is not None:
            mode = {key: it for key, it in zip(("e_tag", "version"), seen, strict=True) if it}
        try:
            with self._said(f"written ({name})"):
                made = obstore.put(self._client, name, content, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            # An answer may have been lost and the same sent again.
            with contextlib.suppress(FileNotFoundError):
                there, about = self.read(name)
                if there == content:
                    return about.version
            raise ChangedError(name) from None
        return made["e_tag"], made["version"]

    def delete(self, names: Iterable[str]) -> None:
        """Removes objects; one that is not there is no failure."""
        import obstore

        names = list(names)
        try:
            with self._said("written (deletion)"):
                if names:
                    obstore.delete(self._client, names)
        except FileNotFoundError:
            # Cloud Storage, which knows no deletion of several, says so, and has not come to the others.
            for name in names if len(names) > 1 else ():
                self.delete([name])

    def _all(self, deed: Callable[[Any], None], over: Iterable[Any]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            waited = [pool.submit(deed, each) for each in over]
            try:
                for each in waited:
                    each.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    @contextlib.contextmanager
    def _said(self, done: str) -> Iterator[None]:
        """Turns what the client says into an error for people, but for that an object is not there, or another one."""
        from obstore import exceptions

        try:
            yield
        except FileNotFoundError as error:
            if _MISSING.search(str(error)):
                raise self._error(done, str(error)) from None
            raise FileNotFoundError(f"{self.uri}: {done}: it is not there") from None
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise
        except exceptions.BaseError as error:
            raise self._error(done, str(error)) from None

    def _error(self, done: str, text: str) -> StageError:
        what = f"{self.uri}: cannot be {done}"
        status = _STATUS.search(text)
        if _MISSING.search(text) or (status and status[1].startswith("404")):
            return InputError(f"{what}: there is no bucket {self.name}: make it, or name another")
        if _NOBODY.search(text):
            return InputError(f"{what}: {NO_GCS_CREDENTIALS if self.uri.startswith('gs') else _NO_S3_CREDENTIALS}")
        if _KEY_FILE.search(text):
            return InputError(f"{what}: GOOGLE_APPLICATION_CREDENTIALS: {_short(text)}")
        said = _MESSAGE.search(text)
        reason = f"{status[1].strip()}{f' ({said[1]})' if said else ''}" if status else _short(text)
        if status and status[1][:3] in ("400", "401", "403"):
            return InputError(f"{what}: refused: {reason}: give these credentials the right to it")
        return TransientError(f"{what}: {reason}; run again when it answers")


def _stored(meta: Mapping[str, Any]) -> Stored:
    return Stored(meta["path"], meta["size"], (meta["e_tag"], meta["version"]), meta["last_modified"])


def _short(text: str) -> str:
    """What failed, of the first line of what the client says, without its settings."""
    line = text.partition("\n")[0]
    asked = re.search(r"Error performing \w+ (\w+://[^/ ]+)", line)
    tried = re.search(r"after (\d+) retries", line)
    said = line.rpartition(" - ")[2].strip() if asked else re.sub(r"^Generic \w+ error: ", "", line)
    return (f"{asked[1]}: " if asked else "") + said + (f", after {tried[1]} retries" if tried else "")
