"""What pages do with figures."""

from __future__ import annotations

from components.runtime.stage import report


def test_wide_figures_keep_a_size_that_can_be_read_in_narrow_windows() -> None:
    wide, small = (report.drawing(report.figure(width, 2), "of bars") for width in (9.5, 4.9))
    page = report.page("Evaluation", report.section("Bars", wide))
    assert wide.startswith('<svg role="img" class="wide" aria-label="of bars" ')
    assert small.startswith('<svg role="img" aria-label="of bars" ')
    assert "svg.wide { min-width: 640px; }" in page
    assert "section { margin: 16px 0; overflow-x: auto; }" in page
