"""Learns a transform graph from the split `train` and applies it to every split."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

# TensorFlow Transform would turn `tf.keras` into Keras 2 for the user's code.
os.environ["TF_USE_LEGACY_KERAS"] = "0"

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow.core.protobuf import saved_model_pb2

from components.runtime.data import tfmd, tfrecord
from components.runtime.data.beam import data_files, pipeline
from components.runtime.data.storage import shown
from components.runtime.errors import InputError
from components.runtime.launch.forked import affordable, forked, processors
from components.runtime.stage import progress
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, remove
from components.transform.apply import Shard, transform_shard
from components.transform.faults import users_fault
from components.transform.finite import NotFinite, told
from components.transform.page import page
from components.transform.preprocessing import Preprocessing
from components.transform.reading import adapter_config, feature_spec, read_batches, reading_by, types_of
from components.transform.vocabulary import count_by_batch

ANALYSED_SPLIT = "train"
FILE = "transformed_examples"
PARALLEL_BYTES = 32 << 20
"""Size of all files from which on processes gain more than they cost, each of which loads the graph: some 600,000
taxi trips."""
_OWN_BYTES = 800 << 20
_PROCESS_BYTES = 500 << 20
"""Of taxi's 250 MB, of images some 400."""
_PYTHON_OPS = ("EagerPyFunc", "PyFunc", "PyFuncStateless")
_NAMED = 5


def transform_dataset(
    examples: InputArtifact,
    schema: InputArtifact,
    module_file: str,
    custom_config: dict[str, Any],
    beam_options: list[str],
    *,
    fail_on_not_finite: bool,
    transform_graph: OutputArtifact,
    transformed_examples: OutputArtifact,
    report: OutputArtifact,
) -> None:
    """Does the work of the stage; arguments and errors are those of `components.transform.transform`."""
    os.environ["TF_USE_LEGACY_KERAS"] = "0"
    graph = transform_graph.directory()
    work = graph / ".work"
    work.mkdir()
    shards = _shards(examples, transformed_examples, work)
    transforming = progress.counting(examples.rows(), "rows", "transforming")
    # Before the user's module is loaded and TensorFlow works here.
    with forked(_processes(shards, beam_options), "transforms rows", functools.partial(_begin, transforming)) as pool:
        preprocessing = Preprocessing(module_file, custom_config)
        serialised = tfmd.read_schema_artifact(schema).SerializeToString(deterministic=True)
        if not feature_spec(serialised):
            raise InputError(
                f"{schema.path / tfmd.SCHEMA_FILE}: no features to transform, for those whose lifecycle_stage is "
                "DEPRECATED, DISABLED or PLANNED do not count; change the schema"
            )
        train_files = data_files(examples.split(ANALYSED_SPLIT))
        if all(next(tfrecord.read(Path(file)), None) is None for file in train_files):
            raise InputError(f"{examples.split(ANALYSED_SPLIT)}: no rows to learn from; change the splits of ingest")
        if beam_options:
            preprocessing.put(work / "module")
        with (
            progress.counting(examples.rows(ANALYSED_SPLIT), "rows", f"analysing {ANALYSED_SPLIT}", repeats=True),
            reading_by(pool, train_files),
        ):
            analyse(train_files, preprocessing, serialised, graph, work, beam_options, _are_canonical(examples))
        raw_metadata = graph / tft.TFTransformOutput.RAW_METADATA_DIR
        raw_metadata.mkdir()
        shutil.copyfile(schema.path / tfmd.SCHEMA_FILE, raw_metadata / tfmd.SCHEMA_FILE)
        with transforming:
            elsewhere = pool if pool and not _calls_python(graph) else None
            apply(shards, str(graph), serialised, beam_options, elsewhere)
    rows, found = _counted(shards)
    remove(work)
    lines = told(found)
    for line in lines:
        progress.report(f"warning: not finite: {line}")
    more = [f"and {len(lines) - _NAMED} more features"] if len(lines) > _NAMED else []
    not_finite = "; ".join([*lines[:_NAMED], *more])
    if not_finite and fail_on_not_finite:
        raise InputError(
            f"{shown(module_file)}: transformed values are NaN or infinite: {not_finite}; replace them in "
            "preprocessing_fn, or set transform.on_not_finite to warn"
        )
    features = tft.TFTransformOutput(str(graph)).transformed_feature_spec()
    report.path.write_text(page(features, rows, found), encoding="utf-8")
    transform_graph.metadata["features"] = len(features)
    if not_finite:
        transformed_examples.metadata["not_finite"] = not_finite
    transformed_examples.metadata |= {"splits": sorted(rows), "rows": sum(rows.values())}
    transformed_examples.metadata |= {f"rows_{split}": count for split, count in rows.items()}


def _are_canonical(examples: InputArtifact) -> bool:
    """Whether ingest says that it wrote them."""
    return "content" in examples.metadata


def analyse(
    files: list[str],
    preprocessing: Preprocessing,
    schema: bytes,
    graph: Path,
    work: Path,
    beam_options: list[str],
    are_canonical: bool,
) -> None:
    """Runs the analyzers of preprocessing_fn over files and writes the transform graph.

    Args:
      files: TFRecords of raw tf.Examples.
      preprocessing: the user's function.
      schema: serialised schema of the raw features.
      graph: folder for `transform_fn` and `transformed_metadata`.
      work: folder for intermediate results, reachable by Beam's workers.
      beam_options: Beam's command line options.
      are_canonical: whether our ingest wrote the files.

    Raises:
      InputError: preprocessing_fn or the data is wrong.
    """
    count_by_batch()
    try:
        # What no analyzer takes is neither parsed nor made tensors of here; of a function without any, everything is.
        types = types_of(schema)
        names = tuple(sorted(tft.get_analyze_input_columns(preprocessing, types) or types))
        # Reshuffled elements go to all workers, but in an order that differs from run to run.
        # A second pass over the data reads the files again, rather than keep all batches in memory.
        with pipeline(beam_options) as run, tft_beam.Context(temp_dir=str(work), use_deep_copy_optimization=True):
            batches = run | "Files" >> beam.Create(files, reshuffle=bool(beam_options))
            batches |= "Read" >> beam.FlatMap(_read, schema, names, are_canonical).with_output_types(pa.RecordBatch)
            learned = (batches, adapter_config(schema, names)) | tft_beam.AnalyzeDataset(preprocessing)
            _ = learned | tft_beam.WriteTransformFn(str(graph))
    except Exception as error:
        raise users_fault(error, f"the analysis of the split {ANALYSED_SPLIT!r}") or error from error


def _read(path: str, schema: bytes, names: tuple[str, ...], are_canonical: bool) -> Iterator[pa.RecordBatch]:
    for batch in read_batches(path, schema, names, are_canonical=are_canonical):
        yield batch
        progress.advance(batch.num_rows)


def apply(shards: list[Shard], graph: str, schema: bytes, beam_options: list[str], pool: Executor | None) -> None:
    """Transforms every file: by Beam's workers, by those of a pool, or here."""
    transform = functools.partial(transform_shard, graph=graph, schema=schema, threads=not pool)
    if beam_options:
        with pipeline(beam_options) as run:
            _ = run | "Shards" >> beam.Create(shards, reshuffle=True) | "Transform" >> beam.Map(transform)
    else:
        for _ in (pool.map if pool else map)(transform, shards):
            pass


def _calls_python(graph: Path) -> bool:
    """Whether a graph calls functions of Python, which this process alone has: `tf.py_function`, `tft.apply_pyfunc`."""
    model = saved_model_pb2.SavedModel.FromString(
        (graph / tft.TFTransformOutput.TRANSFORM_FN_DIR / tf.saved_model.SAVED_MODEL_FILENAME_PB).read_bytes()
    )
    graphs = [each.graph_def for each in model.meta_graphs]
    nodes = [
        node
        for each in graphs
        for part in (each.node, *(one.node_def for one in each.library.function))
        for node in part
    ]
    return any(node.op in _PYTHON_OPS for node in nodes)


def _shards(examples: InputArtifact, transformed_examples: OutputArtifact, work: Path) -> list[Shard]:
    shards = []
    for split in tfmd.split_order(examples.splits):
        files, target = data_files(examples.split(split)), transformed_examples.split(split)
        for index, source in enumerate(files):
            name = f"{FILE}-{index:05d}-of-{len(files):05d}.gz"
            counts = str(work / f"{split}-{index}.counts")
            shards.append(Shard(split, source, str(target / name), counts, _are_canonical(examples)))
    return shards


def _begin(transforming: progress.counting) -> None:
    """In each process of the pool: one thread, since there are as many processes as processors."""
    transforming.join()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _processes(shards: list[Shard], beam_options: list[str]) -> int:
    size = sum(Path(shard.source).stat().st_size for shard in shards)
    if beam_options or size < PARALLEL_BYTES:
        return 1
    return affordable(min(len(shards), processors()), _OWN_BYTES, _PROCESS_BYTES)


def _counted(shards: list[Shard]) -> tuple[dict[str, int], dict[str, NotFinite]]:
    """Rows, and transformed values that are not finite, by split."""
    rows = dict.fromkeys((shard.split for shard in shards), 0)
    found = {split: NotFinite() for split in rows}
    for shard in shards:
        count, not_finite = shard.counts()
        rows[shard.split] += count
        found[shard.split].merge(not_finite)
    return rows, found
