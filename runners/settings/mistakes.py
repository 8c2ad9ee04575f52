"""Tells what is wrong in settings, in words of those who write them."""

from __future__ import annotations

import typing
from typing import Any

from pydantic import BaseModel, ValidationError

from components.runtime.errors import did_you_mean

NO_KEYS = ("folder", "models", "purpose")
"""Where the settings lie is in them for us alone."""


def explain(error: ValidationError, settings: type[BaseModel]) -> str:
    """The first mistake in words, with the nearest known key for an unknown one.

    Args:
      error: of the validation.
      settings: what was validated.
    """
    # An unknown key comes first: where one is misspelt, the right one may be missing too.
    mistake = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    message = mistake["msg"].removeprefix("Value error, ")
    name = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "literal_error":
        # An empty text is what a key has that nobody wrote.
        message = message.replace("'', ", "").replace("'' or ", "")
    if mistake["type"] == "extra_forbidden":
        return unknown([str(part) for part in mistake["loc"]], settings)
    if mistake["type"] == "model_type" and mistake["input"] is not None:
        return f"{name}: expected keys and their values, not {mistake['input']!r}"
    if isinstance(mistake["input"], dict | BaseModel):
        # What several keys say together; the message names them.
        return f"{name}: {message}" if name else message
    return f"{name}: {message}" if mistake["input"] is None else f"{name}: {message}, not {mistake['input']!r}"


def unknown(place: list[str], settings: type[BaseModel]) -> str:
    """Tells of an unknown key, by its place in the settings, and which ones are known there."""
    *parents, key = place
    fields = _section(parents, settings).model_fields
    known = [field.alias or name for name, field in fields.items() if name not in NO_KEYS]
    return f"unknown key {'.'.join(place)!r}{did_you_mean(key, known)}; known here: {', '.join(known)}"


def _section(parents: list[str], settings: type[BaseModel]) -> Any:
    """The section that lies at a place in the settings."""
    kind: Any = settings
    for parent in parents:
        kind = _plain(kind)
        fields = getattr(kind, "model_fields", {})
        named = [field.annotation for name, field in fields.items() if parent in (name, field.alias)]
        # In a list or a mapping the part of the place is a number or a key.
        kind = named[0] if named else typing.get_args(kind)[-1]
    return _plain(kind)


def _plain(kind: Any) -> Any:
    """A type without the None that may stand in its place."""
    plain = [argument for argument in typing.get_args(kind) if argument is not type(None)]
    return plain[0] if type(None) in typing.get_args(kind) else kind
