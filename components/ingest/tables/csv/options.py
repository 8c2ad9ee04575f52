"""The parameters of ingest that say how CSV files are written."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from components.runtime.errors import InputError

UTF8 = "utf-8"
UTF8_MARK = codecs.BOM_UTF8

_DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "blank": " "}
_NO_DELIMITERS = '"\r\n\0'


@dataclass(frozen=True)
class CsvOptions:
    """How CSV files are written, checked.

    Attributes:
      delimiter: the one character between cells.
      encoding: of the text, as Python names it; that of UTF-8 is `utf-8`, with a byte order mark or without.
      header: whether the first line names the columns.
      column_names: in the order of the files; empty where the header alone names them.
      null_values: cells that are missing values, besides empty ones.
      decimal: the mark before the decimals of a number, `.` or `,`.
      text_columns: columns that are text whatever they look like.
    """

    delimiter: str = ","
    encoding: str = UTF8
    header: bool = True
    column_names: tuple[str, ...] = ()
    null_values: tuple[str, ...] = ()
    decimal: str = "."
    text_columns: tuple[str, ...] = ()

    @classmethod
    def parse(cls, **given: Any) -> Self:
        """Checks the parameters of ingest.

        Args:
          given: by the names of the attributes, lists in the place of tuples.

        Raises:
          InputError: a value that cannot be used; says what can.
        """
        header, names = given.get("header", cls.header), _texts(given, "column_names")
        if not header and not names:
            raise InputError("header is false: name the columns in column_names, in the order of the files")
        for place, name in enumerate(names, 1):
            if not name.strip() or name in names[: place - 1]:
                why = f"{name!r} a second time" if name.strip() else "an empty name"
                raise InputError(f"column_names: name {place} is {why}: give every column a name of its own")
        decimal = given.get("decimal", cls.decimal)
        if decimal not in (".", ","):
            raise InputError(f"decimal is {decimal!r}: choose '.' or ','")
        return cls(
            _delimiter(given.get("delimiter", cls.delimiter)),
            _encoding(given.get("encoding", cls.encoding)),
            header,
            names,
            _texts(given, "null_values"),
            decimal,
            _texts(given, "text_columns"),
        )

    @property
    def given(self) -> list[str]:
        """The names of what differs from its default."""
        return [each.name for each in fields(self) if getattr(self, each.name) != each.default]


def written(delimiter: str) -> str:
    """A delimiter as settings have it."""
    return '"\\t"' if delimiter == "\t" else f'"{delimiter}"'


def _texts(given: dict[str, Any], name: str) -> tuple[str, ...]:
    values: Sequence[Any] = given.get(name, ())
    for value in values:
        if not isinstance(value, str):
            raise InputError(f"{name} has {value!r}, which is no text: put it in quotes")
    return tuple(values)


def _delimiter(given: str) -> str:
    delimiter = _DELIMITER_NAMES.get(given, given)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in _NO_DELIMITERS:
        raise InputError(
            f'delimiter is {given!r}: give one ASCII character in quotes, such as ";", "|" or " ", or "\\t" for a tab'
        )
    return delimiter


def _encoding(given: str) -> str:
    try:
        name = codecs.lookup(given).name
        # Python's codecs between bytes and bytes, such as base64, refuse text.
        "".encode(name)
    except (LookupError, ValueError):
        raise InputError(
            f"encoding is {given!r}: give one that Python knows, such as utf-8, utf-16, cp1252 or latin-1"
        ) from None
    return UTF8 if name == "utf-8-sig" else name
