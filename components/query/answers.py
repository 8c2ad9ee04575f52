"""What is asked of a source, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from components.runtime.data import query_sources
from components.runtime.errors import InputError

WHOLE_LAKE = "SELECT * FROM lake"

BATCH_ROWS = 16384
"""Rows that are fetched at once of sources whose rows come one by one."""


@dataclass(frozen=True)
class Partition:
    """How an answer is read in parts at once.

    Attributes:
      column: of whole numbers.
      parts: how many.
    """

    column: str
    parts: int


@dataclass(frozen=True)
class Asked:
    """What is asked of a source.

    Attributes:
      source: with the defaults of its kind.
      sql: one SELECT, without a semicolon behind it.
      partition: None to read it in one.
      secret: password or token; empty where there is none. Never to be told.
      variable: that the secret came from.
    """

    source: Mapping[str, Any]
    sql: str
    partition: Partition | None = None
    secret: str = ""
    variable: str = query_sources.SECRET_VARIABLE

    @property
    def is_whole_lake(self) -> bool:
        """Whether all of a lake's table is asked for, as it is without a query."""
        return self.sql == WHOLE_LAKE

    @property
    def place(self) -> str:
        """The source in a few words."""
        return query_sources.told(self.source)

    def needed_secret(self) -> str:
        """The secret of a source that lets nobody in without.

        Raises:
          InputError: there is none.
        """
        if not self.secret:
            what = query_sources.KINDS[self.source["kind"]].secret
            raise InputError(
                f"{self.place}: no {what}: set {self.variable} in the environment (on a cluster: a secret under "
                "resources.query.secrets in the settings)"
            )
        return self.secret


@dataclass(frozen=True)
class Rows:
    """Rows as they come, in batches of any size."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


Part = Callable[[], AbstractContextManager[Rows]]
"""Opens some of the rows; different parts may be read by different threads."""


@dataclass(frozen=True)
class Answer:
    """The rows of an answer, in parts that may be read at once, and the state of the source that they are of.

    Attributes:
      parts: in the order of their rows.
      snapshot: what tells that state from others, in a few words: a version, the number of a snapshot, a time.
    """

    parts: Sequence[Part]
    snapshot: str
