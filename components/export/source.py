"""The model as its exports are made of it: what can be cut out of its SavedModel, and what that is asked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from components.runtime.data import examples as tf_examples
from components.runtime.errors import InputError
from components.runtime.module_file import signatures
from components.runtime.module_file.predictions import ExportedModel
from components.runtime.publish.export_formats import RAW, TRANSFORMED

Arrays = Mapping[str, np.ndarray[Any, Any]]


class CannotConvert(Exception):
    """Why there is no such export, in one line."""


@dataclass(frozen=True)
class Cut:
    """A part of the model, as a graph whose weights are constants.

    Attributes:
      inputs: raw or transformed.
      graph: what computes.
      features: by the feature's name, the node that takes it, and its spec.
      output: tensor of the predictions, as `NODE:NUMBER`.
    """

    inputs: str
    graph: graph_pb2.GraphDef
    features: Mapping[str, tuple[str, tf.TensorSpec]]
    output: str

    @property
    def ops(self) -> set[str]:
        """The kinds of its nodes."""
        functions = (node for function in self.graph.library.function for node in function.node_def)
        return {node.op for node in (*self.graph.node, *functions)}

    def concrete(self) -> Any:
        """The same as a function of TensorFlow, with an argument for each feature by its node's name."""

        def call(**plain: tf.Tensor) -> dict[str, tf.Tensor]:
            given = {f"{node}:0": tensor for node, tensor in plain.items()}
            [answer] = tf.graph_util.import_graph_def(self.graph, given, [self.output], name="")
            return {signatures.OUTPUTS: answer}

        specs = {node: tf.TensorSpec(spec.shape, spec.dtype, name=node) for node, spec in self.features.values()}
        return tf.function(call, autograph=False).get_concrete_function(**specs)

    def by_node(self, features: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        """Arrays by the node that takes them."""
        return {node: features[name] for name, (node, _) in self.features.items()}


class Source:
    """A SavedModel, loaded."""

    def __init__(self, folder: Path) -> None:
        """Loads it.

        Raises:
          InputError: it is none.
        """
        self.folder = folder
        self.exported = ExportedModel(str(folder))
        self._network = self.exported.network
        self._transform = self.exported.signature(signatures.TRANSFORM_FEATURES)

    @property
    def takes_examples(self) -> bool:
        """Whether clients can only give it serialised tf.Examples."""
        return not self.exported.inputs

    def cut(self, inputs: str) -> Cut:
        """What takes raw features, or transformed ones.

        Raises:
          CannotConvert: the model has no such part, or it needs tables of words, which no other format can hold.
        """
        made = self._whole() if inputs == RAW else self._network_alone()
        if tables := sorted(op for op in made.ops if "LookupTable" in op or "HashTable" in op):
            which = "preprocessing" if inputs == RAW else "network"
            raise CannotConvert(f"its {which} looks words up in a vocabulary (the op {tables[0]})")
        return made

    def _whole(self) -> Cut:
        if self.takes_examples:
            raise CannotConvert(
                f"the model's signature {signatures.SERVING_DEFAULT} takes serialised tf.Examples, which only "
                "TensorFlow parses"
            )
        called = self.exported.signature(signatures.SERVING_DEFAULT)
        outputs = sorted(called.structured_outputs)
        if outputs != [signatures.OUTPUTS] and (self._network is not None or len(outputs) > 1):
            raise CannotConvert(
                f"the model's signature {signatures.SERVING_DEFAULT} answers {', '.join(outputs)}, and not what it is "
                "evaluated by"
            )
        specs = dict(called.structured_input_signature[1])
        names = {argument: spec.name or argument for argument, spec in specs.items()}
        return _frozen(RAW, lambda given: called(**given), specs, names)

    def _network_alone(self) -> Cut:
        if self._network is None or self._transform is None:
            raise CannotConvert(
                f"the model has no function {signatures.NETWORK!r} of its transformed features; export it in run_fn "
                "with signatures.export"
            )
        features = signatures.network_features(self._network)
        arguments = signatures.python_arguments(features)
        specs = {arguments[name]: spec for name, spec in features.items()}
        names = {argument: name for name, argument in arguments.items()}

        def call(given: Mapping[str, tf.Tensor]) -> Any:
            return self._network({names[argument]: tensor for argument, tensor in given.items()})

        return _frozen(TRANSFORMED, call, specs, names)

    def raw(self, rows: Sequence[bytes]) -> dict[str, np.ndarray[Any, Any]]:
        """What the model's `serving_default` is given for serialised tf.Examples."""
        given = self.exported.arguments([tf_examples.decode(row) for row in rows])
        return {name: tensor.numpy() for name, tensor in given.items()}

    def transformed(self, rows: Sequence[bytes], cut: Cut) -> dict[str, np.ndarray[Any, Any]]:
        """What a network on transformed features is given for serialised tf.Examples."""
        [argument] = self._transform.structured_input_signature[1]
        answered = self._transform(**{argument: tf.constant(list(rows), tf.string)})
        return {name: shaped(answered[name].numpy(), spec) for name, (_, spec) in cut.features.items()}

    def given(self, rows: Sequence[bytes], cut: Cut) -> dict[str, np.ndarray[Any, Any]]:
        """What a part of the model is given for serialised tf.Examples, by feature."""
        return self.raw(rows) if cut.inputs == RAW else self.transformed(rows, cut)

    def answers(self, features: Arrays) -> np.ndarray[Any, Any]:
        """What the model itself answers to raw features."""
        found = self.exported.answers({name: tf.constant(values) for name, values in features.items()})
        return found[signatures.OUTPUTS] if signatures.OUTPUTS in found else next(iter(found.values()))


def shaped(values: np.ndarray[Any, Any], spec: tf.TensorSpec) -> np.ndarray[Any, Any]:
    """An array of rows in the shape that an input has; what is of open shape stays as it is."""
    inner = spec.shape.as_list()[1:]
    return values if None in inner else values.reshape(-1, *inner)


def _frozen(inputs: str, call: Any, specs: Mapping[str, tf.TensorSpec], names: Mapping[str, str]) -> Cut:
    """Makes constants of the weights of a function.

    Args:
      inputs: raw or transformed.
      call: takes tensors by argument.
      specs: of the arguments.
      names: of the features, by argument.
    """

    def flat(**given: tf.Tensor) -> Any:
        return call(given)

    signature = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()}
    concrete = tf.function(flat, autograph=False).get_concrete_function(**signature)
    frozen = convert_variables_to_constants_v2(concrete)
    graph = frozen.graph.as_graph_def()
    for node in graph.node:
        # Keras adds a vector by BiasAdd; of whole numbers no other runtime has that, and AddV2 is the same.
        if node.op == "BiasAdd" and not tf.dtypes.as_dtype(node.attr["T"].type).is_floating:
            node.op = "AddV2"
            del node.attr["data_format"]
    features = {names[name]: (name, spec) for name, spec in signature.items()}
    [output] = frozen.outputs
    return Cut(inputs, graph, features, output.name)


def check_features(source: Source) -> None:
    """Refuses a model of which nothing but a SavedModel can be made.

    Raises:
      InputError: it takes only tf.Examples, and has no network to cut out.
    """
    if source.takes_examples:
        try:
            source.cut(TRANSFORMED)
        except CannotConvert:
            raise InputError(
                "the model takes serialised tf.Examples alone, which no device makes: export it in run_fn with "
                "signatures.export, which docs/model-code.md shows, or ask for format saved_model only"
            ) from None
