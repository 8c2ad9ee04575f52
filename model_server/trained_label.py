"""The label of what a version was trained on, as its folder tells."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from pathlib import Path

from components.runtime.data import schema_columns
from components.runtime.data.labels import label_of
from components.runtime.data.schema_columns import Column
from components.runtime.errors import InputError
from components.runtime.publish import trained_on
from model_server.signature import Signature
from model_server.versions import Loaded


def label_of_version(version: Loaded, signature: Signature) -> Column | None:
    """The label that predictions of a version may get: the only column of its data that it is not given."""
    return label_of(_columns(version.folder), signature.inputs)


@functools.lru_cache(maxsize=8)
def _columns(folder: Path) -> Mapping[str, Column]:
    # (A version's folder does not change.)
    with contextlib.suppress(InputError):
        schema = trained_on.read(folder).schema
        return schema_columns.read(schema) if schema else {}
    return {}
