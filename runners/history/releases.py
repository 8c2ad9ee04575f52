"""Release numbers of a model's versions, by what changed from one to the next, as lineage tells it.

Other data make a minor release; other hyperparameters or other preprocessing a major one; another network is a new
pipeline, whose releases begin anew. What lineage does not tell is unknown, and has no number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from runners.history.lineage_nodes import CHOOSE, RESOLVE, ExecutionNode, Lineage

_DATA, _HYPERPARAMETER, _NETWORK = "data", "hyperparameter", "network"
"""Kinds of what a model is made of, which stand before the names: `data ingest/examples`."""
_MODULE = "module_file"
_HYPERPARAMETERS = "hyperparameters"
_FILE = "_file"
_SHOWN = 3
_LONGEST = 40


class Release(NamedTuple):
    """A release number. Pipelines are counted from 1."""

    pipeline: int
    major: int
    minor: int

    def __str__(self) -> str:
        """As people read it: `1.2`, or `1.0 of pipeline 2`."""
        return f"{self.major}.{self.minor}" + (f" of pipeline {self.pipeline}" if self.pipeline > 1 else "")


class Told(NamedTuple):
    """What is known of the release of a version.

    Attributes:
      number: None where it is unknown.
      why: what makes it this release, or unknown.
    """

    number: Release | None
    why: str


class Made(NamedTuple):
    """A version, and what its model was made of; empty where nobody knows."""

    version: str
    digest: str
    made_of: Mapping[str, str]


def made_of(graph: Lineage, model: str) -> dict[str, str]:
    """What a model was made of: values and digests, by kind and name; empty where lineage does not tell all of it.

    Args:
      graph: the lineage.
      model: id of the artifact.
    """
    training = training_of(graph, model)
    if training is None:
        return {}
    found: dict[str, str] = {}
    for execution in (training, *before(graph, training)):
        files = {name: graph.artifacts[each].digest for name, each in execution.inputs.items() if name.endswith(_FILE)}
        if execution is training:
            values = {name: value for name, value in execution.parameters.items() if not name.endswith(_FILE)}
            found |= {f"{_HYPERPARAMETER} {name}": value for name, value in values.items()}
            found |= {
                f"{_NETWORK if name == _MODULE else _HYPERPARAMETER} {name}": each for name, each in files.items()
            }
            if best := execution.inputs.get(_HYPERPARAMETERS):
                found[f"{_HYPERPARAMETER} {_HYPERPARAMETERS}"] = graph.artifacts[best].digest
        elif execution.stage == "transform":
            found |= {f"{_HYPERPARAMETER} {execution.task}/{name}": each for name, each in files.items()}
            config = execution.parameters.get("custom_config", "")
            found[f"{_HYPERPARAMETER} {execution.task}/custom_config"] = config or "{}"
        if not any(graph.artifacts[each].maker for each in execution.inputs.values()):
            found |= {
                f"{_DATA} {execution.task}/{name}": graph.artifacts[each].digest
                for name, each in execution.outputs.items()
                if graph.artifacts[each].type == "system.Dataset"
            }
    kinds = {name.partition(" ")[0] for name in found}
    # A training of somebody else's may say nothing of its network; a file may have been gone when it was looked at.
    return found if {_DATA, _NETWORK} <= kinds and all(found.values()) else {}


def training_of(graph: Lineage, model: str) -> ExecutionNode | None:
    """The execution that made a model, behind a choice between several."""
    node = graph.artifacts.get(model)
    execution = graph.executions.get(node.maker) if node else None
    if execution and execution.stage == CHOOSE:
        others = graph.not_chosen(execution)
        chosen = [each for name, each in execution.inputs.items() if name.startswith("model_") and name not in others]
        return training_of(graph, chosen[0]) if len(chosen) == 1 else None
    return execution


def before(graph: Lineage, training: ExecutionNode) -> Iterator[ExecutionNode]:
    """The executions that made what a training read; not the model that it started from, which is a version itself."""
    waiting, seen = [training], {training.id}
    while waiting:
        for each in waiting.pop().inputs.values():
            maker = graph.executions.get(graph.artifacts[each].maker)
            if maker and maker.id not in seen and maker.stage != RESOLVE:
                seen.add(maker.id)
                waiting.append(maker)
                yield maker


def releases(versions: Sequence[Made]) -> dict[str, Told]:
    """The releases of a model's versions, by version.

    Each is told by what differs from the version before it; its number is the next free one. The first version of
    which lineage knows how it was made is 1.0.

    Args:
      versions: in the order in which they came.
    """
    found: dict[str, Told] = {}
    first: dict[str, Made] = {}
    before, last = None, Release(1, 0, 0)
    for each in versions:
        if earlier := first.get(each.digest):
            number = found[earlier.version].number
            unknown = "" if number else ", of which nobody knows what it was made of"
            found[each.version] = Told(number, f"the model of version {earlier.version} again{unknown}")
            each = earlier
        else:
            used = [told.number for told in found.values() if told.number]
            found[each.version] = _told(each, before, last, used)
        if each.digest:
            first.setdefault(each.digest, each)
        if each.made_of:
            # What nobody knows is left out: the next one is compared with the last that is known.
            before, last = each, found[each.version].number or last
    return found


def _told(made: Made, before: Made | None, last: Release, used: Sequence[Release]) -> Told:
    if not made.made_of:
        return Told(None, "unknown: no lineage here tells what it was made of")
    if before is None:
        return Told(Release(1, 1, 0), "the first one of which lineage tells what it was made of")
    differs = sorted(
        name
        for name in made.made_of.keys() | before.made_of.keys()
        if made.made_of.get(name) != before.made_of.get(name)
    )
    kinds = {name.partition(" ")[0] for name in differs}
    about = f"since version {before.version}: {', '.join(_change(name, made, before) for name in differs[:_SHOWN])}"
    about += f" and {len(differs) - _SHOWN} more" * (len(differs) > _SHOWN)
    if _NETWORK in kinds:
        return Told(Release(max(each.pipeline for each in [last, *used]) + 1, 1, 0), f"another network {about}")
    if _HYPERPARAMETER in kinds:
        major = max(each.major for each in [last, *used] if each.pipeline == last.pipeline) + 1
        return Told(last._replace(major=major, minor=0), f"other hyperparameters {about}")
    if _DATA in kinds:
        minor = max(each.minor for each in [last, *used] if each[:2] == last[:2]) + 1
        return Told(last._replace(minor=minor), f"other data {about}")
    return Told(
        None, f"unknown: another model, though nothing that lineage records differs from version {before.version}"
    )


def _change(name: str, made: Made, before: Made) -> str:
    """What became of one thing: `train_steps 500 → 2000`; of content its name."""
    values = [each.made_of.get(name, "none") for each in (before, made)]
    told = name.partition(" ")[2]
    return told if any(":" in each or len(each) > _LONGEST for each in values) else f"{told} {' → '.join(values)}"
