"""`versions`: what versions a model has, and which of them stay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from components.runtime.errors import InputError
from components.runtime.publish import publishing
from components.runtime.records.facts import counted
from runners.commands import completion
from runners.commands.models import WHY, place_of, served_from
from runners.history.outcome import Outcome
from runners.terminal import output, text
from runners.terminal.output import Result
from runners.versions import changes
from runners.versions.card import card
from runners.versions.decisions import decide
from runners.versions.listing import Listed, listing
from runners.versions.place import Place, some
from runners.versions.tensorflow_serving import config

_STYLES = {"served": "green", "removed": "dim"}
_VIEWS = (
    ("version", "state", "labels", "release", "blessed", "metrics", "since (UTC)", "by", "how"),
    ("version", "state", "labels", "release", "blessed", "metric", "since (UTC)", "by", "how"),
    ("version", "state", "labels", "release", "blessed", "metric", "since (UTC)", "by"),
    ("version", "state", "labels", "release", "blessed", "since (UTC)"),
    ("version", "state", "labels", "release"),
    ("version", "state", "labels"),
)
"""What there is room for, from wide terminals to narrow ones."""


@click.command()
@click.argument("model", shell_complete=completion.models)
@served_from
@click.option("--all", "everything", is_flag=True, help="Also those that were removed.")
@click.option("--verify", is_flag=True, help="Compare every byte with what was pushed; 65 where one differs.")
@click.option(
    "--card",
    "of",
    type=click.IntRange(min=1),
    metavar="N",
    help="Print the model card of version N; with --quiet where its page is.",
)
@click.option("--keep", type=click.IntRange(min=1), metavar="K", help="Remove all but the last K, as push.keep does.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@WHY
@click.option("--tensorflow-serving", is_flag=True, help="Print the configuration of TensorFlow Serving instead.")
@click.option("--base-path", default="", metavar="FOLDER", help="Where TensorFlow Serving sees the serving directory.")
@click.pass_context
def versions(
    context: click.Context,
    model: str,
    candidate: str,
    directory: str,
    everything: bool,
    verify: bool,
    of: int | None,
    keep: int | None,
    yes: bool,
    why: str,
    tensorflow_serving: bool,
    base_path: str,
) -> Result:
    """List the versions of MODEL: which is served, by whom and when, whether blessed, labels, release numbers."""
    if tensorflow_serving and (keep or everything or verify):
        raise InputError("--tensorflow-serving lists and removes nothing; leave out --keep, --all and --verify")
    if of and (keep or everything or verify or tensorflow_serving):
        raise InputError("--card prints one card; leave out --keep, --all, --verify and --tensorflow-serving")
    if base_path and not tensorflow_serving:
        raise InputError("--base-path is of the configuration that --tensorflow-serving prints; give that too")
    place = place_of(context, model, candidate, directory)
    if tensorflow_serving:
        return _configuration(place, base_path)
    if of:
        return _card(place, of)
    decided = _remove(place, keep, yes, why) if keep else {}
    found = listing(place, verify=verify)
    there = {each.number for each in found if each.version.state in ("served", "earlier")}
    if not there:
        # Nothing to list is told as it is by the other commands.
        place.numbers()
    labels = _labels(place, there)
    shown = [each for each in found if everything or each.number in there]
    document = {
        "model": place.model,
        "serving_directory": place.destination,
        "labels": labels,
        "versions": [_document(each) for each in shown],
        **decided,
    }
    views = _views(shown)
    damaged = [each for each in shown if each.damage] if verify else []

    def told() -> None:
        text.fitted(views, [_row(each) for each in shown])
        if verify:
            output.note(_verified([each for each in shown if each.number in there]))

    error = "; ".join(f"version {each.number} is damaged: {each.damage}" for each in damaged)
    return Result(document, told, sorted(there, reverse=True), InputError.exit_code if error else 0, error)


def _views(shown: Sequence[Listed]) -> Sequence[Sequence[str]]:
    """The columns, from wide terminals to narrow ones: what no version has is none."""
    more = ["exports"] * any(each.exports for each in shown) + ["spans"] * any(each.version.spans for each in shown)
    wider = [(*view[:4], *more, *view[4:]) for view in _VIEWS if "release" in view]
    return [*wider, *_VIEWS[-2:]] if more else _VIEWS


def _verified(there: Sequence[Listed]) -> str:
    """What was compared, in a line."""
    whole = [each.verified for each in there if each.verified is not None]
    damaged = [each.number for each in there if each.damage]
    others = [each.number for each in there if each.verified is None and not each.damage]
    line = f"verified: {counted(sum(whole), 'file')} of {counted(len(whole), 'version')}"
    line += f"; damaged: {some(damaged)}" if damaged else ""
    return line + (f"; not pushed by Millrace, and compared with nothing: {some(others)}" if others else "")


def _configuration(place: Place, base_path: str) -> Result:
    there = place.numbers()
    made = config(place.model, base_path or place.destination, there[0], place.labels(), there)
    return Result({"model": place.model, "configuration": made}, made, [made])


def _card(place: Place, number: int) -> Result:
    found = card(place, number)
    document = {"model": place.model, "version": number, "card": found.text, "page": found.page}
    return Result(document, found.text.rstrip(), [found.page])


def _labels(place: Place, there: set[int]) -> dict[str, int] | None:
    """The labels, None where they cannot be read; what is wrong with them is told, and hides no version."""
    try:
        labels = place.labels()
    except InputError as error:
        output.warn(f"warning: {error}")
        return None
    for label in sorted(label for label, number in labels.items() if number not in there):
        output.warn(f"warning: the label {label} names version {labels[label]}, which is not there")
    return labels


def _remove(place: Place, keep: int, yes: bool, why: str) -> dict[str, Any]:
    place.numbers()
    try:
        older = publishing.superfluous(place.folder, keep)
    except ValueError as error:
        raise InputError(str(error)) from None
    if not older:
        output.note(f"nothing to remove: no version is older than the last {keep} and needed by nobody")
        return {"removed": [], "run": None}
    if not yes:
        text.confirm(f"Remove version{'s' * (len(older) > 1)} {some(older)} of {place.destination}?")
    done = decide(place, changes.remove, "removed_versions", {"keep": keep, "versions": older}, why=why)
    gone = done.made["removed"]
    output.note(f"removed version{'s' * (len(gone) > 1)} {some(gone)}")
    return {"removed": done.made["removed"], "run": done.run}


def _document(listed: Listed) -> dict[str, Any]:
    each = listed.version
    return {
        "version": listed.number,
        "state": each.state,
        "labels": each.labels,
        "release": each.release or None,
        "change": each.change,
        "spans": each.spans or None,
        "how": each.how,
        "same_as": int(each.again) if each.again.isdecimal() else None,
        "blessed": each.blessed,
        "blessed_by": each.blessed_by or None,
        "reason": each.reason or None,
        "approval": each.approval or None,
        "metrics": each.metrics or None,
        "since": _time(each.time),
        "until": _time(each.until),
        "by": each.by or None,
        "why": each.why or None,
        "run": each.run or None,
        "digest": each.digest or None,
        "damage": listed.damage or None,
        "verified": listed.verified,
        "exports": list(listed.exports),
    }


def _row(listed: Listed) -> dict[str, text.Cell]:
    each = listed.version
    metrics = _told(each.metrics) or [text.NOTHING]
    how = f"{each.how} to the model of version {each.again}" if each.again else each.how
    blessed = (
        "unknown" if each.blessed is None else (_approved(each.approval), "green") if each.blessed else ("no", "red")
    )
    state: text.Cell = (each.state, _STYLES.get(each.state, ""))
    return {
        "version": each.number,
        "state": (f"{each.state}, damaged: {listed.damage}", "red") if listed.damage else state,
        "labels": ", ".join(each.labels) or text.NOTHING,
        "release": each.release or "unknown",
        "spans": each.spans.removeprefix("spans ").removeprefix("span ") or text.NOTHING,
        "exports": ", ".join(listed.exports) or text.NOTHING,
        "blessed": blessed,
        "metrics": ", ".join(metrics),
        "metric": metrics[0],
        "since (UTC)": text.minute(_time(each.time)),
        "by": each.by or "unknown",
        "how": text.clipped(f"{how}: {each.why}", text.REASON) if each.why else how,
    }


def _approved(approval: str) -> str:
    return text.clipped(f"yes, {approval}", text.REASON) if approval else "yes"


def _told(metrics: dict[str, float]) -> Sequence[str]:
    named = Outcome(metrics, {}).key_metrics()
    return [f"{name} {text.number(value)}" for name, value in named.items()]


def _time(moment: str) -> datetime | None:
    return datetime.fromisoformat(moment) if moment else None
