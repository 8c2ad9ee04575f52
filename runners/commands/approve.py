"""`approve`: a person's answer to a run that waits for it."""

from __future__ import annotations

from pathlib import Path

import click

from components.runtime.data.bucket import is_bucket
from components.runtime.errors import InputError
from components.runtime.publish import approval, mirror
from components.runtime.publish.approval import Answer, NoQuestionError, Question
from components.runtime.records.run_record import started_by
from runners.commands import completion
from runners.commands.models import WHY
from runners.history.records import list_runs, load_run
from runners.terminal import output
from runners.terminal.output import Result
from runners.terminal.text import table

_OVER = ("done", "failed", "stopped")


@click.command()
@click.argument("run", required=False, shell_complete=completion.runs)
@click.option("--no", "refuses", is_flag=True, help="Refuse it: the model is not published.")
@WHY
@click.option(
    "--serving-directory",
    "directory",
    metavar="FOLDER",
    help="The serving directory, for a run whose records are not here.",
)
@click.pass_context
def approve(context: click.Context, run: str | None, refuses: bool, why: str, directory: str | None) -> Result:
    """Answer RUN, which waits for a person's yes before it publishes its model; without RUN, tell what waits.

    Who answers is the user of this machine, or whom MILLRACE_USER names.
    """
    root = Path(context.obj["root"]).absolute()
    if directory is not None and not is_bucket(directory) and not Path(directory).is_dir():
        raise InputError(f"--serving-directory {directory}: no such folder; name where the run pushes to")
    if run is None and (refuses or why):
        raise InputError(
            "--no and --why answer a run; name it: ./millrace approve RUN (without anything it tells which)"
        )
    if run is None:
        return _waiting(root, directory)
    name, places = run, [mirror.folder_of(directory)] if directory else []
    if directory is None:
        found = load_run(root, run)
        name = found.id
        if found.state in _OVER:
            raise InputError(f"{name} waits for no answer: it is {found.state}; ./millrace approve tells what does")
        places = [mirror.folder_of(str(found.parameters.get("serving_directory", "")))]
    try:
        question, given = approval.answer_run(places, name, approved=not refuses, by=started_by(), why=why)
    except NoQuestionError as error:
        raise InputError(f"{error}; ./millrace approve tells what does") from None
    if question.workflow:
        output.note(
            f"{question.workflow} is suspended until {question.deadline}; sooner: argo resume {question.workflow}"
        )
    return answered(name, question, given)


def answered(run: str, question: Question, given: Answer) -> Result:
    """What was asked, and what the answer is."""
    said = "approved" if given.approved else "refused"

    def told() -> None:
        for name, value in (("run", question.run), ("blessed", question.reason), *question.numbers.items()):
            click.echo(f"{name:<24} {value}")
        click.echo(f"{said} by {given.by}")

    return Result({"run": run, "approved": given.approved, "by": given.by, "metrics": question.metrics}, told, [said])


def _waiting(root: Path, directory: str | None) -> Result:
    here = [each for each in sorted((root / "serving").glob("*")) if each.is_dir()]
    places = [mirror.folder_of(directory)] if directory else here
    over = {run.id for run in list_runs(root) if run.state in _OVER} if directory is None else set()
    found = {each.run: (place, each) for given in places for place, each in approval.waiting(given)}
    # Of a run that was killed the question lies there until its time is up.
    found = {run: each for run, each in found.items() if run not in over}
    rows = [[each.run, each.reason, each.deadline, mirror.shown(place)] for place, each in found.values()]
    return Result(
        {
            "waiting": [
                {
                    "run": each.run,
                    "until": each.until,
                    "directory": mirror.shown(place),
                    "reason": each.reason,
                    "metrics": each.metrics,
                }
                for place, each in found.values()
            ]
        },
        lambda: table(["run", "blessed", "until", "serving directory"], rows) if rows else click.echo("nothing waits"),
        list(found),
    )
