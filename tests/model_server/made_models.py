"""SavedModels for tests: small, with signatures of every kind, whose answers tell which version gave them."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

v1 = tf.compat.v1
ODD_NAME = "trip miles/µ"


def write(folder: Path, told: float) -> Path:
    """Writes a SavedModel whose outputs `version` are `told` in every element."""
    with tf.Graph().as_default(), v1.Session() as session:
        signatures = {
            "serving_default": _features(told),
            "single": _single(told),
            "bytes": _bytes(),
            "scalar": _scalar(),
            "types": _types(),
            "image": _image(),
            "no_rows": _no_rows(),
            "fails": _fails(),
            "slow": _slow(),
            "classify": _classify(told),
            "only_scores": _only_scores(),
            "odd_classes": _odd_classes(),
            "regress": _regress(told),
            "from_examples": _from_examples(),
        }
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    return folder


def _predict(inputs: dict[str, tf.Tensor], outputs: dict[str, tf.Tensor]) -> SignatureDef:
    return v1.saved_model.predict_signature_def(inputs, outputs)


def _of_method(method: str, inputs: dict[str, tf.Tensor], outputs: dict[str, tf.Tensor]) -> SignatureDef:
    signature = _predict(inputs, outputs)
    signature.method_name = f"tensorflow/serving/{method}"
    return signature


def _features(told: float) -> SignatureDef:
    x = v1.placeholder(tf.float32, [None])
    whole = v1.placeholder(tf.int64, [None])
    text = v1.placeholder(tf.string, [None])
    flag = v1.placeholder(tf.bool, [None])
    return _predict(
        {"x": x, ODD_NAME: whole, "text": text, "flag": flag},
        {"version": x * 0 + told, "x": tf.identity(x), "whole": tf.identity(whole), "text": tf.identity(text),
         "flag": tf.identity(flag)},
    )  # fmt: skip


def _single(told: float) -> SignatureDef:
    x = v1.placeholder(tf.float32, [None, 2])
    return _predict({"x": x}, {"y": x * 0 + told})


def _bytes() -> SignatureDef:
    image = v1.placeholder(tf.string, [None])
    return _predict({"image": image}, {"image_bytes": tf.identity(image), "length": tf.strings.length(image)})


def _scalar() -> SignatureDef:
    x = v1.placeholder(tf.float32, [])
    return _predict({"x": x}, {"y": x + 1})


def _types() -> SignatureDef:
    names = ("int8", "uint8", "int32", "float64", "float16")
    inputs = {name: v1.placeholder(tf.dtypes.as_dtype(name), [None]) for name in names}
    return _predict(inputs, {name: tf.identity(tensor) for name, tensor in inputs.items()})


def _image() -> SignatureDef:
    image = v1.placeholder(tf.float32, [None, 4, 4, 3])
    return _predict({"image": image}, {"probabilities": tf.nn.softmax(tf.reduce_mean(image, [1, 2]))})


def _no_rows() -> SignatureDef:
    x = v1.placeholder(tf.float32, [None])
    return _predict({"x": x}, {"total": tf.reduce_sum(x)})


def _fails() -> SignatureDef:
    place = v1.placeholder(tf.int64, [None])
    return _predict({"place": place}, {"found": tf.gather(tf.constant([1.0, 2.0]), place)})


def _slow() -> SignatureDef:
    steps = v1.placeholder(tf.int64, [])
    _, done = tf.while_loop(
        lambda step, _: step < steps, lambda step, x: (step + 1, tf.sin(x)), [tf.constant(0, tf.int64), 1.0]
    )
    return _predict({"steps": steps}, {"done": done})


def _parsed() -> tuple[tf.Tensor, tf.Tensor]:
    examples = v1.placeholder(tf.string, [None])
    features = {"x": tf.io.FixedLenFeature([], tf.float32, 0.0), "text": tf.io.FixedLenFeature([], tf.string, "")}
    return examples, v1.parse_example(examples, features)


def _classify(told: float) -> SignatureDef:
    examples, features = _parsed()
    x = features["x"]
    classes = tf.stack([features["text"], tf.fill(tf.shape(x), "other")], axis=1)
    return _of_method(
        "classify", {"inputs": examples}, {"classes": classes, "scores": tf.stack([x, x * 0 + told], axis=1)}
    )


def _only_scores() -> SignatureDef:
    examples, features = _parsed()
    return _of_method("classify", {"inputs": examples}, {"scores": features["x"][:, None]})


def _odd_classes() -> SignatureDef:
    examples, features = _parsed()
    return _of_method("classify", {"inputs": examples}, {"scores": features["x"]})


def _regress(told: float) -> SignatureDef:
    examples, features = _parsed()
    return _of_method("regress", {"inputs": examples}, {"outputs": features["x"] * 2 + told})


def _from_examples() -> SignatureDef:
    examples, features = _parsed()
    return _predict({"examples": examples}, {"outputs": features["x"] * 2})


PAGE_INPUTS = {
    "fare <b>": ([None], tf.float32),
    "seats": ([None], tf.int64),
    "company": ([None], tf.string),
    "shared": ([None], tf.bool),
    "place": ([None, 2], tf.float32),
    "stops": ([None, None], tf.int64),
    "tags": ([None, 2], tf.string),
    "photo_jpeg": ([None], tf.string),
    "thumbnail": ([None, 8, 8, 3], tf.float32),
    "digit": ([None, 8, 8], tf.uint8),
    "cube": ([None, 2, 2, 2, 2], tf.float32),
}
"""Shapes and types of the inputs of the model that is asked on the page: of every kind that it has a field for."""


def write_for_feedback(folder: Path, classes: int) -> Path:
    """Writes a SavedModel that says how likely something is; of several classes the later are the likelier."""
    with tf.Graph().as_default(), v1.Session() as session:
        fare = v1.placeholder(tf.float32, [None])
        steps = tf.range(1, classes + 1, dtype=tf.float32)
        outputs = tf.sigmoid(fare) if classes == 1 else tf.nn.softmax(fare[:, None] * steps)
        builder = v1.saved_model.Builder(str(folder))
        signatures = {"serving_default": _predict({"fare": fare}, {"outputs": outputs})}
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    return folder


def write_for_page(folder: Path, told: float) -> Path:
    """Writes a SavedModel with inputs of every kind; its output `echo` tells the first four."""
    with tf.Graph().as_default(), v1.Session() as session:
        given = {name: v1.placeholder(dtype, shape) for name, (shape, dtype) in PAGE_INPUTS.items()}
        fare = given["fare <b>"]
        parts = [
            tf.strings.as_string(fare),
            tf.strings.as_string(given["seats"]),
            given["company"],
            tf.strings.as_string(given["shared"]),
        ]
        colours = tf.reduce_mean(given["thumbnail"], [1, 2])
        outputs = {
            "echo": tf.strings.join(parts, "|"),
            "tip": tf.sigmoid(fare),
            "share": tf.nn.softmax(colours),
            "classes": tf.tile([["red", "green", "<i>blue</i>"]], [tf.shape(fare)[0], 1]),
            "seats": tf.identity(given["seats"]),
            "version": fare * 0 + told,
            "length": tf.strings.length(given["photo_jpeg"]),
            "tags": tf.strings.reduce_join(given["tags"], 1, separator="+"),
            "stops": tf.reduce_sum(given["stops"], 1),
            "ink": tf.reduce_sum(tf.cast(given["digit"], tf.float32), [1, 2]),
            "place": given["place"] * 1.0,
            "negative": 255 - tf.cast(given["digit"], tf.int32) + tf.range(8),
        }  # fmt: skip
        builder = v1.saved_model.Builder(str(folder))
        signatures = {"serving_default": _predict(given, outputs)}
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    return folder
