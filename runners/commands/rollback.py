"""`rollback`: the model of an earlier version, in service again."""

from __future__ import annotations

import click

from components.runtime.errors import InputError
from runners.commands import completion
from runners.commands.models import WHY, place_of, served_from
from runners.terminal.output import Result
from runners.versions import changes
from runners.versions.decisions import decide, inputs_of
from runners.versions.listing import listing
from runners.versions.place import Place


@click.command()
@click.argument("model", shell_complete=completion.models)
@served_from
@click.option(
    "--to",
    type=click.IntRange(min=1),
    metavar="N",
    shell_complete=completion.versions,
    help="The model of this version; without, the last one with another model than what is in service.",
)
@WHY
@click.pass_context
def rollback(context: click.Context, model: str, candidate: str, directory: str, to: int | None, why: str) -> Result:
    """Put the model of an earlier version of MODEL into service again, as the next version.

    No server is told: those that serve the highest version take it by themselves. It is what new models are compared
    with from now on.
    """
    place = place_of(context, model, candidate, directory)
    in_service = place.numbers()[0]
    target = _target(place, in_service, to)
    artifact = next((each.version.artifact for each in listing(place) if each.number == target), "")
    decided = decide(
        place,
        changes.rollback,
        "pushed_model",
        {"to": target, "replaced": in_service},
        inputs_of(place, target, artifact),
        why,
    )
    number = decided.made["version"]
    document = {
        "model": place.model,
        "version": number,
        "same_as": target,
        "replaced": in_service,
        "serving_directory": place.destination,
        "why": why or None,
        "run": decided.run,
    }
    told = (
        f"{place.model}: version {number} is in service, the model of version {target} again, in place of version "
        f"{in_service}\nrecorded as {decided.run}"
    )
    return Result(document, told, [number])


def _target(place: Place, in_service: int, to: int | None) -> int:
    """The version whose model is wanted.

    Raises:
      InputError: it is in service, or there is none.
    """
    now = place.intact_or_none(in_service)
    if to is not None:
        if place.intact(to).model_digest == (now.model_digest if now else ""):
            same = "" if to == in_service else f", which is version {to} again"
            raise InputError(f"{place.model}: version {in_service} is in service{same}: there is nothing to roll back")
        return to
    for number in place.numbers():
        earlier = place.intact_or_none(number) if number < in_service else None
        if earlier and (now is None or earlier.model_digest != now.model_digest):
            return number
    raise InputError(
        f"{place.model}: no intact version before version {in_service} has another model; version {in_service} stays"
    )
