"""From data and task to the plan of a model."""

from __future__ import annotations

from pathlib import Path

from runners.scaffold.model import treatments
from runners.scaffold.model.profile import DataSet, Plan, Task
from runners.settings.model import own_name


def plan(folder: Path, data: DataSet, task: Task) -> Plan:
    """Everything that the files of a model say."""
    return Plan(
        name=folder.name,
        pipeline=own_name(folder),
        data=data,
        task=task,
        features=treatments.features(data, task),
        label_line=treatments.label_line(data, task),
        steps=1000,
    )
