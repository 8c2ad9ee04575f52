"""`ask`: what a served model answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError, TransientError
from components.runtime.model_server.client import Client
from runners.commands import completion
from runners.commands.local_path import LocalPath
from runners.commands.models import load_model
from runners.serving import explanations
from runners.serving import rows as rows_module
from runners.terminal import output
from runners.terminal.output import Result
from runners.terminal.text import table

_LONGEST = 60
_MOST_BACKGROUND = 64
"""That the built-in server takes."""


@click.command()
@click.argument("model", shell_complete=completion.models)
@click.option(
    "--row", "texts", multiple=True, metavar="JSON", help='A row: \'{"name": value}\'; "@FILE" is a file\'s bytes.'
)
@click.option("--data", type=LocalPath(), help="Rows of a CSV, TSV, Parquet or JSON lines file.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 1000), help="So many rows of --data.")
@click.option("--explain", is_flag=True, help="Also tell what the answers go by; of the built-in server alone.")
@click.option(
    "--background",
    type=LocalPath(),
    help=f"Rows to explain against, as --data; the first {_MOST_BACKGROUND}. Without, those of the version's warm-up.",
)
@click.option("--url", default="http://127.0.0.1:8501", show_default=True, help="Where the server is.")
@click.option("--version", "number", type=click.IntRange(min=1), help="The version that shall answer.")
@click.option("--label", default="", help="The label of the version that shall answer.")
@click.option("--candidate", default="", help="Of several models that are each pushed: the one to ask.")
def ask(
    model: str,
    texts: tuple[str, ...],
    data: Path | None,
    limit: int,
    explain: bool,
    background: Path | None,
    url: str,
    number: int | None,
    label: str,
    candidate: str,
) -> Result:
    """Ask a served MODEL, and tell which version answered. `./millrace serve MODEL` serves it.

    What a row does not name counts as a missing value.
    """
    if bool(texts) == (data is not None):
        raise InputError("give either --row, as often as there are rows, or --data")
    if number is not None and label:
        raise InputError("--version and --label exclude each other; give one of them")
    if background and not explain:
        raise InputError("--background has the rows to explain against; give --explain too, or leave it out")
    settings = load_model(model)
    name = candidate or settings.folder.name
    client = Client(url, name)
    try:
        version = number if number is not None else client.version(label)
        inputs = client.inputs(version)
    except TransientError as error:
        raise TransientError(f"{error}; ./millrace serve {model} starts a server") from None
    if data is not None:
        rows, missing = rows_module.of_file(data, inputs, limit)
    else:
        read = [rows_module.of_text(text, inputs) for text in texts]
        rows, missing = [row for row, _ in read], [name for name in inputs if any(name in lacks for _, lacks in read)]
    if missing:
        output.warn(f"warning: without a value, and so taken for missing: {', '.join(sorted(missing))}")
    against, lacking = rows_module.of_file(background, inputs, _MOST_BACKGROUND) if background else ([], [])
    if lacking:
        output.warn(f"warning: {background}: without a column, and so taken for missing: {', '.join(sorted(lacking))}")
    answered = client.ask(rows, version)
    answers, ids = answered.predictions, answered.prediction_ids
    explained = client.explain(rows, version, against) if explain else None
    columns = list(answers[0]) if isinstance(answers[0], dict) else ["prediction"]

    def told() -> None:
        cells = [
            [_cell(answer[name] if isinstance(answer, dict) else answer) for name in columns] for answer in answers
        ]
        if ids:
            cells = [[*each, name] for each, name in zip(cells, ids, strict=True)]
        logged = ["prediction id"] if ids else []
        table(["row", *columns, *logged], [[str(place), *each] for place, each in enumerate(cells, 1)])
        output.note(f"answered by version {version} of {name}")
        if explained:
            explanations.tell(explained)

    document = {
        "model": name,
        "version": version,
        "address": url,
        "predictions": answers,
        "prediction_ids": ids,
    }
    return Result(document | ({"explanations": explained} if explained else {}), told, answers)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        text = "[" + ", ".join(_cell(each) for each in value[:20]) + (", …]" if len(value) > 20 else "]")
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
