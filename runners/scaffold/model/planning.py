"""From data and task to the plan of a model."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from components.runtime.errors import InputError, did_you_mean
from runners.scaffold.model import column_names, gates, treatments
from runners.scaffold.model.curated_schema import curated
from runners.scaffold.model.profile import DataSet, Feature, Plan, Task
from runners.settings.folders import MODELS, shown
from runners.settings.model import own_name

_ASKED_FOR = {
    *("sex", "gender", "age", "race", "ethnicity", "country", "region", "state", "city", "segment", "type", "class"),
    *(
        "category",
        "group",
        "product",
        "channel",
        "plan",
        "status",
        "department",
        "origin",
        "species",
        "island",
        "smoker",
    ),
}
"""Words in the names of columns by which people ask for metrics first."""
MOST_SLICES = 3
SLICE_ROWS = 20
"""Of a value, in the split that is evaluated: of fewer rows a metric says little."""

WIDE = 16
"""From so many columns of the same treatment on they are read in a loop."""

MOST_PARTS, ROWS_OF_A_PART = 16, 60
"""The finer the parts in which a number is seen, the more there is to learn by heart."""


def plan(folder: Path, data: DataSet, task: Task, kept: Collection[str] = (), left_out: Collection[str] = ()) -> Plan:
    """Everything that the files of a model say.

    Raises:
      InputError: there is no column to learn from.
    """
    features = treatments.features(data, task, kept=kept, left_out=left_out)
    if not any(feature.treatment for feature in features):
        reasons = "; ".join(f"{feature.column}: {feature.why}" for feature in features[:5])
        raise InputError(f"no column to learn from{f' ({reasons})' if reasons else ''}; --keep COLUMN takes one in")
    rows = data.rows.get("train", 0)
    batch_size = 32 if rows < 2000 else 64 if rows < 10_000 else 128
    return Plan(
        name=folder.name,
        shown=folder.name if folder.parent == MODELS else shlex.quote(str(folder)),
        shown_folder=shlex.quote(str(shown(folder))),
        pipeline=own_name(folder),
        data=data,
        task=task,
        features=features,
        label_line=treatments.label_line(data, task),
        schema=curated(data, task, features),
        gates=gates.gates(task, data.rows.get("eval", 0)),
        slices=_slices(data, features),
        batch_size=batch_size,
        train_steps=_steps(rows, batch_size),
        parts=max(2, min(MOST_PARTS, rows // ROWS_OF_A_PART)),
        looped=_looped(data, features),
        long_names={name: constant for name in data.columns if (constant := treatments.constant_of(name))},
    )


def _looped(data: DataSet, features: Collection[Feature]) -> dict[str, str]:
    """Plain columns of numbers, where they are many."""
    plain = {
        feature.column: feature.name
        for feature in features
        if feature.treatment == "z-score" and len(feature.lines) == 1 and not data.columns[feature.column].missing
    }
    return plain if len(plain) >= WIDE else {}


def _steps(rows: int, batch_size: int) -> int:
    """Enough to see each row some sixty times, and not so many that a first run takes long; early stopping ends it.

    Measured: of most tables of a few thousand rows the loss on eval falls that long, of small ones half as long.
    """
    return max(500, min(5000, round(60 * rows // batch_size, -2)))


def check_options(labels: Sequence[str], left_out: Sequence[str], kept: Sequence[str]) -> None:
    """Refuses options that contradict each other, or say one thing twice.

    Raises:
      InputError: which.
    """
    for option, columns in (("--label", labels), ("--leave-out", left_out), ("--keep", kept)):
        for name in columns:
            if columns.count(name) > 1:
                raise InputError(f"{option} {name}: given {columns.count(name)} times; give it once")
            if option != "--label" and name in labels:
                raise InputError(f"{option} {name}: that is the label, which is no feature; take the option out")
    for name in left_out:
        if name in kept:
            raise InputError(f"--leave-out {name} and --keep {name}: it is left out or a feature; take one of them out")


def check_column(option: str, name: str, data: DataSet) -> None:
    """Refuses a column that the data does not have.

    Raises:
      InputError: which, and what may have been meant.
    """
    if name not in data.columns:
        near = did_you_mean(name, data.columns)
        raise InputError(f"{option} {name}: no such column{near}; the columns are: {', '.join(data.columns)}")


def _slices(data: DataSet, features: Collection[Feature]) -> tuple[str, ...]:
    """Columns of a few values by which a person would ask how good the model is."""
    # Of the rows of the sample, made as many as there are in the split.
    share = data.rows.get("eval", 0) / max(1, data.sampled)

    def suits(feature: Feature) -> bool:
        column = data.columns[feature.column]
        common = [count for count in column.counts.values() if count * share >= SLICE_ROWS]
        return 2 <= column.distinct <= 12 and len(common) >= 2 and feature.column.isprintable()

    def rank(feature: Feature) -> tuple[bool, int]:
        return not column_names.words(feature.column) & _ASKED_FOR, data.columns[feature.column].distinct

    suited = [each for each in features if each.treatment in ("vocabulary", "z-score") and suits(each)]
    chosen = [each for each in suited if each.treatment == "vocabulary" or not rank(each)[0]]
    return tuple(feature.column for feature in sorted(chosen, key=rank)[:MOST_SLICES])
