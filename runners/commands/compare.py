"""`compare`: two runs side by side, in the terminal and as a page."""

from __future__ import annotations

from pathlib import Path

import click

from runners.commands import completion
from runners.commands.local_path import LocalPath
from runners.history import as_json
from runners.history.candidates import of_candidate
from runners.history.comparison import compare_runs
from runners.history.comparison_tables import print_metrics, print_names, print_rows
from runners.history.records import Run, load_run
from runners.terminal.output import Result


@click.command()
@click.argument("left", metavar="RUN", shell_complete=completion.runs)
@click.argument("right", metavar="RUN", shell_complete=completion.runs)
@click.option(
    "--html",
    "file",
    metavar="FILE",
    type=LocalPath(dir_okay=False),
    help="Where the page goes; comparisons/<RUN>-<RUN>.html in the pipeline root when not given.",
)
@click.option("--all", "everything", is_flag=True, help="Also what is the same.")
@click.pass_context
def compare(context: click.Context, left: str, right: str, file: Path | None, everything: bool) -> Result:
    """Compare two RUNs: parameters, metrics, files, artifacts.

    RUN is an id, the beginning of one, a model (the newest of its runs), or `latest`; RUN/CANDIDATE is one of
    several models of a run.
    """
    root: Path = context.obj["root"]
    compared = compare_runs(_load(root, left), _load(root, right))
    names = (compared.left.id, compared.right.id)

    def page() -> Path:
        # The drawing library takes a second to import, which the tables in the terminal should not wait for.
        from runners.history.pages.compare_page import write

        return write(compared, file or root / "comparisons" / _page(names))

    def tables() -> None:
        print_names(names)
        print_rows("outcome", compared.summary, everything=True)
        print_metrics("metrics", compared.metrics)
        print_metrics("work", compared.work)
        print_rows("parameters", compared.parameters, everything=everything)
        print_rows("files", compared.files, everything=everything)
        print_rows("artifacts", compared.artifacts, everything=everything)
        click.echo(f"page: {page()}")

    return Result(lambda: as_json.comparison(compared) | {"page": page()}, tables, product=page)


def _load(root: Path, reference: str) -> Run:
    name, slash, candidate = reference.partition("/")
    run = load_run(root, name)
    return of_candidate(run, candidate) if slash else run


def _page(names: tuple[str, str]) -> str:
    return f"{names[0]}-{names[1]}.html".replace("/", "-")
