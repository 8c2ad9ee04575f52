"""What train and tune share: the checks of what they are given, and the FnArgs that they fill in of it."""

from __future__ import annotations

import logging
import os
from typing import Any

from components.runtime.errors import InputError
from components.runtime.module_file.fn_args import FnArgs, example_accessor
from components.runtime.stage.artifacts import InputArtifact, content_bytes

SCHEMA_FILE = "schema.pbtxt"
TRAIN, EVAL = "train", "eval"

_MAX_SEED = 2**32 - 1


def check(transformed_examples: InputArtifact, train_steps: int, eval_steps: int, seed: int) -> None:
    """Checks what a user's function is about to be called with.

    Raises:
      InputError: a number that is out of range, a split without examples, or files that are not as they were written.
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
    # TensorFlow takes a compressed file that was cut off between two records for a whole one.
    written, found = transformed_examples.metadata.get("bytes"), content_bytes(transformed_examples.path)
    if written is not None and found != int(written):
        raise InputError(
            f"{transformed_examples.name}: {transformed_examples.path} holds {found:,} bytes and not the "
            f"{int(written):,} that were written: a file is cut off, or was changed; run transform again"
        )


def quieten() -> None:
    """Keeps out of the log what TensorFlow has to say about libraries that call its deprecated functions."""
    import tensorflow as tf

    def of_the_user(record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        return "is deprecated" not in str(record.msg) or not arguments or "site-packages" not in str(arguments[0])

    tf.get_logger().addFilter(of_the_user)


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
