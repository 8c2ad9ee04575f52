"""The taxi pipeline over the real trips, from raw data to a served model."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runners.local.environments import interpreter
from tests.components.push.serving_support import make_blessing
from tests.e2e.conftest import Run, run
from tests.runners.command_line import command as call
from tests.support import run_stage

ASK = """
import json, sys
import numpy as np
import tensorflow as tf

rows = json.load(open(sys.argv[2]))
model = tf.saved_model.load(sys.argv[1])
plain, raw = model.signatures["serving_default"], model.signatures["from_examples"]
kinds = {name: spec.dtype for name, spec in plain.structured_input_signature[1].items()}
missing = {tf.float32: float("nan"), tf.int64: np.iinfo(np.int64).min, tf.string: b""}
columns, examples = {name: [] for name in kinds}, []
for row in rows:
    example = tf.train.Example()
    for name, kind in kinds.items():
        text = row[name]
        feature = example.features.feature[name]
        if text == "":
            columns[name].append(missing[kind])
        elif kind == tf.string:
            feature.bytes_list.value.append(text.encode())
            columns[name].append(text.encode())
        elif kind == tf.int64:
            feature.int64_list.value.append(int(float(text)))
            columns[name].append(int(float(text)))
        else:
            feature.float_list.value.append(float(text))
            columns[name].append(float(text))
    examples.append(example.SerializeToString())
def shaped(name, values):
    shape = plain.structured_input_signature[1][name].shape
    tensor = tf.constant(values, dtype=kinds[name])
    return tf.reshape(tensor, [-1, 1]) if shape.rank == 2 else tensor
from_plain = plain(**{name: shaped(name, values) for name, values in columns.items()})
from_raw = raw(examples=tf.constant(examples))
answers = {"plain": from_plain, "raw": from_raw}
print(json.dumps({name: answer["outputs"].numpy().ravel().tolist() for name, answer in answers.items()}))
"""


def test_the_run_ends_well_and_says_what_it_made(taxi: Run) -> None:
    assert taxi.exit_code == 0, taxi.output + taxi.errors
    assert set(taxi.states.values()) == {"done"}
    assert "\nbaseline  none: nothing was pushed before\n" in taxi.output
    for word in ("model", "blessed", "pushed", "report"):
        assert f"\n{word} " in taxi.output
    assert "Traceback" not in taxi.output + taxi.errors


def test_rows_add_up_and_splits_are_two_to_one(taxi: Run) -> None:
    examples = taxi.metadata("ingest", "examples")
    assert examples["rows"] == 9911
    assert examples["rows_train"] + examples["rows_eval"] == 9911
    assert 0.64 < examples["rows_train"] / 9911 < 0.69


def test_the_model_is_good_blessed_and_pushed(taxi: Run) -> None:
    metrics = taxi.metadata("evaluate", "metrics")
    assert metrics["auc"] >= 0.90
    blessing = taxi.metadata("evaluate", "blessing")
    assert blessing["blessed"] is True
    assert blessing["baseline"] is False
    assert "no baseline" in blessing["reason"]
    versions = sorted(taxi.root.glob("serving/taxi/*/saved_model.pb"))
    assert len(versions) == 1
    assert versions[0].parent.name.isdigit()


def test_evaluation_is_sliced_by_hour_and_payment_type(taxi: Run) -> None:
    page = taxi.path("evaluate", "report").read_text()
    assert "trip_start_hour" in page
    assert "payment_type" in page
    assert "Credit Card" in page


@pytest.mark.slow
def test_a_fresh_process_gets_the_same_answers_from_raw_examples_and_plain_features(
    taxi: Run, taxi_data: Path, tmp_path: Path
) -> None:
    with next(taxi_data.glob("*.csv")).open() as stream:
        rows = [row for _, row in zip(range(200), csv.DictReader(stream), strict=False)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    version = next(taxi.root.glob("serving/taxi/*/saved_model.pb")).parent
    process = subprocess.run(
        [str(interpreter("ml")), "-c", ASK, str(version), str(tmp_path / "rows.json")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    assert process.returncode == 0, process.stderr
    answers = json.loads(process.stdout.splitlines()[-1])
    assert answers["plain"] == pytest.approx(answers["raw"], abs=1e-6)
    assert len(answers["raw"]) == 200
    assert 0 <= min(answers["raw"]) < 0.2 < 0.5 < max(answers["raw"]) <= 1
    cash = [answer for answer, row in zip(answers["raw"], rows, strict=True) if row["payment_type"] == "Cash"]
    assert max(cash) < 0.5


@pytest.fixture(scope="module")
def again(taxi: Run, taxi_data: Path) -> Run:
    """An equal run."""
    return run(taxi.root, "taxi", "--data", str(taxi_data))


def test_an_equal_run_is_taken_from_the_cache_and_pushes_nothing_new(taxi: Run, again: Run) -> None:
    assert again.exit_code == 0, again.output + again.errors
    states = again.states
    assert {name for name, state in states.items() if state == "done"} == {"resolve", "push"}
    assert {name for name, state in states.items() if state == "cached"} == set(states) - {
        "resolve",
        "push",
    }
    assert again.metadata("push", "pushed_model")["created"] is False
    assert "baseline  none: the model in service is this one\n" in again.output
    assert "first run" not in again.output
    assert len(list(taxi.root.glob("serving/taxi/*/saved_model.pb"))) == 1


@pytest.mark.slow
def test_part_of_the_pipeline_on_an_earlier_runs_artifacts(taxi: Run, taxi_data: Path) -> None:
    part = run(taxi.root, "taxi", "--data", str(taxi_data), "--only", "validate", "--no-cache")
    assert part.exit_code == 0, part.output + part.errors
    assert {name for name, state in part.states.items() if state == "done"} == {"validate"}
    until = run(taxi.root, "taxi", "--data", str(taxi_data), "--until", "schema")
    assert {name for name, state in until.states.items() if state != "skipped"} == {"ingest", "statistics", "schema"}


@pytest.mark.slow
def test_a_later_model_is_compared_with_the_blessed_one(taxi: Run, taxi_data: Path) -> None:
    worse = run(taxi.root, "taxi", "--data", str(taxi_data), "--param", "train_steps=5")
    assert worse.exit_code == 0, worse.output + worse.errors
    assert worse.states["transform"] == "cached"
    assert worse.metadata("resolve", "baseline_model")["found"] is True
    blessing = worse.metadata("evaluate", "blessing")
    assert blessing["baseline"] is True
    assert blessing["blessed"] is False
    assert worse.states["push"] == "done"
    pushed = worse.metadata("push", "pushed_model")
    assert (pushed["pushed"], pushed["reason"]) == (False, blessing["reason"])
    assert len(list(taxi.root.glob("serving/taxi/*/saved_model.pb"))) == 1
    assert "blessed   no: " in worse.output


@pytest.mark.slow
def test_a_model_that_was_overtaken_is_evaluated_again_and_comes_back(
    taxi: Run, taxi_data: Path, tmp_path: Path
) -> None:
    """Another run puts its model into service between this run's evaluation and its push."""
    serving = tmp_path / "serving"
    shutil.copytree(taxi.root / "serving" / "taxi", serving)
    here = ("taxi", "--data", str(taxi_data), "--param", f"serving_directory={serving}")
    # Another content with the same answers, which spares a training.
    shutil.copytree(taxi.path("train", "model"), tmp_path / "model")
    (tmp_path / "model" / "Format-Serving" / "assets" / "other").write_text("another run's")
    pushed = run_stage(
        "push",
        tmp_path / "other",
        inputs={"model": tmp_path / "model", "blessing": make_blessing(tmp_path / "blessing")},
        parameters={"destination": str(serving)},
        outputs=["pushed_model"],
        output_parameters=["version"],
    )
    assert pushed.metadata("pushed_model")["version"] == 2, pushed.stderr
    late = run(taxi.root, *here, "--only", "push", "--from", taxi.record["id"])
    assert late.exit_code == 75, late.output
    assert "version 2 has come, while this model was compared with nothing: evaluate again" in late.record["error"]
    again = run(taxi.root, *here)
    assert again.exit_code == 0, again.output + again.errors
    # The other baseline is another evaluation; training is not repeated.
    assert (again.states["train"], again.states["evaluate"]) == ("cached", "done")
    assert again.metadata("evaluate", "blessing")["baseline"] is True
    assert "baseline  version 2\n" in again.output
    assert f"{serving}/3 (the model of version 1 again)\n" in again.output
    in_service = run(taxi.root, *here)
    assert (in_service.states["evaluate"], in_service.metadata("push", "pushed_model")["created"]) == ("cached", False)
    assert "baseline  version 2; the model in service is this one\n" in in_service.output
    assert f"{serving}/3 (in service already)\n" in in_service.output


def test_lineage_and_comparison_answer(taxi: Run, again: Run) -> None:
    def ask(*arguments: str) -> str:
        process = call("--root", str(taxi.root), *arguments)
        assert process.returncode == 0, process.stderr
        return process.stdout

    runs = [folder.name for folder in (taxi.root / "runs").iterdir()]
    listing = ask("runs")
    assert all(name in listing for name in runs)
    digest = taxi.metadata("train", "model")["digest"]
    made = ask("lineage", digest)
    for task in ("ingest", "transform", "train"):
        assert task in made
    assert "push" in made
    assert "auc" in ask("compare", taxi.record["id"], again.record["id"])


def test_the_report_is_one_self_contained_page(taxi: Run) -> None:
    page = (taxi.root / "runs" / taxi.record["id"] / "report.html").read_text()
    assert len(page) < 5_000_000
    assert "<script src" not in page
    assert 'href="http' not in page
    for word in ("statistics", "anomal", "ROC", "trip_miles", "payment_type"):
        assert word in page
