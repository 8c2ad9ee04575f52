"""What a SavedModel offers to be measured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from components.runtime.errors import InputError


class SavedModelFacts:
    """What a SavedModel offers, read from its file without loading it."""

    def __init__(self, folder: Path, remedy: str = "train the model again") -> None:
        """Reads the model's graph.

        Args:
          folder: of the SavedModel.
          remedy: what mends it where the file is none.

        Raises:
          InputError: the file is no SavedModel.
        """
        saved = saved_model_pb2.SavedModel()
        try:
            saved.ParseFromString((folder / "saved_model.pb").read_bytes())
            graph = next(graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags)
        except StopIteration:
            raise InputError(f"{folder}: the SavedModel has no graph tagged 'serve'; {remedy}") from None
        except Exception as error:
            raise InputError(f"{folder / 'saved_model.pb'}: not a SavedModel ({error}); {remedy}") from None
        self.folder = folder
        self.outputs = {
            name: sorted(signature.outputs)
            for name, signature in graph.signature_def.items()
            if name != "__saved_model_init_op"
        }
        self._texts = {
            name: {key for key, entry in signature.outputs.items() if entry.dtype == types_pb2.DT_STRING}
            for name, signature in graph.signature_def.items()
        }
        self._inputs = {
            name: [entry.dtype for entry in signature.inputs.values()]
            for name, signature in graph.signature_def.items()
        }
        nodes = graph.object_graph_def.nodes
        self.functions = {child.local_name for child in nodes[0].children} if nodes else set()

    def takes_examples(self, name: str) -> bool:
        """Whether a signature has one argument, of serialised tf.Examples."""
        return self._inputs[name] == [types_pb2.DT_STRING]

    def texts(self, names: Iterable[str]) -> set[str]:
        """Outputs of signatures that are text."""
        return {key for name in names for key in self._texts.get(name, ())}

    def transformed(self, names: Iterable[str]) -> set[str] | None:
        """Outputs of the preprocessing signatures; None where a function is used whose outputs are not recorded."""
        outputs: set[str] = set()
        for name in names:
            if name not in self.outputs:
                return None
            outputs |= set(self.outputs[name])
        return outputs
