"""Names of the classes that a model's label numbers, found by asking the model's own preprocessing.

No file says which number a class has got: a vocabulary may have been applied to the label with an offset, after a
change of case, or to another feature. But what turned the label's text into its number is in the SavedModel. So it is
asked: an example gets every word that the label might be, in turn, and the preprocessing tells its number. The words
are those of the examples, of the schema's domains, and of the model's vocabularies, which also know classes that these
examples lack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.evaluation.computation.batches import Model, serialised

OTHERS = "(others)"
"""Name of the class that the preprocessing gives to words that it does not know."""

_MAX_CLASSES = 5000
"""A vocabulary of more words is one of texts, not of classes."""

_STRANGERS = 64
"""Words that no label is, to find the classes of unknown ones, of which there may be several."""

_PROBE_BYTES = 8 << 20
_MAX_JOINED = 3


def find(files: Sequence[str], model: Model, schema: schema_pb2.Schema) -> list[str]:
    """Names of the classes.

    Args:
      files: gzip TFRecords of raw tf.Examples.
      model: of which the label is a number per example.
      schema: of the raw examples.

    Returns:
      By number; a class without a name has its number. Empty where the label is no number of a class, or is not made
      from one raw feature of texts or integers alone. A label that is an integer as it is has the numbers as names.
    """
    batch = next(iter(serialised(files, [model])), None)
    if batch is None:
        return []
    numbers = _numbers(model.labels(batch))
    if numbers is None:
        return []
    examples = [tf.train.Example.FromString(record) for record in batch.numpy()]
    vocabularies = list(_vocabularies(model))
    best: dict[int, str] = {}
    for feature in schema.feature:
        if feature.type in (schema_pb2.BYTES, schema_pb2.INT):
            names = _by_feature(model, examples, numbers, feature, _domain(feature, schema), vocabularies)
            best = max(best, names, key=_told)
    return [best.get(number, str(number)) for number in range(max(best, default=-1) + 1)]


def _told(names: dict[int, str]) -> tuple[bool, int]:
    """How much names tell: words more than the numbers themselves."""
    return any(name != str(number) for number, name in names.items()), len(names)


def _numbers(labels: np.ndarray) -> np.ndarray | None:
    """The class of each row, int64, of labels of shape [rows, 1] or of one-hot ones; None where they are none."""
    if labels.ndim != 2 or labels.dtype.kind not in "biuf" or not np.isfinite(labels).all():
        return None
    if labels.shape[1] > 1:
        one_hot = (np.isin(labels, (0, 1)).all(axis=1) & (labels.sum(axis=1) == 1)).all()
        return labels.argmax(axis=1) if one_hot else None
    whole = labels[:, 0].astype(np.int64)
    return whole if (whole == labels[:, 0]).all() and (whole >= -1).all() and (whole < _MAX_CLASSES).all() else None


def _by_feature(
    model: Model,
    examples: list[tf.train.Example],
    numbers: np.ndarray,
    feature: schema_pb2.Feature,
    domain: list[str],
    vocabularies: list[list[str]],
) -> dict[int, str]:
    """Names by number, where this raw feature alone decides the label."""
    texts = [_text(example, feature) for example in examples]
    seen: dict[str, int] = {}
    for text, number in zip(texts, numbers.tolist(), strict=True):
        if text is not None and seen.setdefault(text, number) != number:
            return {}
    if not 0 < len(seen) <= _MAX_CLASSES:
        return {}
    base = examples[next(place for place, text in enumerate(texts) if text is not None)]

    def ask(words: Iterable[str]) -> dict[str, int]:
        return _ask(model, base, feature, list(words))

    if ask(seen) != seen:
        return {}
    if all(text == str(number) for text, number in seen.items()):
        return {number: text for text, number in seen.items()}
    unknown = set(ask(_strangers(feature)).values())
    names: dict[int, str] = {}
    for words in vocabularies:
        found = ask(words)
        told = set(found.values())
        # A vocabulary of something else has words that are not told apart, or not known, or of no class seen here.
        if len(found) == len(words) == len(told) and not unknown & told and told & set(seen.values()):
            names |= {number: word for word, number in found.items()}
    rest: dict[int, list[str]] = {}
    for word, number in (ask(domain) | seen).items():
        if number not in names and number not in unknown:
            rest.setdefault(number, []).append(word)
    names |= {number: " / ".join(words) for number, words in rest.items() if len(words) <= _MAX_JOINED}
    if len(names) < 2:
        return {}
    many = len(unknown) > 1
    names |= {number: f"{OTHERS} {number}" if many else OTHERS for number in unknown}
    return {number: name for number, name in names.items() if number >= 0}


def _ask(model: Model, base: tf.train.Example, feature: schema_pb2.Feature, words: list[str]) -> dict[str, int]:
    """The label's number of an example that has each of these words; nothing where one of them has none."""
    records = []
    for word in words:
        example = tf.train.Example()
        example.CopyFrom(base)
        values = example.features.feature[feature.name]
        if feature.type == schema_pb2.BYTES:
            values.bytes_list.value[:] = [word.encode()]
        elif word.lstrip("-").isdigit() and abs(int(word)) < 1 << 63:
            values.int64_list.value[:] = [int(word)]
        else:
            return {}
        records.append(example.SerializeToString())
    size = max(1, _PROBE_BYTES // max([1, *map(len, records)]))
    found: list[int] = []
    for start in range(0, len(records), size):
        try:
            numbers = _numbers(model.labels(tf.constant(records[start : start + size])))
        except tf.errors.OpError:  # A preprocessing may refuse what it does not know.
            return {}
        if numbers is None:
            return {}
        found += numbers.tolist()
    return dict(zip(words, found, strict=True))


def _text(example: tf.train.Example, feature: schema_pb2.Feature) -> str | None:
    """The one value of a feature; None where it has none or several, or is no text."""
    values = example.features.feature.get(feature.name, tf.train.Feature())
    entries = values.bytes_list.value if feature.type == schema_pb2.BYTES else values.int64_list.value
    if len(entries) != 1:
        return None
    try:
        return entries[0].decode() if isinstance(entries[0], bytes) else str(entries[0])
    except UnicodeDecodeError:
        return None


def _domain(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> list[str]:
    if feature.HasField("string_domain"):
        return list(feature.string_domain.value)[:_MAX_CLASSES]
    for domain in schema.string_domain:
        if domain.name == feature.domain:
            return list(domain.value)[:_MAX_CLASSES]
    return []


def _strangers(feature: schema_pb2.Feature) -> list[str]:
    if feature.type == schema_pb2.INT:
        return [str(-(1 << 62) + number * 7919) for number in range(_STRANGERS)]
    return [f"\x01 no class {number}" for number in range(_STRANGERS)]


def _vocabularies(model: Model) -> Iterable[list[str]]:
    """The words of each text file that came with the model and may be a list of classes."""
    for path in sorted((model.folder / "assets").glob("*")):
        try:
            words = path.read_bytes()[: _PROBE_BYTES + 1].decode().removesuffix("\n").split("\n")
        except UnicodeDecodeError:
            continue
        if 0 < len(set(words)) == len(words) <= _MAX_CLASSES:
            yield words
