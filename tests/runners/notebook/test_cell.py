"""What a cell shows is read on a light ground and on a dark one."""

from __future__ import annotations

import re

import pytest
from rich.text import Text

from runners.notebook.cell import preformatted


def _luminance(colour: str) -> float:
    """Of WCAG."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_what_is_dim_is_still_read(ground: str) -> None:
    [colour] = set(re.findall(r"#[0-9a-f]{6}", str(preformatted(Text("6.2 s", style="dim")))))
    lights = sorted((_luminance(colour), _luminance(ground)), reverse=True)
    assert (lights[0] + 0.05) / (lights[1] + 0.05) >= 4
