"""What train and tune share: the checks of what they are given, and the FnArgs that they fill in of it."""

from __future__ import annotations

import os
from typing import Any

from components.runtime.artifacts import InputArtifact
from components.runtime.errors import InputError
from components.runtime.fn_args import FnArgs, example_accessor

SCHEMA_FILE = "schema.pbtxt"
TRAIN, EVAL = "train", "eval"

_MAX_SEED = 2**32 - 1


def check(transformed_examples: InputArtifact, train_steps: int, eval_steps: int, seed: int) -> None:
    """Checks what a user's function is about to be called with.

    Raises:
      InputError: a number that is out of range, or a split without examples.
    """
    if train_steps < 1:
        raise InputError(f"train_steps is {train_steps}; set it to at least 1")
    if eval_steps < 0:
        raise InputError(f"eval_steps is {eval_steps}; set it to at least 1, or to 0 for the whole split")
    if not 0 <= seed <= _MAX_SEED:
        raise InputError(f"seed is {seed}; set it to a number from 0 to {_MAX_SEED}")
    for name in (TRAIN, EVAL):
        folder = transformed_examples.split(name)
        if transformed_examples.metadata.get(f"rows_{name}") == 0 or next(folder.iterdir(), None) is None:
            raise InputError(f"{transformed_examples.name}: the split {name!r} is empty; change the splits of ingest")


def fn_args(
    transformed_examples: InputArtifact,
    transform_graph: InputArtifact,
    schema: InputArtifact,
    train_steps: int,
    eval_steps: int,
    **more: Any,
) -> FnArgs:
    """The fields that follow from a stage's inputs, as absolute paths, and `more` as it is."""
    train_files, eval_files = (f"{transformed_examples.split(name).absolute()}/*" for name in (TRAIN, EVAL))
    schema_path = os.path.abspath(schema.path / SCHEMA_FILE if schema.path.is_dir() else schema.path)
    graph = os.path.abspath(transform_graph.path)
    return FnArgs(
        train_files=[train_files],
        eval_files=[eval_files],
        train_steps=train_steps,
        eval_steps=eval_steps or None,
        schema_path=schema_path,
        schema_file=schema_path,
        transform_graph_path=graph,
        transform_output=graph,
        data_accessor=example_accessor(),
        **more,
    )
