"""A schema's columns without TensorFlow Metadata: the same as with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.data import schema_columns
from components.runtime.data.schema_columns import Column
from components.runtime.errors import InputError
from tests.support import ROOT

SCHEMA = """
# A comment.
feature {
  name: "payment" type: BYTES domain: "payments" presence { min_fraction: 1.0 min_count: 1 }
  annotation { tag: "x" }
}
feature { name: "fare" type: FLOAT float_domain { min: 0.5 disallow_nan: true }
  drift_comparator { jensen_shannon_divergence { threshold: 0.1 } } }
feature { name: "tips" value_count { min: 1 max: 1 } type: INT int_domain { min: -1 max: 1 is_categorical: true } }
feature { name: "way" type: BYTES string_domain { name: "ways" value: "a" value: "\\303\\244" }
  not_in_environment: "SERVING" }
feature { name: "mask" type: BYTES image_domain { } }
feature { name: "paid" type: INT bool_domain { } }
feature { name: "share" type: FLOAT bool_domain { } }
feature { name: "said" type: BYTES bool_domain { true_value: "yes" false_value: "no" } }
feature { name: "hour" type: INT domain: "hours" }
feature { name: "heat" type: FLOAT domain: "heats" }
int_domain { name: "hours" min: 0 max: 23 }
float_domain { name: "heats" min: -273.5 }
string_domain { name: "payments" value: "Cash" value: "Credit Card" }
default_environment: "TRAINING"
represent_variable_length_as_ragged: true
"""


def test_columns_with_their_types_and_domains(tmp_path: Path) -> None:
    file = tmp_path / "schema.pbtxt"
    file.write_text(SCHEMA)
    assert list(schema_columns.read(file).values()) == [
        Column("payment", "BYTES", ("Cash", "Credit Card")),
        Column("fare", "FLOAT", least=0.5),
        Column("tips", "INT", least=-1, most=1),
        Column("way", "BYTES", ("a", "ä")),
        Column("mask", "BYTES", is_image=True),
        Column("paid", "INT", least=0, most=1),
        Column("share", "FLOAT", least=0, most=1),
        Column("said", "BYTES", ("no", "yes")),
        Column("hour", "INT", least=0, most=23),
        Column("heat", "FLOAT", least=-273.5),
    ]


@pytest.mark.parametrize("file", sorted((ROOT / "models").glob("*/schema.pbtxt")), ids=lambda file: file.parent.name)
def test_the_schemas_of_our_models(file: Path) -> None:
    found = schema_columns.read(file)
    assert len(found) == file.read_text().count("\nfeature {") + file.read_text().startswith("feature {")
    assert {each.type for each in found.values()} <= {"BYTES", "INT", "FLOAT"}


@pytest.mark.parametrize("content", [b"feature {", b'feature { name: "\xff" }', b"feature { type: NUMBER }"])
def test_what_is_none_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "schema.pbtxt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"schema.pbtxt: no schema can be read there: [^\n]+$"):
        schema_columns.read(file)
    with pytest.raises(InputError, match="none: no schema can be read there"):
        schema_columns.read(tmp_path / "none")
