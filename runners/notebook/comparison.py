"""Two runs side by side, in a notebook."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from runners.history import records
from runners.history.comparison import compare_runs
from runners.history.comparison_tables import print_metrics, print_names, print_rows
from runners.history.pages import compare_page
from runners.notebook import cell
from runners.notebook.cell import mendable


class Comparison:
    """What differs between two runs.

    Attributes:
      tables: the rows: `summary`, `parameters`, `metrics`, `files`, `artifacts`.
    """

    def __init__(self, left: records.Run, right: records.Run) -> None:
        """Puts them side by side."""
        self.tables = compare_runs(left, right)

    def write(self, file: str | Path) -> Path:
        """Writes the page, which is one file without a network."""
        with mendable():
            return compare_page.write(self.tables, Path(file))

    def __repr__(self) -> str:
        lines = io.StringIO()
        compared = self.tables
        with contextlib.redirect_stdout(lines):
            print_names((compared.left.id, compared.right.id))
            print_rows("outcome", compared.summary, everything=True)
            print_metrics("metrics", compared.metrics)
            print_rows("parameters", compared.parameters, everything=False)
            print_rows("files", compared.files, everything=False)
            print_rows("artifacts", compared.artifacts, everything=False)
        return lines.getvalue().rstrip()

    def _repr_html_(self) -> str:
        names = f"{self.tables.left.id} and {self.tables.right.id}"
        return cell.framed(compare_page.render(self.tables), names)
