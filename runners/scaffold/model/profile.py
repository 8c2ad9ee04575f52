"""What is known of a data set before a model is written for it: its columns, its task, what each column becomes."""

from __future__ import annotations

import collections
import functools
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

INTEGER, FLOAT, TEXT, BYTES = "integer", "float", "text", "bytes"

_FAMILY = 8
"""Columns whose names differ by a number only are of one kind from so many on."""
_MANY = 6
"""Columns beside each other of which a table for people tells once."""

BINARY, CLASSES, NUMBER, LABELS = "binary", "classes", "number", "labels"
TASKS = (BINARY, CLASSES, NUMBER, LABELS)


@dataclass(frozen=True)
class Column:
    """One column, by a sample of the rows.

    Attributes:
      name: as the data has it.
      kind: of its values: integer, float, text or bytes.
      rows: of the sample.
      missing: of them, those without a value.
      values: those that are there, in the order of the rows; of a list, all.
      counts: how often each value is met, the most frequent first.
      several: whether a row may have more values than one.
      absent: of the missing ones, those where the data has nothing; in the others it has NaN, which counts as a value.
      unit: what its integers count, where the data says so, such as `days since 1970-01-01`.
    """

    name: str
    kind: str
    rows: int
    missing: int
    values: tuple[Any, ...]
    counts: Mapping[Any, int]
    several: bool = False
    absent: int = 0
    unit: str = ""

    @property
    def distinct(self) -> int:
        """How many different values it has."""
        return len(self.counts)

    @property
    def missing_share(self) -> float:
        """Of the rows, from 0 to 1."""
        return self.missing / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class DataSet:
    """What ingest made of the data.

    Attributes:
      place: of the raw data, as it is written into the settings.
      columns: by name, in the order of the schema.
      rows: of every split.
      sampled: how many rows the columns were looked at in.
      records: these rows, by column: what a relation between columns is seen in; None where a value is missing.
      schema: the inferred schema in protobuf's text form.
      ingest: what the settings say of ingest, where that is not the default.
      left_out: how many rows more the data has, which have no label.
    """

    place: str
    columns: Mapping[str, Column]
    rows: Mapping[str, int]
    sampled: int
    records: Mapping[str, tuple[Any, ...]]
    schema: str
    ingest: Mapping[str, Any] = field(default_factory=dict)
    left_out: int = 0

    @functools.cached_property
    def families(self) -> frozenset[str]:
        """Columns of numbers that are many of one kind, as `pixel_0` to `pixel_63`: they get the same treatment."""
        stems = {
            name: re.sub(r"\d+", "#", name) for name, column in self.columns.items() if column.kind in (INTEGER, FLOAT)
        }
        counts = collections.Counter(stems.values())
        return frozenset(name for name, stem in stems.items() if counts[stem] >= _FAMILY)

    @property
    def all_rows(self) -> int:
        """Of all splits."""
        return sum(self.rows.values())


@dataclass(frozen=True)
class Task:
    """What the label asks for.

    Attributes:
      kind: one of `TASKS`: one of two or of several classes, a number, or several labels at once.
      labels: the raw columns, one but where several columns are a label each.
      shares: of the classes, by class, the most frequent first; empty for a number.
      positive: of a binary task, the value that counts as 1.
      why: in words, for people.
      unseen: whether a class may be met that training has not seen, and the label has one number more.
      remarks: what looks wrong with the label.
      skewed: whether a label that is a number has a heavy tail, so that its logarithm is learned.
    """

    kind: str
    labels: tuple[str, ...]
    shares: Mapping[Any, float] = field(default_factory=dict)
    positive: Any = None
    why: str = ""
    unseen: bool = False
    remarks: tuple[str, ...] = ()
    skewed: bool = False

    @property
    def label(self) -> str:
        """The first label, of most tasks the only one."""
        return self.labels[0]

    @property
    def imbalanced(self) -> bool:
        """Whether the rarest class has less than half of what it would have among equals."""
        return bool(self.shares) and min(self.shares.values()) * len(self.shares) < 0.5


@dataclass(frozen=True)
class Feature:
    """What becomes of one column, or why nothing does.

    Attributes:
      column: its name in the data.
      name: of the transformed feature before its `_xf`: small letters, digits and `_`.
      treatment: in a word, such as `z-score`; empty where the column is left out.
      why: the treatment is this one, in a few words, for people.
      lines: of Python, each an entry of the outputs: `"age_xf": ...`.
      remarks: what looks wrong with the column.
    """

    column: str
    name: str
    treatment: str
    why: str
    lines: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """Columns that are alike, as a table for people has them.

    Attributes:
      columns: the name, or that of the first and how many more.
      becomes: the treatment.
      why: it is this one, and what looks wrong.
      marked: whether something does.
    """

    columns: str
    becomes: str
    why: tuple[str, ...]
    marked: bool


@dataclass(frozen=True)
class Plan:
    """A model to be written: all that its templates need.

    Attributes:
      name: of the model's folder.
      shown: what a person names the model by, a name or a path.
      shown_folder: the path of its folder.
      pipeline: of its pipeline.
      data: what is known of the data.
      task: what is to be answered.
      features: of every column but the labels, those that are left out with an empty treatment.
      label_line: the label's entry of the outputs, as Python.
      schema: the curated one, in protobuf's text form.
      gates: what the model must reach, by the class names of metrics.
      batch_size: rows of a training step.
      train_steps: steps of the training.
      parts: in how many parts the network sees the range of a number.
      slices: columns by which a person would ask for the metrics.
      looped: columns of numbers that are read in a loop, each with its name as of `Feature.name`.
      long_names: constants of Python that stand for raw names too long for a line, by raw name.
    """

    name: str
    shown: str
    shown_folder: str
    pipeline: str
    data: DataSet
    task: Task
    features: tuple[Feature, ...]
    label_line: str
    schema: str
    gates: Mapping[str, Any]
    batch_size: int
    train_steps: int
    parts: int
    slices: tuple[str, ...] = ()
    looped: Mapping[str, str] = field(default_factory=dict)
    long_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def question(self) -> str:
        """What the model answers, as a sentence."""
        labels = in_words(", ".join(self.task.labels))
        if self.task.kind == BINARY:
            return f"Is {labels} {in_words(self.task.positive)}?"
        return {CLASSES: f"Which {labels} is it?", NUMBER: f"How large is {labels}?", LABELS: f"Which of {labels}?"}[
            self.task.kind
        ]

    @property
    def description(self) -> str:
        """In a line, for lists of models."""
        return f"{self.name}: {self.question}"

    @property
    def used(self) -> list[Feature]:
        """Of the columns that the model reads."""
        return [feature for feature in self.features if feature.treatment]

    @property
    def rows(self) -> list[Row]:
        """Of a table of the columns: neighbours that are alike, many of them, are one row."""
        rows = []
        alike = itertools.groupby(self.features, lambda each: (each.treatment, each.why, each.remarks))
        for (treatment, why, remarks), group in alike:
            names = [feature.column for feature in group]
            shown = [f"{names[0]} … {names[-1]} ({len(names)})"] if len(names) >= _MANY else names
            told = tuple(dict.fromkeys([why, *remarks]))
            rows += [Row(name, treatment or "left out", told, bool(remarks)) for name in shown]
        return rows

    @property
    def has_texts(self) -> bool:
        """Whether a feature is a text, which the network reads."""
        return any(feature.treatment == "text" for feature in self.features)

    @property
    def left_out(self) -> list[Feature]:
        """Of the columns that it does not read."""
        return [feature for feature in self.features if not feature.treatment]


def in_words(value: object) -> str:
    """A name or a value in a sentence: in one line, without what would end a comment's line or a docstring."""
    return re.sub(r"[\\\"]", "'", " ".join(str(value).split()))
