"""What becomes of each column, as a line of preprocessing in the field's idiom, and why."""

from __future__ import annotations

from runners.scaffold.model.naming import safe_names
from runners.scaffold.model.profile import FLOAT, INTEGER, Column, DataSet, Feature, Task


def features(data: DataSet, task: Task) -> tuple[Feature, ...]:
    """What becomes of every column but the labels."""
    columns = [column for name, column in data.columns.items() if name not in task.labels]
    names = safe_names([column.name for column in columns], taken=["label"])
    return tuple(_feature(column, names[column.name]) for column in columns)


def _feature(column: Column, name: str) -> Feature:
    if column.kind in (INTEGER, FLOAT):
        line = f'"{name}_xf": tft.scale_to_z_score(columns.number(inputs[{column.name!r}])),'
        return Feature(column.name, name, "z-score", "a number", (line,))
    return Feature(column.name, name, "", "not yet")


def label_line(data: DataSet, task: Task) -> str:
    """The label's entry of the outputs."""
    inputs = f"inputs[{task.label!r}]"
    if task.kind == "number":
        return f"LABEL: columns.number({inputs}),"
    if task.kind == "binary":
        positive = task.positive
        if isinstance(positive, str):
            return f"LABEL: tf.cast(columns.text({inputs}) == {positive!r}, tf.int64),"
        return f"LABEL: tf.cast(columns.number({inputs}) == {positive!r}, tf.int64),"
    read = "text" if data.columns[task.label].kind == "text" else "integer"
    return f'LABEL: tft.compute_and_apply_vocabulary(columns.{read}({inputs}), vocab_filename="label"),'
