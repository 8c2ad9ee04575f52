"""Exports a Keras model together with its preprocessing, so that what is served cannot differ from what was trained."""

from __future__ import annotations

import collections
import keyword
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.runtime.errors import InputError
from components.runtime.missing import stand_in
from components.runtime.module_file.keras_saving import servable_variables
from components.runtime.stage import progress

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

SERVING_DEFAULT = "serving_default"
TRANSFORM_FEATURES = "transform_features"
FROM_EXAMPLES = "from_examples"
EXAMPLES = "examples"
OUTPUTS = "outputs"
NETWORK = "network"
"""An attribute of the saved object, no signature: the model itself, from the transformed features that it takes by name
to what it returns. Whoever explains the model follows its gradient."""

Features = Mapping[str, Any]


def export(
    model: keras.Model,
    transform_output: tft.TFTransformOutput,
    serving_dir: str,
    *,
    labels: Collection[str],
    decode: Callable[[dict[str, Any]], Features] | None = None,
    answer: Callable[[Any], Features] | None = None,
) -> None:
    """Writes a SavedModel with three signatures; B is the number of examples in a call.

    - `serving_default` takes the raw features of the schema, without the labels, as one dense tensor each: of shape
      [B] where an example has at most one value, else [B, n] (or [B] plus the schema's shape). Where a value is missing
      stands NaN (floats), an empty string, or the smallest int64. Answers `outputs`. Its inputs have the features' own
      names, whatever characters they are of; a caller in Python finds the argument of each in
      `structured_input_signature`, whose specs have the features' names.
    - `from_examples` takes `examples`, serialised tf.Examples of shape [B], with or without labels. Answers `outputs`.
      Where a feature is called `examples`, the input is `serialized_examples`, here and in the next.
    - `transform_features` takes `examples` and answers the transformed features, dense, labels among them. Evaluation
      reads its labels here, so the examples must hold them where the schema says that they always do.

    Beside the signatures the SavedModel has a function `network`, from a dict of those transformed features that the
    network takes to `outputs`: what devices get that cannot do the preprocessing.

    Args:
      model: takes transformed features by name: by the keys where it takes a dict, else by the names of its inputs
        (which Keras does not let hold a `/`); its call returns one tensor.
      transform_output: the preprocessing.
      serving_dir: folder to write to.
      labels: raw features that are not known when the model serves.
      decode: makes of transformed features, those that there are, what the model was trained on, under the same names;
        for features that are stored in another form, such as encoded images. `transform_features` answers it too.
      answer: makes of what the model returns that which `serving_default` answers by name, in place of `outputs`; for
        a prediction that is larger than what clients want.

    Raises:
      InputError: a label that the schema does not have, an input that the preprocessing does not make or makes from a
        label, or a raw feature that has no dense form.
    """
    import keras
    import tensorflow as tf

    progress.report("exporting the model")
    spec = transform_output.raw_feature_spec()
    _check(model, transform_output, spec, labels)
    served = {name: feature for name, feature in spec.items() if name not in labels}
    inputs = _features_taken(model)
    transformed_names = transform_output.transformed_feature_spec().keys()
    several = _features_with_several_values(transform_output)

    module = tf.Module()
    # Without the optimiser's variables, which are twice as large as the model's.
    module.model = inference = keras.Model(model.input, model.output)
    module.preprocessing = transform_output.transform_features_layer()
    # Calling the layer itself would have Keras remember the call, and trace it once more when it is saved.
    preprocess = module.preprocessing.call

    def transform(raw: dict[str, Any]) -> Features:
        return decode(preprocess(raw)) if decode else preprocess(raw)

    # A function of its own is traced once, and then called by two signatures.
    @tf.function(autograph=False)
    def network(features: dict[str, tf.Tensor]) -> tf.Tensor:
        return inference(features, training=False)

    taken = model.input if isinstance(model.input, Mapping) else {tensor.name: tensor for tensor in model.inputs}
    network.get_concrete_function(
        {name: tf.TensorSpec(tensor.shape, tensor.dtype) for name, tensor in sorted(taken.items())}
    )
    setattr(module, NETWORK, network)

    def predict(raw: Features) -> tf.Tensor:
        transformed = transform(dict(raw))
        if leaked := [name for name in inputs if name not in transformed]:
            raise InputError(
                f"the model's input {leaked[0]!r} is made from a label, which is unknown when the model serves"
            )
        return network({name: transformed[name] for name in inputs})

    arguments = python_arguments(served)

    def serving_default(**plain: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = predict({name: _raw(plain[arguments[name]], feature) for name, feature in served.items()})
        return dict(answer(outputs)) if answer else {OUTPUTS: outputs}

    def from_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {OUTPUTS: predict(tf.io.parse_example(examples, served))}

    def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        transformed = transform(tf.io.parse_example(examples, spec))
        return {name: _dense(value) for name, value in transformed.items()}

    given = EXAMPLES
    # TFMA, over Beam, hands a feature that is called like the signature's input to it in place of the examples.
    while given in spec or given in transformed_names:
        given = f"serialized_{given}"
    examples = tf.TensorSpec([None], tf.string, name=given)
    plain = {
        arguments[name]: _plain_spec(name, feature, name in several, arguments[name])
        for name, feature in sorted(served.items())
    }
    signatures = {
        SERVING_DEFAULT: _concrete(serving_default, **plain),
        FROM_EXAMPLES: _concrete(from_examples, examples),
        TRANSFORM_FEATURES: _concrete(transform_features, examples),
    }
    logger, level = tf.get_logger(), tf.get_logger().level
    logger.setLevel("ERROR")  # Otherwise it warns that the layer is saved without Keras's own description of it.
    try:
        with servable_variables():
            tf.saved_model.save(module, serving_dir, signatures=signatures)
    finally:
        logger.setLevel(level)
    _name_inputs(Path(serving_dir), SERVING_DEFAULT, arguments)


def _features_taken(model: keras.Model) -> list[str]:
    """Names of the transformed features that a model takes."""
    if isinstance(model.input, Mapping):
        return list(model.input)
    return [tensor.name for tensor in model.inputs]


def python_arguments(features: Collection[str]) -> dict[str, str]:
    """A name for each feature that TensorFlow lets a function's argument have: its own wherever possible.

    Those are ASCII identifiers that differ in more than upper and lower case, since they become names of nodes.
    """
    names = [name for name in features if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)]
    spellings = collections.Counter(name.lower() for name in names)
    reserved = {*keyword.kwlist, "self"}
    arguments = {name: name for name in names if spellings[name.lower()] == 1 and name not in reserved}
    taken = {name.lower() for name in arguments}
    for name in sorted(set(features) - arguments.keys()):
        # TensorFlow's own way to make an argument of a name: for most of these names a call by the name finds it.
        stem = re.sub(r"[^A-Za-z0-9_]", "_", name)
        stem = stem if stem[:1].isalpha() else f"arg_{stem}"
        argument = f"{stem}_" if stem in reserved else stem
        number = 1
        while argument.lower() in taken:
            argument, number = f"{stem}_{number}", number + 1
        taken.add(argument.lower())
        arguments[name] = argument
    return arguments


def _name_inputs(folder: Path, signature: str, arguments: Mapping[str, str]) -> None:
    """Gives the inputs of a saved signature the features' names, in place of those of the arguments.

    Whoever serves the model goes by the names in the signature. Its counterpart in Python, which `tf.saved_model.load`
    makes, keeps its arguments, which must be names of Python, and is told the features' names beside them.
    """
    names = {argument: name for name, argument in arguments.items()}
    if all(argument == name for argument, name in names.items()):
        return
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.saved_model import fingerprinting_utils

    file = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    (graph,) = saved.meta_graphs
    inputs = graph.signature_def[signature].inputs
    infos = {names[argument]: info for argument, info in inputs.items()}
    described = type(graph.signature_def[signature])(inputs=infos)
    inputs.clear()
    inputs.MergeFrom(described.inputs)

    objects = graph.object_graph_def
    node = objects.nodes[0]
    for child in ("signatures", signature):
        node = next(objects.nodes[each.node_id] for each in node.children if each.local_name == child)
    function = node.bare_concrete_function
    function.argument_keywords[:] = [names[argument] for argument in function.argument_keywords]
    concrete = objects.concrete_functions[function.concrete_function_name]
    specs = concrete.canonicalized_input_signature.tuple_value.values[1].dict_value.fields
    for argument, spec in specs.items():
        spec.tensor_spec_value.name = names[argument]
    file.write_bytes(saved.SerializeToString(deterministic=True))
    fingerprinting_utils.write_fingerprint(str(folder))


def network_features(network: Any) -> dict[str, tf.TensorSpec]:
    """What the function `network` of a saved model takes: the transformed features, with their types and shapes.

    Args:
      network: of a model that was loaded. It may have been traced for several shapes; the most definite are told.
    """
    traced: list[dict[str, tf.TensorSpec]] = [
        each.structured_input_signature[0][0] for each in network.concrete_functions
    ]
    return max(
        traced,
        key=lambda specs: sum(None not in spec.shape.as_list()[1:] for spec in specs.values() if spec.shape.rank),
    )


def _concrete(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    import tensorflow as tf

    # Nothing here branches on tensors, and AutoGraph would cost half of the tracing time.
    return tf.function(function, autograph=False).get_concrete_function(*args, **kwargs)


def _check(
    model: keras.Model, transform_output: tft.TFTransformOutput, spec: Mapping[str, Any], labels: Collection[str]
) -> None:
    if unknown := sorted(set(labels) - spec.keys()):
        raise InputError(
            f"no feature {unknown[0]!r} in the schema, which the model calls a label; it has: {_names(spec)}"
        )
    transformed = transform_output.transformed_feature_spec()
    if unknown := sorted(set(_features_taken(model)) - transformed.keys()):
        raise InputError(
            f"the model's input {unknown[0]!r} is no transformed feature; "
            f"preprocessing_fn returns: {_names(transformed)}"
        )


def _names(features: Mapping[str, Any]) -> str:
    return ", ".join(sorted(features))


def _features_with_several_values(transform_output: tft.TFTransformOutput) -> set[str]:
    schema = transform_output.raw_metadata.schema
    return {
        feature.name for feature in schema.feature if feature.HasField("value_count") and feature.value_count.max != 1
    }


def _plain_spec(name: str, feature: Any, several: bool, argument: str) -> tf.TensorSpec:
    import tensorflow as tf

    if isinstance(feature, tf.io.FixedLenFeature):
        shape = [None] if tuple(feature.shape) in ((), (1,)) else [None, *feature.shape]
    elif isinstance(feature, tf.io.VarLenFeature):
        shape = [None, None] if several else [None]
    else:
        raise InputError(f"feature {name!r} of the schema is a {type(feature).__name__}, which has no dense form")
    return tf.TensorSpec(shape, feature.dtype, name=argument)


def _raw(plain: tf.Tensor, feature: Any) -> tf.Tensor | tf.SparseTensor:
    """Turns a plain feature into what parsing a tf.Example gives."""
    import tensorflow as tf

    if isinstance(feature, tf.io.FixedLenFeature):
        return tf.reshape(plain, [-1, *feature.shape])
    present = _present(plain)
    if plain.shape.rank == 2:
        return tf.ragged.boolean_mask(plain, present).to_sparse()
    rows = tf.where(present)
    width = tf.minimum(tf.shape(rows, out_type=tf.int64)[0], 1)
    return tf.SparseTensor(
        indices=tf.pad(rows, [[0, 0], [0, 1]]),
        values=tf.gather_nd(plain, rows),
        dense_shape=tf.stack([tf.shape(plain, out_type=tf.int64)[0], width]),
    )


def _present(plain: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    if plain.dtype.is_floating:
        return tf.logical_not(tf.math.is_nan(plain))
    return tf.not_equal(plain, stand_in(plain.dtype.as_numpy_dtype))


def _dense(value: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    import tensorflow as tf

    if isinstance(value, tf.SparseTensor):
        return tf.sparse.to_dense(value)
    return value.to_tensor() if isinstance(value, tf.RaggedTensor) else value
