"""A pipeline root in a bucket, of which a pod has what it needs in a folder of its own.

What a task reads is brought before it, what it made goes there after it: the files of an execution first, its record
last, so that an execution in the bucket is whole or none. Logs, notes and lineage of a run go there when the task ends,
however it does.

`python -m components.runtime.launch.bucket_root --bucket URI --root FOLDER -- COMMAND …` runs a command over the
records of all runs: those who look at a root from outside.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from components.runtime.data.bucket import Bucket, ChangedError, Stored
from components.runtime.data.claims import Before, Claim
from components.runtime.errors import StageError, TransientError
from components.runtime.lineage import record as lineage
from components.runtime.records import execution_record, final_status
from components.runtime.stage import progress
from components.runtime.stage.artifacts import EMPTY_NOTE, remove

_BULK = ("transform_graph", "model", "serving", "variables", "assets")
_LARGEST = 4_000_000
_WORTH_TELLING = 1 << 20


class BucketRoot:
    """A pipeline root in a bucket, and the folder that has parts of it."""

    def __init__(self, uri: str, folder: Path) -> None:
        """Nothing is brought yet.

        Args:
          uri: of the root.
          folder: of this pod.

        Raises:
          InputError: it is no place in object storage.
        """
        self._bucket = Bucket(uri)
        self._folder = folder
        self._sent: dict[Path, tuple[int, int]] = {}
        self._whole: set[str] = set()

    def check(self) -> None:
        """Asks whether the bucket is there and may be read.

        Raises:
          InputError: it is not, or refuses.
          TransientError: it does not answer.
        """
        self._bucket.list("lineage/none")

    def bring_execution(self, path: str) -> None:
        """Brings an execution with all that it made, where the bucket has it and the folder does not."""
        if path in self._whole:
            return
        self._whole.add(path)
        with contextlib.suppress(execution_record.Unusable):
            execution_record.usable(self._folder, path)
            return
        listed = self._bucket.list(path)
        record = f"{path}/{execution_record.FILE}"
        if any(each.name == record for each in listed):
            self._bring(listed, f"fetching {path}")

    def find(self, path: str) -> dict[str, Any] | None:
        """The record of an execution that is whole in the bucket; what it made stays there."""
        listed = self._bucket.list(path)
        if not any(each.name == f"{path}/{execution_record.FILE}" for each in listed):
            return None
        self._bring_record(path)
        record = execution_record.read(self._folder, path)
        for name, artifact in (record or {}).get("outputs", {}).items():
            below = f"{path}/{name}"
            of_it = [each for each in listed if each.name == below or each.name.startswith(f"{below}/")]
            size = sum(each.size for each in of_it if not each.name.endswith(f"/{EMPTY_NOTE}"))
            if not of_it or size != artifact.get("metadata", {}).get("bytes", size):
                return None
        return record

    @contextlib.contextmanager
    def run(self, run: str) -> Iterator[None]:
        """Brings what a run has left so far, and sends what is new of it at the end, however that is."""
        self._bring_run(run)
        try:
            yield
        except BaseException:
            # What ended the work says more.
            with contextlib.suppress(StageError):
                self.send_run(run)
            raise
        self.send_run(run)

    def _bring_run(self, run: str) -> None:
        """Brings notes, logs, lineage, and the records of executions."""
        for place in (f"runs/{run}", f"lineage/{run}"):
            self._bring(self._bucket.list(place), f"fetching {place}")
            self._sent |= {file: _state(file) for file in self._files(place)}
        # What the tasks before made is told by their records alone.
        for note in final_status.notes(self._folder, run):
            self._bring_record(note["execution"])

    def _bring_record(self, path: str) -> None:
        file = self._folder / path / execution_record.FILE
        if path and not file.exists():
            with contextlib.suppress(FileNotFoundError):
                content, _ = self._bucket.read(f"{path}/{execution_record.FILE}")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)

    def bring_records(self) -> None:
        """Brings the records of all runs; what is large stays."""
        small = [each for each in self._bucket.list() if each.size <= _LARGEST and _is_record(each.name)]
        self._bring(small, "fetching the records")
        self._sent |= {file: _state(file) for file in self._files("")}

    def _bring(self, listed: Sequence[Stored], doing: str) -> None:
        if not listed:
            return
        try:
            size = sum(each.size for each in listed)
            told = progress.counting(size, "bytes", doing)
            with told if size >= _WORTH_TELLING else contextlib.nullcontext():
                self._bucket.download(listed, self._folder, progress.advance)
        except FileNotFoundError as error:
            raise TransientError(f"{error}; somebody removed it meanwhile: run again") from None

    def send_execution(self, record: dict[str, Any]) -> dict[str, Any]:
        """Sends an execution that was made here; returns the record of the one that is there then.

        Raises:
          TransientError: another run makes the same one, or the bucket does not answer.
        """
        path = execution_record.home(record)
        folder, _, key = path.rpartition("/")
        claim = Claim(self._bucket, f"{folder}/.claim-{key}", str(record["run"]), f"{self._bucket.uri}/{path}")
        with claim.held():
            there = {each.name for each in self._bucket.list(path)}
            if f"{path}/{execution_record.FILE}" in there:
                # Another run finished the same execution meanwhile; its artifacts are as good, and may be in use.
                remove(self._folder / path)
                self._bring(self._bucket.list(path), f"fetching {path}")
                return execution_record.usable(self._folder, path)
            if claim.before is not Before.NOBODY:
                self._bucket.delete(there)
            files = {file.relative_to(self._folder).as_posix(): file for file in self._files(path)}
            told = files.pop(f"{path}/{execution_record.FILE}")
            size = sum(file.stat().st_size for file in files.values())
            sending = progress.counting(size, "bytes", f"sending {len(files)} files")
            with sending if size >= _WORTH_TELLING else contextlib.nullcontext():
                self._bucket.upload_all(files, progress.advance, claim.check)
            claim.check()
            try:
                self._bucket.write(f"{path}/{execution_record.FILE}", told.read_bytes(), None)
            except ChangedError:
                raise TransientError(f"{self._bucket.uri}/{path}: another run made it meanwhile; run again") from None
        return record

    def send_run(self, run: str) -> None:
        """Sends what has changed of a run's record, logs, notes and lineage."""
        lineage.flush()
        for place in (f"runs/{run}", f"lineage/{run}"):
            self.send_changed(place)

    def send_changed(self, place: str = "") -> None:
        """Sends what has changed below a folder since it was brought."""
        changed = [file for file in self._files(place) if self._sent.get(file) != _state(file)]
        named = {file.relative_to(self._folder).as_posix(): file for file in changed}
        self._bucket.upload_all(named, lambda count: None, lambda: None)
        self._sent |= {file: _state(file) for file in changed}

    def _files(self, place: str) -> list[Path]:
        return [file for file in sorted((self._folder / place).rglob("*")) if file.is_file()]


def _state(file: Path) -> tuple[int, int]:
    about = file.stat()
    return about.st_size, about.st_mtime_ns


def _is_record(name: str) -> bool:
    """Whether those who look at a root want it: all but examples, models and whatever else is large."""
    top, *folders, last = name.split("/")
    if top == "serving":
        return last in ("labels.json", "millrace.json")
    bulky = last.endswith((".gz", ".keras", ".h5")) or last.startswith(("plots-", "."))
    inside = any(each in _BULK or each.startswith(("Format-", ".")) for each in folders[3:])
    return top in ("runs", "lineage") or (top == "artifacts" and not bulky and not inside)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a command over the records of a root in a bucket, and sends what it changed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args(argv)
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    try:
        root = BucketRoot(given.bucket, given.root)
        root.bring_records()
        ended = subprocess.run(command, check=False)
        root.send_changed()
    except StageError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
