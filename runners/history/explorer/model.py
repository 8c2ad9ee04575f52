"""What the explorer's page reads: plain data, written as JSON. Records and servers are turned into it, nothing else is.

A value that nobody knows is None, or an empty text; never 0. Times are ISO 8601 in UTC, durations seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from runners.history.distributions import Feature
from runners.history.evaluations import Evaluation

FORMAT = 4
"""Of the files. Those of another format are written anew."""


@dataclass
class Model:
    """A model that a run made: one for each training whose model was evaluated or pushed.

    Attributes:
      name: of the task that made it; that of its evaluation where nobody knows.
      digest: `sha256:<hex>` of its content.
      metrics: of its evaluation; of its training where it was not evaluated.
      blessed: None where it was not evaluated.
      reason: of the blessing, or of its absence.
      approval: what a person said of it, who, and why; empty where nobody was asked.
      baseline: digest of the model that it was compared with.
      version: the version that it was pushed as, or stands as already.
      chosen: whether it was chosen from several; None where there was no choice.
    """

    name: str
    digest: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    blessed: bool | None = None
    reason: str = ""
    approval: str = ""
    baseline: str = ""
    version: str = ""
    chosen: bool | None = None


@dataclass
class Row:
    """A run in the list of all.

    Attributes:
      by: who started it.
      sources: what it read from outside of the pipeline, ids of artifacts in its lineage.
      executions: ids of the executions that answered its tasks; runs that share one share its artifacts.
      report: its report page, relative to the explorer's folder.
      stamp: what its record looked like when it was read.
    """

    id: str
    name: str
    pipeline: str
    target: str
    state: str
    part: str = ""
    error: str = ""
    started: str = ""
    seconds: float | None = None
    by: str = ""
    models: list[Model] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)
    report: str = ""
    stamp: list[int] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)


@dataclass
class Push:
    """A version of a model that a run pushed, or found in service.

    Attributes:
      model: by its serving directory's name.
      destination: the serving directory, relative to the pipeline root if it is in it.
      created: whether the run made it; False where it was there already.
      same_as: the earlier version whose model it is again; empty for a new model.
      artifact: id of the artifact in the run's lineage.
      approval: what a person said of its model before it was pushed, who, and why.
      why: as who rolled back to it said.
      made_of: of the model, as `runners.history.releases` has it.
      spans: of data that the model was made of, in words; empty where it is in none, or nobody knows.
    """

    model: str
    version: str
    destination: str
    digest: str
    created: bool | None
    same_as: str
    time: str
    artifact: str
    why: str = ""
    made_of: dict[str, str] = field(default_factory=dict)
    spans: str = ""


@dataclass
class Version:
    """A version of a served model.

    Attributes:
      state: served, earlier, removed, or unknown where nobody can look into the serving directory.
      how: pushed, in words by whom where its run is not among those of the pipeline root, or `rolled back` where the
        model of an earlier version was given a new number.
      again: the earlier version whose model it is.
      by: who started the run that pushed it, or owns the folder that was copied by hand.
      run: that pushed it; empty where no run did.
      until: when the next version came.
      approval: what a person said of its model before it was pushed, who, and why.
      why: as who rolled back to it said.
      blessed_by: the run that judged its model.
      metrics: of that model.
      labels: that it has now.
      release: its number; empty where it is unknown.
      change: what makes it this release, or unknown.
      spans: as of the push.
    """

    model: str
    number: str
    destination: str
    state: str
    how: str
    again: str = ""
    by: str = ""
    time: str = ""
    until: str = ""
    run: str = ""
    digest: str = ""
    blessed: bool | None = None
    reason: str = ""
    approval: str = ""
    artifact: str = ""
    why: str = ""
    blessed_by: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    release: str = ""
    change: str = ""
    spans: str = ""


@dataclass
class Task:
    """A task of a run.

    Attributes:
      execution: id of the execution that answered it; empty where none did.
      facts: what came of it, in a few words.
      alert: `warning` or `error` where it ended well and found something wrong.
      page: its report page, relative to the explorer's folder.
      log: its log, in the same way.
    """

    name: str
    stage: str
    state: str
    after: list[str] = field(default_factory=list)
    condition: str = ""
    seconds: float | None = None
    rows: int | None = None
    facts: str = ""
    alert: str = ""
    error: str = ""
    execution: str = ""
    page: str = ""
    log: str = ""


@dataclass
class Artifact:
    """A node of lineage: what an execution made, or what came from outside.

    Attributes:
      name: `<task>/<output>`, or the path of what came from outside.
      maker: id of the execution that made it; empty for what came from outside.
      facts: of its metadata, what people may want to know.
    """

    id: str
    name: str
    type: str
    uri: str
    digest: str = ""
    maker: str = ""
    facts: dict[str, str] = field(default_factory=dict)


@dataclass
class Execution:
    """A node of lineage: one execution of a stage, whichever runs took it from the cache.

    Attributes:
      run: that made it.
      inputs: ids of artifacts by argument.
      page: its report page, relative to the explorer's folder.
    """

    id: str
    task: str
    stage: str
    run: str
    state: str
    time: str = ""
    error: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    page: str = ""


@dataclass
class Detail:
    """All of one run.

    Attributes:
      parameters: of the pipeline and the tasks, as a comparison has them.
      metrics: of all tasks, as a comparison has them.
      better: 1 or -1 for the metrics that are better when high or low, 0 where neither is; unknown of others.
      told: those of which an evaluation said it; of others the name alone tells.
      digests: of what the tasks made, by `<task>/<output>`.
      files: digests of the code, settings and data that they read.
      evaluations: by task.
      distributions: by `<task>/<split>`, then by feature.
      executions: the lineage of what the run made, up to the raw data.
    """

    id: str
    tasks: list[Task] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    better: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    distributions: dict[str, dict[str, Feature]] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)


@dataclass
class Index:
    """All runs of a place, the newest first.

    Attributes:
      place: where they lie, for people.
      damaged: runs whose record cannot be read.
      note: what there is to say of how complete it is.
    """

    place: str
    written: str
    runs: list[Row] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    note: str = ""
    format: int = FORMAT


def plain(value: Any) -> Any:
    """As JSON has it: fields that say nothing are left out; numbers that JSON has not are texts."""
    if hasattr(value, "__dataclass_fields__"):
        found = {each.name: plain(getattr(value, each.name)) for each in fields(value)}
        return {
            name: each for name, each in found.items() if each is not None and each != "" and each != [] and each != {}
        }
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "∞" if value > 0 else "-∞"
    return value


def row(found: Mapping[str, Any]) -> Row:
    """A row that was written.

    Raises:
      TypeError: it is none.
    """
    inner = dict(found)
    inner["models"] = [Model(**each) for each in inner.get("models", [])]
    inner["pushes"] = [Push(**({"created": None} | _EMPTY_PUSH | each)) for each in inner.get("pushes", [])]
    return Row(**({"pipeline": "", "target": "", "state": "", "name": ""} | inner))


_EMPTY_PUSH = dict.fromkeys(("model", "version", "destination", "digest", "same_as", "time", "artifact"), "")
