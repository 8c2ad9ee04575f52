"""Options that are paths of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


class LocalPath(click.Path):
    """As Click's, a `Path`; a URI is refused, which would else be a folder called `s3:`."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        """Takes Click's arguments for what may be there."""
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As Click's."""
        if "://" in os.fspath(value):
            self.fail(f"{os.fspath(value)!r} is a URI; name a place on this machine", param, ctx)
        return super().convert(value, param, ctx)
