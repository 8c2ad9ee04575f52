"""Runs ingest as its main program does, in a forked process as a warm runner would, and reads what it wrote."""

from __future__ import annotations

import gzip
import json
import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import components.ingest.ingest  # noqa: F401 (before the fork)
from components.runtime.data import examples, tfrecord
from components.runtime.stage.executor import run_stage
from tests.support import StageResult, executor_input

DEFAULT_SPLITS = {"train": 2, "eval": 1}
ROWS = b"number,text\n" + b"".join(b"%d,word %d\n" % (row, row) for row in range(30))


@dataclass
class Ingested:
    """What one run of ingest left behind."""

    result: StageResult

    @property
    def metadata(self) -> dict[str, Any]:
        return self.result.metadata("examples")

    def files(self) -> dict[str, bytes]:
        """Content of every file by its path in the artifact."""
        root = self.result.folder / "examples"
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}

    @property
    def page(self) -> str:
        """The page with the sample."""
        return (self.result.folder / "sample").read_text()

    def records(self, split: str) -> list[bytes]:
        """Serialised tf.Examples of a split, shard after shard."""
        shards = sorted((self.result.folder / "examples" / f"Split-{split}").iterdir())
        return [record for shard in shards for record in tfrecord.read(shard)]

    def rows(self, split: str | None = None) -> list[dict[str, list[Any]]]:
        """Decoded records of a split, or of all."""
        names = [split] if split else self.metadata["splits"]
        return [examples.decode(record) for name in names for record in self.records(name)]


def run_ingest(
    folder: Path,
    data: Path | str,
    *,
    format: str = "auto",
    splits: Any = None,
    patterns: Any = None,
    images: Any = None,
    sample_rows: int = 10,
    text_columns: Sequence[str] = (),
    leave_out_without: Sequence[str] = (),
    span: str = "",
    spans: int = 0,
    on_gaps: str = "warn",
    scheduled: str = "",
    csv: Mapping[str, Any] = {},
    user: int | None = None,
    schema: Path | None = None,
) -> StageResult:
    """Runs the stage's main program in a fork of this process.

    Args:
      folder: gets the outputs.
      data: see the parameters of the stage, as all that is not told here.
      csv: further parameters: how CSV files are written.
      user: another user to run it as.
      schema: folder of a schema artifact.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = {
        "data": str(data),
        "format": format,
        "splits": DEFAULT_SPLITS if splits is None else splits,
        "split_patterns": patterns or {},
        "images": images or {},
        "sample_rows": sample_rows,
        "text_columns": list(text_columns),
        "leave_out_without": list(leave_out_without),
        "span": span,
        "spans": spans,
        "on_gaps": on_gaps,
        "scheduled": scheduled,
        **csv,
    }
    inputs = {"schema": schema} if schema else {}
    text = json.dumps(executor_input(folder, parameters=parameters, inputs=inputs, outputs=["examples", "sample"]))
    logs = [folder.with_name(f"{folder.name}.{stream}") for stream in ("stdout", "stderr")]
    child = os.fork()
    if child == 0:
        code = 99
        try:
            for number, log in enumerate(logs, 1):
                os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            if user is not None:
                os.setgid(user)
                os.setuid(user)
            run_stage("components.ingest.ingest:ingest", ["--executor-input", text])
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return StageResult(code, logs[0].read_text(), logs[1].read_text(), folder)


def ingested(folder: Path, data: Path | str, **arguments: Any) -> Ingested:
    """Runs the stage, which must end well."""
    result = run_ingest(folder, data, **arguments)
    assert result.exit_code == 0, result.stderr
    return Ingested(result)


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files by their path in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def tfrecord_bytes(records: Iterable[bytes], *, compress: bool = True) -> bytes:
    """A TFRecord file."""
    framed = tfrecord.frame(list(records))
    return gzip.compress(framed, mtime=0) if compress else framed
