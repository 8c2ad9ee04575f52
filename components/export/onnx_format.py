"""ONNX: one file for ONNX Runtime, TensorRT and what else reads it.

https://onnx.ai/onnx/intro/
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from components.export.source import Arrays, CannotConvert, Cut
from components.runtime.module_file import signatures
from components.runtime.publish.export_formats import Format

FILE = "model.onnx"
OPSET = 18
"""What ONNX Runtime 1.14 and TensorRT 8.6 read already."""


def convert(cut: Cut, asked: Format, folder: Path, sample: Arrays | None) -> None:
    """Writes the file.

    Args:
      cut: of the model.
      asked: how the weights are stored.
      folder: to write to.
      sample: not needed.

    Raises:
      CannotConvert: ONNX has no such op; says which.
    """
    import onnx
    import tf2onnx

    del sample
    names = {f"{node}:0": node for node, _ in cut.features.values()} | {cut.output: signatures.OUTPUTS}
    # It logs what it does, and ops that it does not know as errors, which are looked for below.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            cut.graph,
            input_names=[name for name in names if name != cut.output],
            output_names=[cut.output],
            opset=OPSET,
            tensors_to_rename=names,
        )
    # The converter's errors have no type of their own in common.
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CannotConvert(f"the converter to ONNX fails: {line[:300]}") from None
    versions = {entry.domain: entry.version for entry in model.opset_import}
    unknown = {
        node.op_type
        for node in model.graph.node
        if not onnx.defs.has(node.op_type, versions.get(node.domain, OPSET), node.domain)
    }
    if unknown:
        raise CannotConvert(f"ONNX has no op {', '.join(sorted(unknown))}")
    if asked.quantise == "dynamic":
        from onnxruntime.quantization import quantize_dynamic

        logging.getLogger().setLevel(logging.ERROR)  # It recommends a preparation that changes nothing here.
        quantize_dynamic(model, folder / FILE)
    else:
        onnx.save(model, folder / FILE)


class Runner:
    """Asks the file, by ONNX Runtime on one processor."""

    def __init__(self, folder: Path, cut: Cut) -> None:
        """Loads it.

        Raises:
          CannotConvert: ONNX Runtime does not run it.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"])
        # Its errors have no type of their own in common.
        except Exception as error:
            raise CannotConvert(f"ONNX Runtime does not load it: {str(error).splitlines()[0][:300]}") from None
        self._cut = cut
        self._taken = {entry.name for entry in self._session.get_inputs()}

    def __call__(self, features: Arrays) -> np.ndarray[Any, Any]:
        """Predictions, a row for each row of the features."""
        given = self._cut.by_node(features)
        taken = {node: values for node, values in given.items() if node in self._taken}
        return np.asarray(self._session.run([signatures.OUTPUTS], taken)[0])
