"""`promote`: which version a label such as `stable` names."""

from __future__ import annotations

import click

from components.runtime.errors import InputError, did_you_mean
from components.runtime.publish import labels
from runners.commands import completion
from runners.commands.models import WHY, place_of, served_from
from runners.terminal import output
from runners.terminal.output import Result
from runners.versions import changes
from runners.versions.decisions import decide, inputs_of
from runners.versions.listing import listing


@click.command()
@click.argument("model", shell_complete=completion.models)
@click.argument("version", type=click.IntRange(min=1), required=False, shell_complete=completion.versions)
@served_from
@click.option("--label", required=True, metavar="NAME", shell_complete=completion.labels, help="Such as stable.")
@click.option("--remove", is_flag=True, help="Take the label away, from whatever version has it.")
@WHY
@click.pass_context
def promote(
    context: click.Context,
    model: str,
    version: int | None,
    candidate: str,
    directory: str,
    label: str,
    remove: bool,
    why: str,
) -> Result:
    """Give a label to VERSION of MODEL, by which clients ask for it; an earlier version loses it.

    A version with a label stays in memory, and is never removed by what keeps the last few.
    """
    if remove == (version is not None):
        raise InputError("give a version, or --remove to take the label away" + ", not both" * remove)
    place = place_of(context, model, candidate, directory)
    labels.check(label)
    place.numbers()
    known = place.labels()
    was = known.get(label)
    document = {"model": place.model, "label": label, "version": version, "earlier": was, "why": why or None}
    if version is None:
        if was is None:
            named = f"; there are {', '.join(sorted(known))}" if known else ""
            raise InputError(f"{place.model}: no version has the label {label!r}{did_you_mean(label, known)}{named}")
        decided = decide(place, changes.unlabel, "labelled", {"label": label}, why=why)
        told = f"{place.model}: {label} is taken away; it was version {was}"
    else:
        if place.checked(version) is None:
            place.check_foreign(version)
            output.warn(
                f"warning: version {version} was not pushed by Millrace: nothing tells whether it is whole or which "
                "model it is, it cannot be rolled back to, and a canary cannot put it back"
            )
        if version == was:
            told = f"{place.model}: {label} is version {version} already"
            return Result({**document, "run": None}, told, [label])
        artifact = next((each.version.artifact for each in listing(place) if each.number == version), "")
        inputs = {"version": inputs_of(place, version, artifact)["version"]}
        decided = decide(place, changes.promote, "labelled", {"label": label, "of_version": version}, inputs, why)
        told = f"{place.model}: {label} is version {version}" + (f"; it was version {was}" if was else "")
    return Result({**document, "run": decided.run}, f"{told}\nrecorded as {decided.run}", [label])
