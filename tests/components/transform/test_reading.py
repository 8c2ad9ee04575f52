"""Rows that TensorFlow parses are those that TFXIO decodes, and threads change nothing."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.public import tfxio
from tfx_bsl.tfxio.tensor_adapter import TensorAdapter

from components.runtime.data import beam, examples, tfrecord
from components.runtime.errors import InputError
from components.transform import apply, dataset, reading
from tests.components.transform.transform_support import run_transform, write_examples, write_module, write_schema

SCHEMA = text_format.Parse(
    """
    feature { name: "one" type: FLOAT presence { min_fraction: 1 } shape {} }
    feature { name: "pair" type: INT presence { min_fraction: 1 } shape { dim { size: 2 } } }
    feature { name: "often" type: INT }
    feature { name: "words" type: BYTES }
    feature { name: "place" type: INT }
    feature { name: "weight" type: FLOAT }
    sparse_feature { name: "sparse" index_feature { name: "place" } value_feature { name: "weight" }
                     is_sorted: true }
    feature { name: "parts" type: BYTES }
    feature { name: "lengths" type: INT }
    tensor_representation_group {
      key: ""
      value {
        tensor_representation {
          key: "ragged"
          value { ragged_tensor { feature_path { step: "parts" } partition { row_length: "lengths" } } }
        }
        tensor_representation {
          key: "sparse"
          value {
            sparse_tensor { dense_shape { dim { size: 9 } } index_column_names: "place" value_column_name: "weight" }
          }
        }
      }
    }
    """,
    schema_pb2.Schema(),
)
SERIALISED = SCHEMA.SerializeToString()
ALL = ("one", "pair", "often", "words", "sparse", "ragged")


def rows() -> list[dict[str, Any]]:
    return [
        {
            "one": index / 3,
            "pair": [index, -index],
            "often": list(range(index % 4)),
            "words": ["ä", "b", ""][: index % 3] or None,
            "place": [index % 9],
            "weight": [index * 0.5],
            "parts": [f"{part}" for part in range(index % 3)],
            "lengths": [index % 3],
            "not in the schema": "x",
        }
        for index in range(5000)
    ]


def plain(tensor: Any) -> list[Any]:
    """All of a tensor, whatever its kind."""
    parts = tf.nest.flatten(tensor, expand_composites=True)
    return [np.asarray(part).tolist() for part in parts]


def test_tensors_are_those_of_decoded_batches(tmp_path: Path) -> None:
    file = tmp_path / "data.gz"
    tfrecord.write(file, [examples.encode(row) for row in rows()])
    io = tfxio.TFExampleBeamRecord(physical_format="tfrecord_gzip", schema=SCHEMA, telemetry_descriptors=["test"])
    decoded = io.TensorAdapter()
    again = TensorAdapter(reading.adapter_config(SERIALISED, ALL))
    assert again.TypeSpecs() == decoded.TypeSpecs() == reading.types_of(SERIALISED)
    batches = list(reading.read_batches(str(file), SERIALISED, ALL))
    assert [batch.num_rows for batch in batches] == [4096, 904]
    for records, batch, expected in zip(
        beam.read_records(str(file)), batches, beam.read_batches(str(file), SERIALISED), strict=True
    ):
        parsed, wanted = reading.parse(tf.constant(records), SERIALISED), decoded.ToBatchTensors(expected)
        assert parsed.keys() == wanted.keys() == set(ALL)
        restored = again.ToBatchTensors(batch)
        for name, tensor in wanted.items():
            assert plain(parsed[name]) == plain(restored[name]) == plain(tensor), name


def test_values_of_a_sparse_feature_are_sorted_by_their_indices() -> None:
    schema = schema_pb2.Schema()
    schema.CopyFrom(SCHEMA)
    del schema.feature[:4], schema.tensor_representation_group[""].tensor_representation["ragged"]
    record = examples.encode({"place": [5, 2], "weight": [1.0, 2.0]})
    sparse = reading.parse(tf.constant([record]), schema.SerializeToString())["sparse"]
    assert sparse.indices.numpy().tolist() == [[0, 2], [0, 5]]
    assert sparse.values.numpy().tolist() == [2.0, 1.0]


def test_lists_in_several_pieces_are_read_whole(tmp_path: Path) -> None:
    entry = b"\x0a\x01c\x12"
    # [1, 2] and [3], as lists of one Feature and as packed pieces of one list; and an integer before floats, which win.
    first, second = b"\x0a\x08\x00\x00\x80\x3f\x00\x00\x00\x40", b"\x0a\x04\x00\x00\x40\x40"
    features = [
        b"\x12\x0a" + first + b"\x12\x06" + second,
        b"\x12\x10" + first + second,
        b"\x1a\x03\x0a\x01\x07\x12\x06" + second,
    ]
    records = []
    for feature in features:
        inner = entry + bytes([len(feature)]) + feature
        records.append(bytes([0x0A, len(inner) + 2, 0x0A, len(inner)]) + inner)
    tfrecord.write(tmp_path / "data.gz", records)
    schema = text_format.Parse('feature { name: "c" type: FLOAT }', schema_pb2.Schema()).SerializeToString()
    (batch,) = reading.read_batches(str(tmp_path / "data.gz"), schema, ("c",))
    assert batch.column(0).to_pylist() == [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [3.0]]
    (read,) = reading.read_canonical(str(tmp_path / "data.gz"), False)
    assert read == [examples.encode({"c": values}) for values in ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [3.0])]
    assert list(reading.read_canonical(str(tmp_path / "data.gz"), True)) == [records]


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"one": None}, "'one' has no values, but 1 by its shape"),
        ({"one": [1.0, 2.0]}, "'one' has 2 values, but 1 by its shape"),
        ({"pair": 1}, "'pair' has 1 value, but 2 by its shape"),
        ({"weight": [0.5, 0.5]}, "'sparse' has 2 values in 'weight', but 1 indices in 'place'"),
        ({"parts": ["1", "2", "3"], "lengths": [1, 1]}, "'ragged' has 3 values in 'parts', but the row lengths [1, 1]"),
        (
            {"parts": ["1", "2", "3"], "lengths": [4, -1]},
            "'ragged' has 3 values in 'parts', but the row lengths [4, -1]",
        ),
        ({"parts": ["1", "2", "3"], "lengths": [1, 5]}, "'ragged' has 3 values in 'parts', but the row lengths [1, 5]"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, wrong: dict[str, Any], fault: str) -> None:
    file = tmp_path / "data.gz"
    tfrecord.write(file, [examples.encode(row) for row in [*rows()[:3], rows()[3] | wrong]])
    with pytest.raises(InputError, match=re.escape(f"{file}: record 4 does not fit the schema: feature {fault}")):
        list(reading.read_batches(str(file), SERIALISED, ALL))


def test_lists_of_one_row_are_not_made_up_from_another(tmp_path: Path) -> None:
    few = rows()[:2]
    for changes, name in (
        [({"weight": [1.0, 2.0]}, {"weight": []}), "sparse"],
        [({"parts": ["1"], "lengths": [2]}, {"parts": ["2", "3"], "lengths": [1]}), "ragged"],
    ):
        file = tmp_path / f"{name}.gz"
        tfrecord.write(file, [examples.encode(row | change) for row, change in zip(few, changes, strict=True)])
        with pytest.raises(InputError, match=rf"record 1 does not fit the schema: feature '{name}' has"):
            list(reading.read_batches(str(file), SERIALISED, ALL))


def test_the_analysis_reads_what_analyzers_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, ...]] = []

    def noted(path: str, schema: bytes, names: tuple[str, ...], **rest: bool) -> Iterator[pa.RecordBatch]:
        read.append(names)
        return reading.read_batches(path, schema, names, **rest)

    monkeypatch.setattr(dataset, "read_batches", noted)
    rows = [{"v": float(index), "w": float(index % 2), "u": float(index)} for index in range(8)]
    data = write_examples(tmp_path / "examples", {"train": rows})
    schema = write_schema(tmp_path / "schema", v=float, w=float, u=float)
    for number, analysed in enumerate(["tft.scale_to_z_score(one(inputs['v']) * one(inputs['u']))", "inputs['v']"]):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        module = write_module(folder, f"return {{'y': {analysed}, 'w': one(inputs['w'])}}")
        run_transform(folder / "out", data, schema, module)
    # Without an analyzer, all.
    assert set(read) == {("u", "v"), ("u", "v", "w")}


def test_threads_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_examples(tmp_path / "examples", {"train": [{"v": float(index % 77)} for index in range(20_000)]})
    schema = write_schema(tmp_path / "schema", v=float)
    module = write_module(tmp_path, "return {'y': tft.scale_to_z_score(one(inputs['v']))}")
    made = run_transform(tmp_path / "out", data, schema, module)
    many = made / "transformed_examples" / "Split-train" / "transformed_examples-00000-of-00001.gz"
    source = str(data / "Split-train" / "data_tfrecord-00000-of-00001.gz")
    read = beam.read_records(source)
    serialised = text_format.Parse((schema / "schema.pbtxt").read_text(), schema_pb2.Schema()).SerializeToString()
    batches = list(reading.read_batches(source, serialised, ("v",)))
    for module_with_threads in (apply, reading):
        monkeypatch.setattr(module_with_threads, "ahead", iter)
    shard = apply.Shard("train", source, str(tmp_path / "one.gz"), str(tmp_path / "counts"))
    apply.transform_shard(shard, str(made / "transform_graph"), serialised)
    assert (tmp_path / "one.gz").read_bytes() == many.read_bytes()
    assert list(reading.read_batches(source, serialised, ("v",))) == batches
    assert [batch.num_rows for batch in batches] == [len(records) for records in read]


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path) -> None:
    def peak(name: str, count: int) -> int:
        """The largest memory of this process so far, in bytes, in which the stage runs."""
        split = tmp_path / f"data-{name}" / "Split-train"
        split.mkdir(parents=True)
        records = (examples.encode({"v": float(row), "text": f"{row % 99} text " * 300}) for row in range(count))
        tfrecord.write(split / "data_tfrecord-00000-of-00001.gz", records)
        run_transform(tmp_path / name, split.parent, schema, module)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

    schema = write_schema(tmp_path / "schema", v=float, text=str)
    body = "return {'y': tft.scale_to_z_score(one(inputs['v'])), 'text': one(inputs['text'])}"
    module = write_module(tmp_path, body)
    small = peak("small", 10_000)
    # All rows are 500 MB, and twice that where both sides of the graph were kept.
    assert peak("large", 200_000) - small < 250 << 20
