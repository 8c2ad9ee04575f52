"""Starts an operation of Vertex AI once, whoever asks and however often, and waits for it.

What was started is noted in the bucket, beside the model's files: a task that is tried again, in another pod and with
other output paths, goes on waiting for the operation that runs. The note is made before the request and the
operation's name added after it, so a task that died in between is seen too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.api_core.exceptions import NotFound, PreconditionFailed

from components.push_vertex.cloud import Cloud, failed
from components.runtime.errors import InputError, TransientError
from components.runtime.stage.progress import report

T = TypeVar("T")

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 20.0


@dataclass(frozen=True)
class Note:
    """What stands in the bucket: name of the operation, empty while its request is on the way."""

    operation: str
    generation: int


@dataclass(frozen=True)
class Operations:
    """The operations for one model.

    Attributes:
      folder: of the notes, `gs://bucket/folder`.
      wait_seconds: how long one may take.
    """

    cloud: Cloud
    folder: str
    wait_seconds: float

    def once(
        self, key: str, what: str, start: Callable[[], Any], find: Callable[[], T | None], read: Callable[[bytes], T]
    ) -> T:
        """Returns what an operation makes; starts it unless it is done or runs.

        Args:
          key: identifies it among the model's; a name for a file.
          what: it does, in words such as "uploading the model".
          start: sends the request and returns the operation.
          find: what it has made, or None where it has not.
          read: the same from the operation's response, for a result that is not listed yet.

        Raises:
          InputError: the operation failed or was refused, and will again.
          TransientError: it failed of what passes, or did not end in time.
        """
        deadline = time.monotonic() + self.wait_seconds
        while True:
            found = find()
            note = self._read(key)
            if found is not None:
                if note:
                    self._clear(key)
                return found
            if note is None:
                operation = self._start(key, what, start, 0)
            elif note.operation:
                operation = note.operation
                report(f"{what}: going on with operation {_short(operation)}")
            elif self._is_dead(key, what, note, find):
                operation = self._start(key, what, start, note.generation)
            else:
                continue
            if operation and (state := self._wait(operation, what, key, deadline)):
                found = find()
                return read(state.response.value) if found is None else found

    def _start(self, key: str, what: str, start: Callable[[], Any], generation: int) -> str:
        """Takes the note and sends the request; empty where somebody else was quicker."""
        taken = self._write(key, "", generation)
        if not taken:
            return ""
        report(what)
        try:
            with self.cloud.doing(what):
                operation = str(start().operation.name)
        except InputError:
            # Refused, so nothing runs. After any other fault the request may have arrived: the note stays.
            self._clear(key)
            raise
        self._write(key, operation, taken)
        return operation

    def _is_dead(self, key: str, what: str, seen: Note, find: Callable[[], T | None]) -> bool:
        """Waits as long as a task may need to send its request; whether nothing came of it."""
        report(f"{what}: somebody else began, waiting for word of it")
        end = time.monotonic() + self.cloud.seconds
        pause = _FIRST_PAUSE
        while time.monotonic() < end:
            time.sleep(pause)
            pause = min(pause * 1.6, _LONGEST_PAUSE)
            if self._read(key) != seen or find() is not None:
                return False
        return True

    def _wait(self, operation: str, what: str, key: str, deadline: float) -> Any:
        """Waits for the end of an operation; None where the service has forgotten it."""
        begun, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            state = self._state(operation, what)
            if state is None:
                # Operations are forgotten some time after their end.
                self._clear(key)
                return None
            if state.done:
                self._clear(key)
                if state.HasField("error"):
                    raise failed(self.cloud, what, state.error.code, state.error.message)
                return state
            if time.monotonic() >= deadline:
                raise TransientError(
                    f"{self.cloud.where}: {what} has not ended after {self.wait_seconds / 60:g} minutes; run again to"
                    f" go on waiting for operation {_short(operation)}, or raise wait_minutes"
                )
            report(f"{what}: {time.monotonic() - begun:.0f} s", force=False)
            time.sleep(max(0.01, min(pause, deadline - time.monotonic())))
            pause = min(pause * 1.6, _LONGEST_PAUSE)

    def _state(self, operation: str, what: str) -> Any:
        with self.cloud.doing(f"waiting for {what}"):
            try:
                return self.cloud.operations.get_operation(operation, **self.cloud.asking)
            except NotFound:
                return None

    def _blob(self, key: str) -> Any:
        bucket, _, folder = self.folder.removeprefix("gs://").partition("/")
        return self.cloud.storage.bucket(bucket).blob(f"{folder}/{key}.txt")

    def _read(self, key: str) -> Note | None:
        blob = self._blob(key)
        with self.cloud.doing(f"reading gs://{blob.bucket.name}/{blob.name}"):
            # As metadata: name and generation come in one answer.
            found = blob.bucket.get_blob(blob.name, **self.cloud.storing)
        return Note((found.metadata or {}).get("operation", ""), int(found.generation)) if found else None

    def _write(self, key: str, operation: str, generation: int) -> int:
        """Replaces that generation of the note, no other; returns its new generation, 0 where there was another."""
        blob = self._blob(key)
        blob.metadata = {"operation": operation}
        with self.cloud.doing(f"writing gs://{blob.bucket.name}/{blob.name}"):
            try:
                blob.upload_from_string(operation, if_generation_match=generation, **self.cloud.storing)
            except PreconditionFailed:
                return 0
        return int(blob.generation)

    def _clear(self, key: str) -> None:
        blob = self._blob(key)
        with self.cloud.doing(f"removing gs://{blob.bucket.name}/{blob.name}"):
            try:
                blob.delete(**self.cloud.storing)
            except NotFound:
                return


def _short(operation: str) -> str:
    return operation.rpartition("/")[2]
