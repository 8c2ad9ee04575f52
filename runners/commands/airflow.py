"""`airflow`: a model's pipeline as an Airflow DAG."""

from __future__ import annotations

from pathlib import Path

import click

from components.runtime.errors import InputError
from runners import in_checkout
from runners.commands.compile import compiled, of_model, write
from runners.commands.local_path import LocalPath
from runners.settings import parameters, secret_values
from runners.settings.folders import SETTINGS_FILE
from runners.terminal import output
from runners.terminal.output import Result


@click.group()
def airflow() -> None:
    """Export pipelines to Airflow."""


@airflow.command()
@of_model
@click.option(
    "--output",
    "place",
    type=LocalPath(),
    help="Folder to write to, such as Airflow's of DAGs, or the name of the file, ending in .py; build in the checkout "
    "without.",
)
@click.option("--dag-id", default="", metavar="NAME", help="The pipeline's name without.")
@click.option("--schedule", default="", metavar="CRON", help="Five fields, or one of Airflow's such as @daily; UTC.")
@click.option(
    "--on-asset",
    "on_assets",
    multiple=True,
    metavar="URI",
    help="Run when this asset (dataset) of Airflow has been updated; of several, when all have.",
)
@click.option(
    "--outlet",
    default="",
    metavar="URI",
    help="The asset that is updated when a new version of the model is in service; x-millrace://MODEL/serving without.",
)
@click.option("--param", "-p", "given", multiple=True, metavar="NAME=VALUE", help="Another default of a parameter.")
@click.option(
    "--dated",
    multiple=True,
    metavar="NAME=FORMAT",
    help="A parameter with the run's logical date, in the format of strftime, such as data=/millrace/data/%Y-%m-%d.",
)
@click.option("--namespace", default="", help="Of the pods; that of the connection without.")
@click.option("--connection", default="kubernetes_default", show_default=True, help="Airflow's, of the cluster.")
@click.option(
    "--deferrable/--no-deferrable",
    default=False,
    show_default=True,
    help="Whether Airflow's triggerer waits for the pods, so that they hold no worker.",
)
def export(
    model: str,
    module: str,
    models: str | None,
    infer: bool,
    watch: bool,
    feedback: bool,
    place: Path | None,
    dag_id: str,
    schedule: str,
    on_assets: tuple[str, ...],
    outlet: str,
    given: tuple[str, ...],
    dated: tuple[str, ...],
    namespace: str,
    connection: str,
    deferrable: bool,
) -> Result:
    """Write a model's pipeline as an Airflow DAG, <model or dag-id>.airflow.py, whose tasks are pods.

    MODEL is a folder of models/ by its name, or a folder anywhere by its path.
    """
    # (No look begins a training on Airflow: what waits for an asset is begun by Airflow itself.)
    [made] = compiled(
        model, module, models, infer=infer, watch=watch, feedback=feedback, launched=True, begins=False, verb="export"
    )

    from runners.airflow.dag_file import compile_dag
    from runners.airflow.options import for_settings
    from runners.compiled.ir import documents

    known = parameters.definitions(documents(made.text)[0])
    formats, defaults = parameters.split(dated, "--dated"), parameters.split(given)
    if both := formats.keys() & defaults.keys():
        raise InputError(f"--param and --dated each give {sorted(both)[0]}; give one of them")
    secret_values.refuse(formats, "--dated", by_key=False)
    # (The pipelines of labels and of new data read files all the same.)
    if made.settings.ingest.query and not made.settings.purpose:
        for option, named in (("--param", defaults), ("--dated", formats)):
            if "data" in named:
                raise InputError(
                    f"{option} data: the data is what ingest.query in {SETTINGS_FILE} asks for; leave it out"
                )
    options = for_settings(
        made.settings,
        made.declared,
        dag_id=dag_id,
        schedule=schedule,
        on_assets=on_assets,
        outlet=outlet,
        parameters=parameters.from_texts(given, known),
        dated=formats,
        namespace=namespace,
        connection=connection,
        deferrable=deferrable,
    )
    place = place or in_checkout("build")
    file = place if place.suffix == ".py" else place / f"{dag_id or made.name}.airflow.py"
    write({file: compile_dag(made.text, options)})
    for warning in made.warnings:
        output.warn(warning)
    return Result({"dag": dag_id or made.settings.pipeline_name, "files": [file]}, str(file), [file])
