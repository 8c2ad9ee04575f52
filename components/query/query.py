"""The query stage: asks a database or a lake, and keeps the rows of its answer as Parquet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from components.query.answers import WHOLE_LAKE, Asked
from components.query.sources import open_source
from components.query.statements import check_partition, single_select
from components.query.table_files import write
from components.runtime.data import query_sources
from components.runtime.data.storage import local_file
from components.runtime.errors import InputError
from components.runtime.records.facts import counted
from components.runtime.stage.artifacts import OutputArtifact
from components.runtime.stage.progress import report

_LONGEST_TEXT = 8 << 10
"""Letters of a query that the metadata take: KFP hands all metadata of a task's inputs over in one argument."""


def query(
    table: OutputArtifact,
    source: dict[str, Any],
    sql: str,
    sql_file: str,
    partition: dict[str, Any],
    variable: str,
) -> None:
    """Asks a source, and keeps the rows.

    Args:
      table: gets `part-<number>.parquet`.
      source: see `components.runtime.data.query_sources`.
      sql: the query.
      sql_file: has the query instead.
      partition: `column` and `parts`, see `components.query.statements`.
      variable: of the environment, with the password or the token.

    Raises:
      InputError: the source, the query or the secret cannot be used, or the answer has no rows or no usable columns.
      TransientError: the source does not answer now.
    """
    where = query_sources.read(source)
    secret = os.environ.get(variable, "") if query_sources.KINDS[where["kind"]].secret else ""
    asked = Asked(
        source=where,
        sql=single_select(_text(sql, sql_file, where["kind"])),
        partition=check_partition(partition, where["kind"]),
        secret=secret,
        variable=variable,
    )
    report(f"asking {asked.place}")
    with open_source(asked) as answer:
        rows, columns = write(answer, table.directory(), asked)
        files = len(answer.parts)
    table.metadata |= {
        "rows": rows,
        "source": asked.place,
        "query": asked.sql if len(asked.sql) <= _LONGEST_TEXT else f"{asked.sql[:_LONGEST_TEXT]}…",
        "snapshot": answer.snapshot,
        "files": files,
        "columns": columns,
    }
    report(f"{counted(rows, 'row')} of {counted(columns, 'column')} as of {answer.snapshot}")


def _text(sql: str, sql_file: str, kind: str) -> str:
    """The query that was given in one of two ways.

    Raises:
      InputError: it was given in both, in none where the source has more than one table, or in a file that is no text.
    """
    if sql and sql_file:
        raise InputError("sql and sql_file both say what is asked: leave one of them out")
    if not sql_file:
        if not sql and kind not in query_sources.LAKES:
            raise InputError("no query: say what is asked with sql or sql_file")
        return sql or WHOLE_LAKE
    path: Path = local_file(sql_file)
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"sql_file {sql_file}: cannot be read as text ({error}): name a file with a query") from None
