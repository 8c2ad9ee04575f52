"""The text of a query: one statement that reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from components.query.answers import Partition
from components.runtime.data.query_sources import POSTGRESQL
from components.runtime.errors import InputError

_COMMENT = re.compile(r"\s+|--[^\n]*(\n|$)|/\*.*?\*/", re.DOTALL)
_END = re.compile(r"(\s|;)+$")
# Texts, names and comments, in which a semicolon ends nothing.
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/|;|[^'"`$\-/;]+|.""", re.DOTALL)
_BEHIND = re.compile(r"(;|\s+|--[^\n]*(\n|$)|/\*.*?\*/)*", re.DOTALL)
_READING = ("SELECT", "WITH", "VALUES", "TABLE", "FROM")
_WORD = re.compile(r"\(*\s*([A-Za-z]+)")
_MOST_PARTS = 64


def single_select(sql: str) -> str:
    """A query without what may stand behind its end.

    Whether there is a second statement behind the first is for the sources to say, whose drivers take one at a time.

    Raises:
      InputError: it does not begin as a statement does that reads.
    """
    text = _END.sub("", _without_last_comments(sql))
    place = 0
    while found := _COMMENT.match(text, place):
        place = found.end()
    word = _WORD.match(text, place)
    if not text[place:]:
        raise InputError("the query is empty: say what is asked, such as SELECT * FROM trips")
    if not word or word[1].upper() not in _READING:
        begins = text[place:].split(None, 1)[0][:40]
        raise InputError(
            f"the query begins with {begins!r}: nothing but a single SELECT is asked; a view can do the rest"
        )
    return text


def _without_last_comments(sql: str) -> str:
    """Takes away comments behind the semicolon that ends a statement; some sources take them for another statement."""
    if "\\" in sql:
        # Whether it keeps a quote from ending a text is another thing for each source.
        return sql
    for found in _QUOTED.finditer(sql):
        if found[0] == ";":
            return sql[: found.start()] if _BEHIND.fullmatch(sql, found.start()) else sql
    return sql


def check_partition(partition: Mapping[str, Any], kind: str) -> Partition | None:
    """Reads the parameter `partition`; None where an answer is read in one.

    Raises:
      InputError: other keys, a number of parts that makes no sense, or a source that is not read in parts.
    """
    if not partition:
        return None
    column, parts = partition.get("column"), partition.get("parts")
    if set(partition) != {"column", "parts"} or not isinstance(column, str) or not column:
        raise InputError("partition: say by which column, and in how many parts: {column: trip_id, parts: 4}")
    if isinstance(parts, bool) or not isinstance(parts, int | float) or parts % 1 or not 1 <= parts <= _MOST_PARTS:
        raise InputError(f"partition.parts is {parts!r}: give a number from 1 to {_MOST_PARTS}")
    if kind != POSTGRESQL:
        raise InputError(
            f"partition is for postgresql, and this is {kind}, which is read at once as far as it can be: take it out"
        )
    return Partition(column, int(parts))
