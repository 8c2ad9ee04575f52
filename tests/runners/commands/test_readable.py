"""Output where the encoding lacks letters."""

from __future__ import annotations

import io

import pytest

from runners.terminal.readable import make_readable


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("ascii", "✔ ingest  ✘ train · ▶ push", "+ ingest  x train . > push"),
        ("ascii", "├─ größe\n└─ 中", "|- gro\\xdfe\n`- \\u4e2d"),
        ("iso8859-1", "✔ größe", "+ größe"),
        ("utf-8", "✔ 中 \udcff", "✔ 中 \\udcff"),
    ],
)
def test_signs_become_letters_and_nothing_is_lost(encoding: str, text: str, shown: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    make_readable(stream)
    stream.write(text)
    stream.flush()
    assert raw.getvalue().decode(encoding) == shown
