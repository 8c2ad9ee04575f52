"""What is asked and answered, logged as `components.runtime.records.prediction_log` has it, beside the answers.

A request hands over what it has, and does not wait; a thread writes. What the memory or the disk cannot take is
dropped and counted: no answer is late or fails because of the log.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from components.runtime.records import prediction_log as log_files
from model_server import logged_rows
from model_server.logged_rows import Answered, Arrays
from model_server.metrics import LOG_DROPPED, LOG_LABELS, LOG_ROWS
from model_server.signature import Signature

_LOG = logging.getLogger("millrace.serving")
_MB = 1 << 20
_MOST_WAITING = 64 * _MB
_FILE_BYTES = 16 * _MB
_FILE_ROWS = 20_000
_LABELS_SHARE = 0.1
"""Of the bytes that a log may have: as many besides, for labels, which are small."""
_ABANDONED_SECONDS = 3600
_CLOSE_SECONDS = 10
_FAULTS = {"disk": "cannot be written; what waited is lost", "bounds": "what is too old cannot be removed"}

REQUEST_HEADER = "X-Request-Id"
"""What a client calls its request; of gRPC in small letters among the metadata."""
PREDICTION_HEADER = "X-Prediction-Id"
"""Of an answer that is logged: the id of its first row; the other rows count on. Of gRPC behind the answer."""

Label = tuple[str, bool | int | float | str, str, datetime.datetime]
"""Of which prediction, the label, its kind, and when it came."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
PREDICTION_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}-[0-9]{1,9}")


@dataclass
class Asked:
    """A request, as far as the log is concerned.

    Attributes:
      prediction_id: of its first row, once it is logged; the other rows count on. Empty where it is not logged.
    """

    log: PredictionLog | None = None
    request_id: str = ""
    prediction_id: str = field(default="", init=False)

    def answered(
        self, version: int, signatures: Mapping[str, Signature], signature: Signature, given: Arrays, answers: Arrays
    ) -> None:
        """Logs what came of it, if it is to be logged.

        Args:
          version: that answered.
          signatures: of that version.
          signature: that was asked.
          given: arrays by input.
          answers: arrays by output.
        """
        if self.log and self.log.add(self.request_id, version, signatures, signature, given, answers):
            self.prediction_id = f"{self.request_id}-0"


class PredictionLog:
    """The log of one model; any thread may add to it."""

    def __init__(
        self,
        folder: Path,
        *,
        share: float,
        redacted: Sequence[str],
        megabytes: int,
        seconds: float,
        images: bool = False,
    ) -> None:
        """Writes from now on, until it is closed.

        Args:
          folder: of the log of this model, made when there is something to write.
          share: of all requests that are logged; 1 for all.
          redacted: features and outputs that are left out.
          megabytes: that the log may have on disk; the oldest go first.
          seconds: the longest that a row waits for its file.
          images: whether encoded images are logged too, besides what is measured of them.
        """
        self.folder = folder
        self._images = images
        self._share = share
        self._redacted = frozenset(redacted)
        self._most_bytes = megabytes * _MB
        self._seconds = seconds
        self._answered: list[Answered] = []
        self._labels: list[Label] = []
        self._bytes = self._rows = 0
        self._changed = threading.Condition()
        self._closed = False
        self._faults: set[str] = set()
        self._thread = threading.Thread(target=self._write_on, name="prediction-log", daemon=True)
        self._thread.start()

    def asked(self, given_id: str | None) -> Asked:
        """A request that begins.

        Args:
          given_id: what its client calls it; where that can be no id, it gets one.
        """
        request = given_id if given_id and REQUEST_ID.fullmatch(given_id) else uuid.uuid4().hex
        # By the id, so that all who are asked for one request have it in their sample, or nobody.
        place = int.from_bytes(hashlib.blake2b(request.encode(), digest_size=8).digest()) / 2**64
        return Asked(self, request) if place < self._share else Asked()

    def check(self, version: int, signatures: Mapping[str, Signature]) -> None:
        """Warns of what is to be left out and a version does not have: it may be misspelt, and is logged then."""
        known = {name for each in signatures.values() for name in (*each.inputs, *each.outputs)}
        if unknown := sorted(self._redacted - known):
            _LOG.warning("version %d has no %s, which the log shall leave out; it is logged under any other name",
                         version, ", ".join(map(repr, unknown)))  # fmt: skip

    def add(
        self,
        request: str,
        version: int,
        signatures: Mapping[str, Signature],
        signature: Signature,
        given: Arrays,
        answers: Arrays,
    ) -> bool:
        """Takes rows to be written; at once, and never waits.

        Returns:
          whether they will be: not where an answer is not by rows, or the memory for what waits is full.
        """
        each = logged_rows.of(request, version, signatures, signature, given, answers)
        if each is None:
            return False
        with self._changed:
            if self._closed or self._bytes + each.size > _MOST_WAITING:
                LOG_DROPPED.labels("memory").inc(each.rows)
                self._tell_once("memory", "more is asked than can be written; what is too much is not logged")
                return False
            self._answered.append(each)
            self._bytes += each.size
            self._rows += each.rows
            self._wake_if_enough()
        return True

    def add_label(self, prediction_id: str, label: bool | int | float | str, kind: str) -> bool:
        """Takes a label to be written.

        Returns:
          whether it will be: not where the memory for what waits is full.
        """
        size = 200 + len(prediction_id) + (len(label) if isinstance(label, str) else 0)
        with self._changed:
            if self._closed or self._bytes + size > _MOST_WAITING:
                return False
            self._labels.append((prediction_id, label, kind, datetime.datetime.now(datetime.UTC)))
            self._bytes += size
            self._wake_if_enough()
        return True

    def close(self) -> None:
        """Writes what waits, and ends."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        # A disk that hangs does not keep the process.
        self._thread.join(_CLOSE_SECONDS)

    def _wake_if_enough(self) -> None:
        if self._is_enough():
            self._changed.notify()

    def _is_enough(self) -> bool:
        return self._closed or self._rows >= _FILE_ROWS or self._bytes >= _FILE_BYTES

    def _write_on(self) -> None:
        closed = False
        while not closed:
            with self._changed:
                self._changed.wait_for(self._is_enough, self._seconds)
                closed = self._closed
                answered, labels, written = self._answered, self._labels, self._bytes
                self._answered, self._labels, self._rows = [], [], 0
            self._write(answered, labels)
            with self._changed:
                self._bytes -= written

    def _write(self, answered: list[Answered], labels: list[Label]) -> None:
        by_group = sorted(answered, key=lambda each: repr(each.group))
        for _, same in itertools.groupby(by_group, key=lambda each: each.group):
            self._write_rows(list(same))
        by_type = sorted(labels, key=lambda each: type(each[1]).__name__)
        for _, of_type in itertools.groupby(by_type, key=lambda each: type(each[1])):
            self._write_labels(list(of_type))
        if answered or labels:
            self._try(self._keep_bounds, "bounds")

    def _write_rows(self, answered: list[Answered]) -> None:
        count = sum(each.rows for each in answered)
        if self._try(
            lambda: log_files.write(self.folder, logged_rows.table(answered, self._redacted, images=self._images))
        ):
            LOG_ROWS.inc(count)
        else:
            LOG_DROPPED.labels("disk").inc(count)

    def _write_labels(self, labels: list[Label]) -> None:
        if self._try(lambda: log_files.write_labels(self.folder, _label_table(labels))):
            LOG_LABELS.inc(len(labels))
        else:
            LOG_DROPPED.labels("labels").inc(len(labels))

    def _try(self, deed: Callable[[], object], fault: str = "disk") -> bool:
        try:
            deed()
        # Whatever fails here, answers do not.
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            self._tell_once(fault, f"{_FAULTS[fault]}: {reason[0]}")
            return False
        if fault in self._faults:
            self._faults.discard(fault)
            _LOG.info("log of predictions %s: that is over", self.folder)
        return True

    def _tell_once(self, fault: str, said: str) -> None:
        if fault not in self._faults:
            self._faults.add(fault)
            _LOG.warning("log of predictions %s: %s", self.folder, said)

    def _keep_bounds(self) -> None:
        for files, most in (
            (log_files.files(self.folder), self._most_bytes),
            (log_files.label_files(self.folder), self._most_bytes * _LABELS_SHARE),
        ):
            if not files:
                continue
            sizes = [(file, _size(file)) for file in files]
            total = sum(size for _, size in sizes)
            for file, size in sizes:
                if total <= most:
                    break
                file.unlink(missing_ok=True)
                total -= size
                self._tell_once("bound", f"it has more than {self._most_bytes // _MB} MB: the oldest files go")
            for day in {file.parent for file, _ in sizes if not file.exists()} - {files[-1].parent}:
                with contextlib.suppress(OSError):
                    day.rmdir()
                    _LOG.info("log of predictions: %s is removed, for its bound", day)
        if abandoned := [
            file for file in self.folder.glob("*/.*.parquet") if time.time() - _changed(file) > _ABANDONED_SECONDS
        ]:
            for file in abandoned:
                file.unlink(missing_ok=True)
            _LOG.info("log of predictions: %d half files of servers that ended are removed", len(abandoned))


def _label_table(labels: list[Label]) -> pa.Table:
    ids, values, kinds, times = zip(*labels, strict=True)
    return pa.table({"prediction_id": ids, "label": values, "kind": kinds, "time": pa.array(times, log_files.TIME)})


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return time.time()
