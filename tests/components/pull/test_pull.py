"""Pull: which version it takes, and to which schema it holds the data that its model is asked about."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.data.tfmd import SCHEMA_FILE
from components.runtime.publish import saved_signatures
from components.runtime.publish.serving import LABELS, MANIFEST
from components.runtime.stage.artifacts import content_digest
from tests.components.push.serving_support import make_blessing, make_model, tree
from tests.support import StageResult, run_stage

TRAINED_ON = """
feature {
  name: "miles" type: FLOAT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } }
  drift_comparator { jensen_shannon_divergence { threshold: 0.1 } }
}
feature { name: "company" type: BYTES presence { min_count: 1 } value_count { min: 1 max: 1 } }
feature {
  name: "tips" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } not_in_environment: "SERVING"
}
default_environment: "TRAINING"
default_environment: "SERVING"
dataset_constraints { min_examples_count: 1000 }
"""
ASKED = """
feature { name: "miles" type: FLOAT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } } }
feature { name: "company" type: BYTES presence { min_count: 1 } value_count { min: 1 max: 1 } }
feature { name: "tips" type: FLOAT lifecycle_stage: DEBUG_ONLY }
default_environment: "TRAINING"
default_environment: "SERVING"
"""
PLAIN = {"serving_default": {"miles": "float32", "company": "string"}, "from_examples": {"examples": "string"}}
TFX = {"serving_default": {"examples": "string"}}


def saved_model(signatures: dict[str, dict[str, str]]) -> bytes:
    """A SavedModel that has signatures with such inputs of one dimension, and nothing else."""
    numbers = {name: number for number, name in saved_signatures._TYPES.items()}
    saved = saved_signatures._message("SavedModel")()
    graph = saved.meta_graphs.add()
    for name, inputs in signatures.items():
        signature = graph.signatures.add(name=name).signature
        for each, kind in inputs.items():
            tensor = signature.inputs.add(name=each).tensor
            tensor.dtype = numbers[kind]
            tensor.shape.dim.add(size=-1)
    return bytes(saved.SerializeToString())


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions: the first of a TFX user's model, which takes tf.Examples; the second with plain features too."""
    tmp_path = tmp_path_factory.mktemp("pushed")
    data = tmp_path / "data"
    data.mkdir()
    (data / SCHEMA_FILE).write_text(TRAINED_ON)
    for name, signatures in (("one", TFX), ("two", PLAIN)):
        model = make_model(tmp_path / name, name)
        (model / "Format-Serving" / "saved_model.pb").write_bytes(saved_model(signatures))
        pushed = run_stage(
            "push",
            tmp_path / f"push-{name}",
            inputs={"model": model, "blessing": make_blessing(tmp_path / f"blessing-{name}"), "schema": data},
            parameters={"destination": str(tmp_path / "serving")},
            outputs=["pushed_model"],
            output_parameters=["version"],
        )
        assert pushed.exit_code == 0, pushed.stderr
    (tmp_path / "serving" / LABELS).write_text('{"stable": 1, "gone": 7}')
    return tmp_path


@pytest.fixture
def serving(tmp_path: Path, pushed: Path) -> Path:
    """The serving directory of these, beside their models."""
    shutil.copytree(pushed, tmp_path / "copy")
    return tmp_path / "copy" / "serving"


def pull(serving: Path, **parameters: Any) -> StageResult:
    values = {"destination": str(serving), "candidate": "", "version": 0, "label": "", "schema_file": ""}
    return run_stage(
        "pull",
        serving.parent / "out",
        parameters=values | parameters,
        outputs=["pulled_model", "schema"],
        output_parameters=["version"],
    )


def schema_of(result: StageResult) -> schema_pb2.Schema:
    assert result.exit_code == 0, result.stderr
    return text_format.Parse((result.folder / "schema" / SCHEMA_FILE).read_text(), schema_pb2.Schema())


def refused(result: StageResult) -> str:
    assert result.exit_code == 65, result.stderr
    assert list(result.folder.iterdir()) == []
    return result.error


def test_the_version_in_service_with_the_digest_of_its_model(serving: Path) -> None:
    result = pull(serving)
    assert result.exit_code == 0, result.stderr
    assert result.output["parameterValues"] == {"version": 2}
    model = serving.parent / "two"
    assert tree(result.folder / "pulled_model") == tree(model)
    metadata = result.metadata("pulled_model")
    assert (metadata["version"], metadata["digest"]) == (2, content_digest(model))
    assert metadata["reason"] == "all 2 thresholds hold"


def test_a_version_by_number_and_by_label(serving: Path) -> None:
    for parameters in ({"version": 1}, {"label": "stable"}):
        result = pull(serving, **parameters)
        assert result.output["parameterValues"] == {"version": 1}
        assert tree(result.folder / "pulled_model") == tree(serving.parent / "one")


@pytest.mark.parametrize("version", [1, 2], ids=["by the environment SERVING", "by the inputs of the signature"])
def test_labels_need_not_be_there_and_counts_are_of_training(serving: Path, version: int) -> None:
    result = pull(serving, version=version)
    assert schema_of(result) == text_format.Parse(ASKED, schema_pb2.Schema())
    metadata = result.metadata("schema")
    assert (metadata["features"], metadata["source"]) == (2, "version")


def test_a_version_that_does_not_tell_its_data_needs_a_schema(serving: Path, tmp_path: Path) -> None:
    (serving / "2" / "assets.extra" / "trained_on" / SCHEMA_FILE).unlink()
    assert refused(pull(serving)) == (
        f"{serving}: version 2 does not tell the schema of its data, as versions of earlier releases do not; push it "
        "once more, or name the schema with schema_file"
    )
    file = tmp_path / "curated.pbtxt"
    file.write_text(TRAINED_ON)
    assert schema_of(pull(serving, schema_file=str(file))) == text_format.Parse(ASKED, schema_pb2.Schema())


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"version": 3}, "there is no version 3; there are 1, 2"),
        ({"label": "stabel"}, "no version has the label 'stabel', did you mean 'stable'?; labels are: gone, stable"),
        ({"label": "gone"}, "there is no version 7, which 'gone' names; there are 1, 2"),
        ({"version": 1, "label": "stable"}, "version 1 and label 'stable' exclude each other; give one of them"),
        ({"version": -1}, "version is -1: give its number, or 0 for the one in service"),
        ({"candidate": "deep"}, "deep: nothing was pushed here yet; run the pipeline, which pushes what is blessed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_not_there_is_refused(serving: Path, parameters: dict[str, Any], said: str) -> None:
    assert refused(pull(serving, **parameters)).endswith(said)


def test_a_version_that_millrace_did_not_push_or_that_is_damaged_is_refused(serving: Path) -> None:
    manifest = serving / "2" / MANIFEST
    kept = manifest.read_text()
    manifest.unlink()
    assert "version 2 was not pushed by Millrace: nothing tells whether it is blessed and whole" in refused(
        pull(serving)
    )
    manifest.write_text(json.dumps(json.loads(kept) | {"model_digest": "sha256:0"}))
    assert "version 2 is damaged: its manifest contradicts itself; name another version" in refused(pull(serving))
