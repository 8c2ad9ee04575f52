"""LiteRT, which was TensorFlow Lite: one file for phones, boards and microcontrollers.

https://ai.google.dev/edge/litert/conversion/tensorflow/convert_tf
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.export.source import Arrays, CannotConvert, Cut
from components.runtime.module_file import signatures
from components.runtime.publish.export_formats import INT8, Format

FILE = "model.tflite"
_OPS = re.compile(r"TF Select ops: ([\w, ]+)|Custom ops: ([\w, ]+)")


def convert(cut: Cut, asked: Format, folder: Path, sample: Arrays | None) -> None:
    """Writes the file.

    Args:
      cut: of the model.
      asked: how the weights are stored.
      folder: to write to.
      sample: rows for the ranges of what flows between the layers, by feature, of int8 alone.

    Raises:
      CannotConvert: LiteRT has no kernel for an op; says which.
    """
    concrete = cut.concrete()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    # TensorFlow's own kernels ("select ops") are no way out: no interpreter for Python carries them, TensorFlow 2.21's
    # neither, so that nothing could ask the file before it is pushed.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if asked.quantise != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if asked.quantise == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if asked.quantise == INT8 and sample is not None:
        rows = len(next(iter(sample.values())))
        by_node = cut.by_node(sample)
        converter.representative_dataset = lambda: (
            {node: values[row : row + 1] for node, values in by_node.items()} for row in range(rows)
        )
    with _heard() as said:
        try:
            content = converter.convert()
        # The converter's errors have no type of their own in common.
        except Exception as error:
            raise CannotConvert(_reason(f"{said()}\n{error}")) from None
    (folder / FILE).write_bytes(content)


def _reason(text: str) -> str:
    found = {name for match in _OPS.finditer(text) for names in match.groups() if names for name in names.split(", ")}
    if found:
        return f"LiteRT has no kernel for the op{'s' if len(found) > 1 else ''} {', '.join(sorted(found))}"
    lines = [line for line in text.splitlines() if line.strip()]
    return f"LiteRT's converter fails: {lines[-1].strip()[:300] if lines else 'it does not say why'}"


@contextlib.contextmanager
def _heard() -> Iterator[Any]:
    """Keeps what C++ code writes, pages of it for every op, out of the log; gives what was written."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)

        def said() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class Runner:
    """Asks the file, by the interpreter that devices have."""

    def __init__(self, folder: Path, cut: Cut) -> None:
        """Loads it."""
        from ai_edge_litert.interpreter import Interpreter

        with _heard():
            self._interpreter = Interpreter(str(folder / FILE), num_threads=1)
            self._ask = self._interpreter.get_signature_runner()
        self._cut = cut
        self._taken = self._ask.get_input_details()

    def __call__(self, features: Arrays) -> np.ndarray[Any, Any]:
        """Predictions, a row for each row of the features."""
        given = self._cut.by_node(features)
        # What the network does not use is no input of the file.
        answered = self._ask(**{node: values for node, values in given.items() if node in self._taken})
        return np.array(answered[signatures.OUTPUTS])
