"""The examples that a model is explained by: some of a split, drawn by a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.runtime.data import examples as tf_examples
from components.runtime.data import tfrecord
from components.runtime.errors import InputError, did_you_mean
from components.runtime.explaining.rows import Array
from components.runtime.module_file import signatures
from components.runtime.module_file.predictions import ExportedModel
from components.runtime.stage import progress
from components.runtime.stage.artifacts import InputArtifact


@dataclass(frozen=True)
class Sample:
    """Examples of a split.

    Attributes:
      records: serialised tf.Examples.
      decoded: their values by feature.
      rows: of the whole split.
    """

    records: Sequence[bytes]
    decoded: Sequence[dict[str, list[Any]]]
    rows: int


def draw(examples: InputArtifact, split: str, most: int, seed: int) -> Sample:
    """Draws examples of a split, each with the same chance: Vitter's algorithm R, 1985.

    Raises:
      InputError: there is no such split, or it is empty.
    """
    chosen: list[bytes] = []
    random = np.random.default_rng(seed)
    number = 0
    with progress.counting(examples.rows(split), "rows", f"choosing examples of {split}"):
        for record in _records(examples, split):
            if number < most:
                chosen.append(record)
            elif (place := int(random.integers(0, number + 1))) < most:
                chosen[place] = record
            number += 1
            progress.advance()
    if not chosen:
        raise InputError(f"split {split!r} of the examples has no rows; name another one in explain.split")
    return Sample(chosen, [tf_examples.decode(record) for record in chosen], number)


def _records(examples: InputArtifact, split: str) -> Iterator[bytes]:
    for file in sorted(examples.split(split).glob("*.gz")):
        yield from tfrecord.read(file)


def labels_of(exported: ExportedModel, sample: Sample, label: str) -> Array | None:
    """The label of each example, as evaluate reads it: a transformed feature, or a raw one.

    Returns:
      None where it is none of these, or is not one number for each example.
    """
    import tensorflow as tf

    found: Array | None = None
    transform = exported.signature(signatures.TRANSFORM_FEATURES)
    if label and transform is not None and label in transform.structured_outputs:
        [argument] = transform.structured_input_signature[1]
        try:
            found = transform(**{argument: tf.constant(sample.records, tf.string)})[label].numpy()
        except tf.errors.InvalidArgumentError:
            return None
    elif label and all(len(row.get(label, [])) == 1 for row in sample.decoded):
        found = np.array([row[label][0] for row in sample.decoded])
    if found is None or found.dtype.kind not in "iufb" or found.size != len(sample.records):
        return None
    flat: Array = found.reshape(-1)
    return None if flat.dtype.kind == "f" and np.isnan(flat).any() else flat


def group_features(sample: Sample, wanted: Sequence[str], slices: Sequence[dict[str, Any]]) -> list[str]:
    """The features whose values are the groups between which decisions are to be fair.

    Args:
      sample: examples.
      wanted: as the settings name them; those that evaluate slices by, where there are none.
      slices: of the blessing.

    Raises:
      InputError: one that is wanted is no feature of the examples.
    """
    known = {name for row in sample.decoded for name in row}
    for name in wanted:
        if name not in known:
            raise InputError(f"explain.groups: the examples have no feature {name!r}{did_you_mean(name, known)}")
    if wanted:
        return list(wanted)
    return list(
        dict.fromkeys(name for each in slices if len(each["slice"]) == 1 for name in each["slice"] if name in known)
    )


def group_names(sample: Sample, feature: str) -> list[str]:
    """Of each example the value of a feature, for people; empty where it is missing."""

    def told(values: list[Any]) -> str:
        return ", ".join(each.decode("utf-8", "replace") if isinstance(each, bytes) else f"{each:g}" for each in values)

    return [told(row.get(feature, [])) for row in sample.decoded]
