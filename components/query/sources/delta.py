"""Delta tables: the newest version or one of them, asked by DuckDB, which reads only the columns that it needs."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Its log goes to the error stream, besides the errors that it raises; the library reads this as it is loaded.
os.environ.setdefault("RUST_LOG", "off")

import deltalake
from deltalake.exceptions import DeltaError

from components.query.answers import Answer, Asked
from components.query.faults import telling
from components.query.sources.duckdb import connected, rows
from components.runtime.errors import InputError

# Between an error and what has caused it, with the codes of colours.
_CAUSE = re.compile(r"\s*(?:\\x1b|\x1b)\[\d+m↳(?:\\x1b|\x1b)\[0m\s*")


@contextmanager
def answer(asked: Asked) -> Iterator[Answer]:
    """Opens the table; storage takes its credentials from the environment."""
    path, version = asked.source["path"], asked.source["version"]
    if "://" not in path and not (Path(path) / "_delta_log").is_dir():
        raise InputError(
            f"{asked.place}: there is no Delta table, which has a folder _delta_log: mend source.path in ingest.query"
        )
    with telling(asked, (DeltaError, OSError), clean=_clean), connected(asked) as connection:
        table = deltalake.DeltaTable(path, version=None if version < 0 else version)
        connection.register("lake", table.to_pyarrow_dataset())
        written = datetime.datetime.fromtimestamp(table.history(1)[0]["timestamp"] / 1000, datetime.UTC)
        state = f"version {table.version()} of {written.isoformat(timespec='seconds')}"
        yield Answer([lambda: rows(connection, asked)], state)


def _clean(text: str) -> str:
    return _CAUSE.sub(": ", text)
