"""One server of each kind for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.components.query import servers


@pytest.fixture(scope="session")
def postgresql() -> Iterator[dict[str, Any]]:
    with servers.postgresql() as source:
        yield source


@pytest.fixture(scope="session")
def mariadb() -> Iterator[dict[str, Any]]:
    with servers.mariadb() as source:
        yield source
