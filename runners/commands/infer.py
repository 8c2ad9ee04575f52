"""`infer`: a pushed version answers every row of new data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError, did_you_mean
from components.runtime.records import execution_record
from components.runtime.records.facts import counted
from components.runtime.text.redaction import refuse_credentials
from runners.commands import completion
from runners.commands.local_path import LocalPath
from runners.commands.models import place_of, served_from
from runners.compiled.pipelines import compiled
from runners.history import as_json
from runners.history.records import load_run
from runners.local import request
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.serving import data_columns, predictions
from runners.settings import purposes
from runners.settings.model import Settings
from runners.terminal import output
from runners.terminal.display import make_display
from runners.terminal.model_lines import short
from runners.terminal.output import Result
from runners.versions.listing import schema_by_lineage
from runners.versions.place import Place, some

TASK = "bulk-infer"


@click.command()
@click.argument("model", shell_complete=completion.models)
@click.option(
    "--data", required=True, help="New data: a folder, a file, or a gs:// or s3:// URI. Labels need not be in it."
)
@click.option(
    "--out",
    required=True,
    type=LocalPath(),
    help="Where the predictions go: a file by the end of its name (.parquet, .csv, .tfrecord.gz), else a folder.",
)
@click.option(
    "--data-format",
    type=click.Choice(["auto", "csv", "tfrecord", "parquet", "avro", "images"]),
    help="Of the new data; by the names and first bytes of its files without.",
)
@served_from
@click.option("--version", "number", type=click.IntRange(min=1), help="The version that answers; in service without.")
@click.option("--label", shell_complete=completion.labels, help="The label of the version that answers.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["parquet", "csv", "tfrecord"]),
    help="Of the predictions; without, what --out or the settings say.",
)
@click.option(
    "--columns",
    default=None,
    metavar="NAME,...",
    help="Columns of the data to keep beside the predictions, such as an id; without, all that are numbers or text.",
)
@click.option(
    "--on-anomalies",
    type=click.Choice(["stop", "warn"]),
    help="Whether data that is not like what the model was trained on is refused; as the settings say without.",
)
@click.option("--overwrite", is_flag=True, help="Replace what lies at --out.")
@click.option("--no-cache", is_flag=True, help="Execute every task, whatever earlier runs left.")
@click.option("--docker", is_flag=True, help="Run every task in its image, with podman or docker.")
@click.pass_context
def infer(
    context: click.Context,
    model: str,
    data: str,
    out: Path,
    data_format: str | None,
    candidate: str,
    directory: str,
    number: int | None,
    label: str | None,
    output_format: str | None,
    columns: str | None,
    on_anomalies: str | None,
    overwrite: bool,
    no_cache: bool,
    docker: bool,
) -> Result:
    """Have a pushed version of MODEL answer every row of new data, in order.

    It is a run as any other, of the pipeline MODEL-infer: `runs`, `report` and `lineage` know it. MODEL is a folder of
    models/ by its name, or a folder anywhere by its path.
    """
    if label is not None and not label.strip():
        raise InputError("--label is empty; name the label of a version, or leave it out for the one in service")
    if number is not None and label:
        raise InputError("--version and --label exclude each other; give one of them")
    refuse_credentials(data, "--data", place=True)
    place = place_of(context, model, candidate, directory)
    answering = _version(place, number, label)
    settings = purposes.for_inference(place.settings)
    if not settings.schema_.schema_file:
        # (Of a version that does not tell it itself.)
        settings = purposes.with_schema(settings, schema_by_lineage(place, answering))
    chosen = output_format or predictions.format_of(out) or settings.bulk_infer.output_format
    predictions.check(out, chosen, overwrite=overwrite, data=data)
    given: dict[str, Any] = {
        "data": data,
        "serving_directory": place.destination,
        "version": number or 0,
        "label": label or "",
        "output_format": chosen,
    }
    if columns is not None:
        given["columns"] = [name.strip() for name in columns.split(",") if name.strip()]
    if data_format in (None, "auto", "csv", "parquet"):
        data_columns.check(given.get("columns", settings.bulk_infer.columns), data, settings.ingest)
    given |= {
        name: value
        for name, value in (("data_format", data_format), ("on_anomalies", on_anomalies))
        if value is not None
    }
    local = request.prepare(
        place.root,
        settings,
        compiled(settings),
        lambda _known: given,
        _written,
        make_display(console := output.console()),
        selection=Selection(),
        use_cache=not no_cache,
        engine="" if docker else None,
        warn=lambda line: output.warn(f"warning: {line}"),
    )
    exit_code = local.run()
    page, fault = request.report(local)
    if fault:
        console.print(fault, soft_wrap=True)
    made = _made(local)
    if made:
        predictions.put(Path(made["uri"]), out, list(made["metadata"]["columns"]))
    return _result(local, settings, out if made else None, made, page, exit_code)


def _written(name: str) -> str:
    return f"--{name.replace('_', '-')} "


def _version(place: Place, number: int | None, label: str | None) -> int:
    """The number of the version that is to answer.

    Raises:
      InputError: it is not there.
    """
    there = place.numbers()
    if label:
        known = place.labels()
        if label not in known:
            labels = f"labels are {', '.join(known)}" if known else "there are none"
            raise InputError(f"{place.model}: no version has the label {label!r}{did_you_mean(label, known)}; {labels}")
        number = known[label]
    if number is not None and number not in there:
        named = f", which {label!r} names" if label else ""
        raise InputError(f"{place.model}: there is no version {number}{named}; there are {some(there)}")
    return number or there[0]


def _made(local: LocalRun) -> dict[str, Any] | None:
    """The predictions as the record has them; None where there are none."""
    execution = next((task["execution"] for task in local.record["tasks"] if task["name"] == TASK), "")
    record = execution_record.read(local.root, execution) if execution else None
    return dict(record["outputs"]["predictions"]) if record else None


def _result(
    local: LocalRun,
    settings: Settings,
    out: Path | None,
    made: Mapping[str, Any] | None,
    page: Path | None,
    exit_code: int,
) -> Result:
    facts = made["metadata"] if made else {}

    def document() -> dict[str, Any]:
        return as_json.run(load_run(local.root, local.id)) | {
            "report": page,
            "record": local.folder,
            "predictions": out,
            "rows": facts.get("rows"),
            "version": facts.get("version"),
        }

    def told() -> None:
        console = output.console()
        console.print()
        width = console.width if console.is_terminal else None
        console.print(request.told(local, settings, width), soft_wrap=True, end="")
        if out:
            console.print(
                f"predicted {counted(facts['rows'], 'row')}, by version {facts['version']}: {short(out.absolute())}",
                soft_wrap=True,
            )

    error = (local.record["error"] or "interrupted") if exit_code else ""
    return Result(document, told, [out] if out else [], exit_code, error=error)
