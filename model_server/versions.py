"""Which versions are in memory: what lies in the serving directory, looked at again and again.

The highest version that can be loaded is in service, or that of a label where the server is told so, and each that has
a label beside it. A new one is loaded, and its warm-up requests are answered, before an old one goes, so that there is
never none. A request keeps the version that it was given: it is answered whole by that one, and a version is freed when
its last request has ended.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.runtime.errors import StageError
from components.runtime.publish import labels as published_labels
from components.runtime.publish import mirror, serving
from model_server import warm_up
from model_server.batching import Batches
from model_server.errors import NotReadyError, NotServedError
from model_server.prediction_log import Asked, PredictionLog
from model_server.saved_model import SavedModel
from model_server.signature import Signature

_LOG = logging.getLogger("millrace.serving")


class State(enum.StrEnum):
    """Of a version, as TensorFlow Serving names them."""

    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


Listing = tuple[tuple[str, int, int, int], ...]
"""Path, inode, size and time of the last change of each file."""


@dataclass
class Loaded:
    """A version, in memory or not.

    Attributes:
      error: why it could not be loaded.
      seen: by what its files are known, so that one that could not be loaded is tried again when it has changed, and
        not before.
      refused: `seen` of what lies there now, where that is another than what is in memory, and cannot be loaded.
      batches: that requests are put together in; None where each is run alone.
    """

    number: int
    folder: Path
    state: State
    seen: Listing
    model: SavedModel | None = None
    error: str = ""
    refused: Listing = ()
    batches: Batches | None = None
    seconds: float = 0.0
    requests: int = field(default=0, repr=False)

    def run(
        self, asked: Asked, signature: Signature, given: Mapping[str, Any], outputs: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Answers one request, which is logged where it is to be.

        Args:
          asked: the request.
          signature: of the model.
          given: arrays or nested lists by input.
          outputs: the names wanted; all where none is named.

        Returns:
          arrays by output.

        Raises:
          BadRequestError: the values do not fit, or the graph refuses them.
          NotReadyError: too many requests wait.
        """
        assert self.model is not None
        model, wanted, arrays = self.model, signature.wanted(outputs), signature.arrays(given)

        def run(rows: Mapping[str, Any]) -> dict[str, Any]:
            return model.run(signature, rows, wanted)

        answers = self.batches.run(run, model, signature, arrays, wanted) if self.batches else run(arrays)
        asked.answered(self.number, model.signatures, signature, arrays, answers)
        return answers


class Versions:
    """The versions of one model."""

    def __init__(
        self,
        name: str,
        root: Path,
        serve_label: str = "",
        log: PredictionLog | None = None,
        batches: Batches | None = None,
    ) -> None:
        """Nothing is loaded before the first `refresh`.

        Args:
          name: of the model, in requests.
          root: its serving directory.
          serve_label: in service is the version that has this label, whatever is newer; the newest where none has it.
          log: of its predictions; None where they are not logged.
          batches: that its requests are put together in; None where each is run alone.
        """
        self.name = name
        self.root = root
        self.log = log
        self._batches = batches
        self._serve_label = serve_label
        self._known: dict[int, Loaded] = {}
        self._labels: dict[str, int] = {}
        self._labels_error = ""
        self._in_service = 0
        # Who looks at the folder holds the first for as long as a model takes to load; requests need only the second.
        self._refreshing = threading.Lock()
        self._lock = threading.RLock()

    def refresh(self) -> None:
        """Looks at the serving directory, loads what is new in it, and frees what has gone or is no longer wanted."""
        with self._refreshing:
            mirror.refresh(self.root)
            folders = dict(serving.numbered(self.root))
            labels = {name: number for name, number in self._read_labels().items() if number in folders}
            in_service = 0
            for number in self._wanted(folders, labels):
                if self._load(number, folders[number]):
                    in_service = number
                    break
            loaded = {number for number in set(labels.values()) if self._load(number, folders[number])}
            with self._lock:
                # What cannot be read does not take what answers out of service.
                if in_service or not folders:
                    self._in_service = in_service
                # Nor does a label leave the version that answers under it for one that cannot be loaded.
                before = {name: number for name, number in self._labels.items() if self._answers(number)}
                self._labels = {
                    name: number if number in loaded else before[name]
                    for name, number in labels.items()
                    if number in loaded or name in before
                }
                wanted = {self._in_service, *self._labels.values()}
                # Those that cannot be loaded are told of as long as they lie there.
                failed = {number for number, each in self._known.items() if each.error and number in folders}
            for number in [number for number in self._known if number not in wanted | failed]:
                self._unload(number)

    def _wanted(self, folders: Iterable[int], labels: Mapping[str, int]) -> list[int]:
        """The versions that may be in service, the one to be first."""
        labelled = labels.get(self._serve_label)
        if labelled is None:
            return sorted(folders, reverse=True)
        # One that cannot be loaded leaves what answers in service; where nothing does, an earlier version is better
        # than none, and a newer one is not.
        if self._answers(self._in_service):
            return [labelled, *({self._in_service} & set(folders))]
        return sorted((number for number in folders if number <= labelled), reverse=True)

    def _read_labels(self) -> dict[str, int]:
        try:
            found = published_labels.read(self.root)
            self._labels_error = ""
            return found
        except ValueError as error:
            # Once, not at every look.
            if str(error) != self._labels_error:
                self._labels_error = str(error)
                _LOG.error("%s; the labels stay as they were", error)
            return self._labels

    def _load(self, number: int, folder: Path) -> bool:
        """Has a version in memory; says whether it is.

        Where other files lie in its place than those that it was loaded from, these are loaded, and what is in memory
        answers until they are, and for good where they cannot be.
        """
        known = self._known.get(number)
        is_served = known is not None and known.state is State.AVAILABLE
        try:
            seen = _listing(mirror.fetched(folder))
        except OSError:
            return is_served
        except StageError as error:
            _LOG.error("%s version %d cannot be fetched: %s", self.name, number, error)
            return is_served
        if known and seen in (known.seen, known.refused):
            return is_served
        version = Loaded(number, folder, State.LOADING, seen, batches=self._batches)
        if not is_served:
            with self._lock:
                self._known[number] = version
        begun = time.monotonic()
        try:
            if manifest := serving.read_version(number, folder):
                serving.verify(manifest)
            model = SavedModel(folder)
            answered = warm_up.replay(model, folder)
        # Whatever a model does while it is loaded, the others are served.
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            stays = "; the one that lay there before stays" if is_served else ""
            _LOG.error("%s version %d cannot be loaded: %s%s", self.name, number, reason[0], stays)
            with self._lock:
                if known and is_served:
                    known.refused = seen
                version.state, version.error = State.END, reason[0]
            return is_served
        with self._lock:
            version.seconds = time.monotonic() - begun
            version.model, version.state = model, State.AVAILABLE
            if known and is_served:
                self._known[number] = version
                known.state = State.UNLOADING
                self._free(known)
        warmed = f", {answered} warm-up requests answered" if answered else ""
        if self.log:
            self.log.check(number, model.signatures)
        _LOG.info("%s version %d is served (loaded in %.1f s%s)", self.name, number, version.seconds, warmed)
        return True

    def _answers(self, number: int) -> bool:
        version = self._known.get(number)
        return version is not None and version.state is State.AVAILABLE

    def _unload(self, number: int) -> None:
        """Gives a version to no further request; it is freed when its last one has ended."""
        with self._lock:
            version = self._known.pop(number)
            was_served = version.state is State.AVAILABLE
            version.state = State.UNLOADING
            self._free(version)
        mirror.dropped(version.folder)
        if was_served:
            _LOG.info("%s version %d is no longer served", self.name, number)

    def _free(self, version: Loaded) -> None:
        if version.state is State.UNLOADING and not version.requests:
            version.state = State.END
            if version.model:
                version.model.close()

    def asked(self, request_id: str | None) -> Asked:
        """A request that begins.

        Args:
          request_id: what its client calls it; None where it does not say.
        """
        return self.log.asked(request_id) if self.log else Asked()

    @contextlib.contextmanager
    def using(self, number: int | None = None, label: str = "") -> Iterator[Loaded]:
        """Gives a version that stays in memory until the request has ended.

        Args:
          number: the one wanted; the one in service where neither it nor a label is given.
          label: that of the one wanted.

        Raises:
          NotServedError: there is none of that number or label.
          NotReadyError: it is loaded still, or nothing is loaded yet.
        """
        with self._lock:
            version = self._find(number, label)
            version.requests += 1
        try:
            yield version
        finally:
            with self._lock:
                version.requests -= 1
                self._free(version)

    def _find(self, number: int | None, label: str) -> Loaded:
        if label:
            if label not in self._labels:
                raise NotServedError(f"{self.name}: no version has the label {label!r}{self._told_labels()}")
            number = self._labels[label]
        if number is None:
            if not self._in_service:
                failed = next((each.error for each in self._known.values() if each.error), "")
                raise NotReadyError(f"{self.name}: no version is loaded{f': {failed}' if failed else ' yet'}")
            number = self._in_service
        version = self._known.get(number)
        if version and version.state is State.LOADING:
            raise NotReadyError(f"{self.name}: version {number} is loaded still")
        if version is None or version.state is not State.AVAILABLE:
            served = sorted(each.number for each in self._known.values() if each.state is State.AVAILABLE)
            raise NotServedError(f"{self.name}: version {number} is not served; these are: {served or 'none'}")
        return version

    def _told_labels(self) -> str:
        return f"; there are {', '.join(sorted(self._labels))}" if self._labels else ""

    @property
    def is_ready(self) -> bool:
        """Whether a request without a version is answered."""
        with self._lock:
            return bool(self._in_service)

    @property
    def in_service(self) -> int:
        """Number of the version that answers where none is asked for; 0 where there is none."""
        with self._lock:
            return self._in_service

    @property
    def labels(self) -> dict[str, int]:
        """The labels of what is served."""
        with self._lock:
            return dict(self._labels)

    def statuses(self, number: int | None = None, label: str = "") -> list[Loaded]:
        """Of all versions that are known, or of one; the newest first.

        Raises:
          NotServedError: there is none of that number or label.
        """
        with self._lock:
            if label:
                if label not in self._labels:
                    raise NotServedError(f"{self.name}: no version has the label {label!r}{self._told_labels()}")
                number = self._labels[label]
            if number is not None and number not in self._known:
                raise NotServedError(f"{self.name}: version {number} is not served")
            return [self._known[each] for each in sorted(self._known, reverse=True) if number in (None, each)]


def _listing(folder: Path) -> Listing:
    found = []

    def fail(error: OSError) -> None:
        raise error

    for parent, _, names in os.walk(folder, onerror=fail):
        for name in names:
            file = os.path.join(parent, name)
            about = os.stat(file)
            found.append((file, about.st_ino, about.st_size, about.st_mtime_ns))
    return tuple(sorted(found))
