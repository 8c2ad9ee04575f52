"""The sources, each with its driver, which is imported where it is asked."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from components.query.answers import Answer, Asked
from components.runtime.errors import InputError


@contextmanager
def open_source(asked: Asked) -> Iterator[Answer]:
    """Asks a source; what it answers can be read while the context lasts.

    Raises:
      InputError: the driver is not installed, or what is asked cannot be answered.
      TransientError: the source does not answer now.
    """
    kind = asked.source["kind"]
    try:
        module = importlib.import_module(f"components.query.sources.{kind}")
    except ModuleNotFoundError as error:
        raise InputError(
            f"{asked.place}: its driver is not installed ({error.name}): the stage query runs in the environment "
            "databases, which `make query-environment` makes"
        ) from None
    with module.answer(asked) as answer:
        yield answer
