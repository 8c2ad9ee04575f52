"""A module file as users of TFX write them for Keras 3: one file for Transform and Trainer, nothing of ours in it."""

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx import v1 as tfx
from tfx_bsl.public import tfxio

_NUMERIC_FEATURE_KEYS = ["trip_miles", "fare", "trip_seconds"]
_VOCAB_FEATURE_KEYS = ["payment_type"]
_LABEL_KEY = "tips"

_TRAIN_BATCH_SIZE = 64
_EVAL_BATCH_SIZE = 64


def _transformed_name(key: str) -> str:
    return key + "_xf"


def _dense(x):
    if isinstance(x, tf.SparseTensor):
        default_value = "" if x.dtype == tf.string else 0
        x = tf.sparse.to_dense(tf.SparseTensor(x.indices, x.values, [x.dense_shape[0], 1]), default_value)
    return x


def preprocessing_fn(inputs):
    outputs = {}
    for key in _NUMERIC_FEATURE_KEYS:
        outputs[_transformed_name(key)] = tft.scale_to_z_score(tf.cast(_dense(inputs[key]), tf.float32))
    for key in _VOCAB_FEATURE_KEYS:
        outputs[_transformed_name(key)] = tft.compute_and_apply_vocabulary(
            _dense(inputs[key]), num_oov_buckets=1, vocab_filename=key
        )
    tips, fare = _dense(inputs[_LABEL_KEY]), _dense(inputs["fare"])
    outputs[_transformed_name(_LABEL_KEY)] = tf.cast(tips > fare * 0.2, tf.int64)
    return outputs


def _input_fn(
    file_pattern: list[str],
    data_accessor: tfx.components.DataAccessor,
    tf_transform_output: tft.TFTransformOutput,
    batch_size: int,
) -> tf.data.Dataset:
    return data_accessor.tf_dataset_factory(
        file_pattern,
        tfxio.TensorFlowDatasetOptions(batch_size=batch_size, label_key=_transformed_name(_LABEL_KEY)),
        tf_transform_output.transformed_metadata.schema,
    ).repeat()


def _get_serve_tf_examples_fn(model, tf_transform_output):
    model.tft_layer = tf_transform_output.transform_features_layer()

    @tf.function(input_signature=[tf.TensorSpec(shape=[None], dtype=tf.string, name="examples")])
    def serve_tf_examples_fn(serialized_tf_examples):
        feature_spec = tf_transform_output.raw_feature_spec()
        feature_spec.pop(_LABEL_KEY)
        parsed_features = tf.io.parse_example(serialized_tf_examples, feature_spec)
        transformed_features = model.tft_layer(parsed_features)
        return {"outputs": model(transformed_features)}

    return serve_tf_examples_fn


def _build_keras_model(tf_transform_output: tft.TFTransformOutput) -> keras.Model:
    numeric = [keras.Input(shape=(1,), name=_transformed_name(key)) for key in _NUMERIC_FEATURE_KEYS]
    vocab = [keras.Input(shape=(1,), name=_transformed_name(key), dtype="int64") for key in _VOCAB_FEATURE_KEYS]
    embedded = [
        keras.layers.Flatten()(keras.layers.Embedding(tf_transform_output.vocabulary_size_by_name(key) + 1, 4)(tensor))
        for key, tensor in zip(_VOCAB_FEATURE_KEYS, vocab, strict=True)
    ]
    d = keras.layers.concatenate(numeric + embedded)
    for _ in range(2):
        d = keras.layers.Dense(8, activation="relu")(d)
    outputs = keras.layers.Dense(1, activation="sigmoid")(d)

    model = keras.Model(inputs={tensor.name: tensor for tensor in numeric + vocab}, outputs=outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2), loss="binary_crossentropy", metrics=[keras.metrics.BinaryAccuracy()]
    )
    return model


def run_fn(fn_args: tfx.components.FnArgs):
    tf_transform_output = tft.TFTransformOutput(fn_args.transform_output)
    train_dataset = _input_fn(fn_args.train_files, fn_args.data_accessor, tf_transform_output, _TRAIN_BATCH_SIZE)
    eval_dataset = _input_fn(fn_args.eval_files, fn_args.data_accessor, tf_transform_output, _EVAL_BATCH_SIZE)

    model = _build_keras_model(tf_transform_output)
    tensorboard_callback = keras.callbacks.TensorBoard(log_dir=fn_args.model_run_dir, update_freq="epoch")
    model.fit(
        train_dataset,
        steps_per_epoch=fn_args.train_steps,
        validation_data=eval_dataset,
        validation_steps=fn_args.eval_steps,
        callbacks=[tensorboard_callback],
    )
    signatures = {"serving_default": _get_serve_tf_examples_fn(model, tf_transform_output)}
    tf.saved_model.save(model, fn_args.serving_model_dir, signatures=signatures)
