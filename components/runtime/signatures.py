"""Exports a Keras model together with its preprocessing, so that what is served cannot differ from what was trained."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from components.runtime.errors import InputError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

SERVING_DEFAULT = "serving_default"
TRANSFORM_FEATURES = "transform_features"
FROM_EXAMPLES = "from_examples"
EXAMPLES = "examples"
OUTPUTS = "outputs"

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
      stands NaN (floats), an empty string, or the smallest int64. Answers `outputs`.
    - `from_examples` takes `examples`, serialised tf.Examples of shape [B], with or without labels. Answers `outputs`.
    - `transform_features` takes `examples` and answers the transformed features, dense, labels among them. Evaluation
      reads its labels here, so the examples must hold them where the schema says that they always do.

    Args:
      model: its inputs are named after transformed features; its call returns one tensor.
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

    spec = transform_output.raw_feature_spec()
    _check(model, transform_output, spec, labels)
    served = {name: feature for name, feature in spec.items() if name not in labels}
    inputs = [tensor.name for tensor in model.inputs]
    several = _features_with_several_values(transform_output)

    module = tf.Module()
    # Without the optimiser's variables, which are twice as large as the model's.
    module.model = inference = keras.Model(model.input, model.output)
    module.preprocessing = transform_output.transform_features_layer()
    # Calling the layer itself would have Keras remember the call, and trace it once more when it is saved.
    preprocess = module.preprocessing.call

    def transform(raw: dict[str, Any]) -> Features:
        return decode(preprocess(raw)) if decode else preprocess(raw)

    def predict(raw: Features) -> tf.Tensor:
        transformed = transform(dict(raw))
        if leaked := [name for name in inputs if name not in transformed]:
            raise InputError(
                f"the model's input {leaked[0]!r} is made from a label, which is unknown when the model serves"
            )
        return inference({name: transformed[name] for name in inputs}, training=False)

    def serving_default(**plain: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = predict({name: _raw(plain[name], feature) for name, feature in served.items()})
        return dict(answer(outputs)) if answer else {OUTPUTS: outputs}

    def from_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {OUTPUTS: predict(tf.io.parse_example(examples, served))}

    def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        transformed = transform(tf.io.parse_example(examples, spec))
        return {name: _dense(value) for name, value in transformed.items()}

    examples = tf.TensorSpec([None], tf.string, name=EXAMPLES)
    plain = {name: _plain_spec(name, feature, name in several) for name, feature in sorted(served.items())}
    signatures = {
        SERVING_DEFAULT: _concrete(serving_default, **plain),
        FROM_EXAMPLES: _concrete(from_examples, examples),
        TRANSFORM_FEATURES: _concrete(transform_features, examples),
    }
    logger, level = tf.get_logger(), tf.get_logger().level
    logger.setLevel("ERROR")  # Otherwise it warns that the layer is saved without Keras's own description of it.
    try:
        tf.saved_model.save(module, serving_dir, signatures=signatures)
    finally:
        logger.setLevel(level)


def _concrete(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
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
    if unknown := sorted({tensor.name for tensor in model.inputs} - transformed.keys()):
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


def _plain_spec(name: str, feature: Any, several: bool) -> tf.TensorSpec:
    import tensorflow as tf

    if isinstance(feature, tf.io.FixedLenFeature):
        shape = [None] if tuple(feature.shape) in ((), (1,)) else [None, *feature.shape]
    elif isinstance(feature, tf.io.VarLenFeature):
        shape = [None, None] if several else [None]
    else:
        raise InputError(f"feature {name!r} of the schema is a {type(feature).__name__}, which has no dense form")
    return tf.TensorSpec(shape, feature.dtype, name=name)


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
    if plain.dtype == tf.string:
        return tf.not_equal(plain, "")
    return tf.not_equal(plain, plain.dtype.min)


def _dense(value: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    import tensorflow as tf

    if isinstance(value, tf.SparseTensor):
        return tf.sparse.to_dense(value)
    return value.to_tensor() if isinstance(value, tf.RaggedTensor) else value
