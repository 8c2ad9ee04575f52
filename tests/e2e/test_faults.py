"""What happens when a run is killed, when two run at once, and when the disk is full."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from components.runtime.records import execution_record
from components.runtime.stage.artifacts import content_digest
from runners.history.records import list_runs
from runners.local.environments import interpreter
from tests.e2e.conftest import Run, command, run
from tests.support import ROOT, processes, small_disk

STEPS = ("--param", "train_steps=60", "--param", "eval_steps=5")
BYTE_FOR_BYTE = {
    "ingest": "examples",
    "statistics": "statistics",
    "schema": "schema",
    "validate": "anomalies",
    "transform": "transformed_examples",
    "transformed-statistics": "statistics",
}
TASKS = (*BYTE_FOR_BYTE, "train", "resolve", "evaluate", "push")

PREDICT = """
import glob, json, sys
import tensorflow as tf

files = sorted(glob.glob(sys.argv[1] + "/Split-eval/*"))
examples = list(tf.data.TFRecordDataset(files, compression_type="GZIP").take(300).as_numpy_iterator())
answers = []
for model in sys.argv[2:]:
    loaded = tf.saved_model.load(model)
    answers.append(loaded.signatures["from_examples"](examples=tf.constant(examples))["outputs"].numpy().ravel().tolist())
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory, taxi_data: Path) -> Path:
    """The first 3,000 real trips: enough for every stage, quick enough for many runs."""
    folder = tmp_path_factory.mktemp("trips")
    lines = next(taxi_data.glob("*.csv")).read_text().splitlines(keepends=True)
    (folder / "trips.csv").write_text("".join(lines[:3001]))
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, trips: Path, model: str) -> Run:
    result = run(tmp_path_factory.mktemp("undisturbed"), model, "--data", str(trips), *STEPS)
    assert result.exit_code == 0, result.output + result.errors
    return result


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The taxi model with a gate that a short training passes."""
    folder = tmp_path_factory.mktemp("models") / "taxi"
    folder.mkdir()
    for file in (ROOT / "models" / "taxi").glob("*.*"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "evaluation.pbtxt").write_text(
        'model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" '
        'label_key: "tips_xf" }\nslicing_specs {}\n'
        'metrics_specs { metrics { class_name: "AUC" threshold { value_threshold { lower_bound { value: 0.5 } } } } }\n'
    )
    return str(folder)


def _kill_while_running(
    root: Path, task: str, arguments: tuple[str, ...], *, after: float = 0.0, family: bool = False
) -> None:
    """Starts a run and kills the runner without any warning.

    Args:
      root: the pipeline root.
      task: the task that works then.
      arguments: of the run.
      after: seconds for which it has worked.
      family: whether the stages, and whatever else the run has started, are killed as well.
    """
    before = set((root / "runs").iterdir()) if (root / "runs").exists() else set()
    process = subprocess.Popen(command(root, *arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 200
        while True:
            assert time.monotonic() < deadline, f"{task} did not start"
            assert process.poll() is None, (
                f"the run ended before {task} was killed: {process.communicate()[0].decode()}"
            )
            started = [folder for folder in (root / "runs").glob("*") if folder not in before]
            log = started[0] / f"{task}.log" if started else None
            if log and log.exists() and "progress: started" in log.read_text(errors="replace"):
                break
            time.sleep(0.005)
        time.sleep(after)
    finally:
        for pid in _family(process.pid) if family else [process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
    # Push may have ended before its instant came, and the run with it.
    assert process.returncode in (0, -signal.SIGKILL), process.communicate()[0].decode()


def _check_whole(root: Path) -> list[dict[str, Any]]:
    """Whatever is visible is whole: every output is there and is what its record says."""
    records = []
    for execution in root.glob("artifacts/*/*/[!.]*"):
        record = execution_record.usable(root, execution)
        for output in record["outputs"].values():
            assert content_digest(Path(output["uri"])) == output["metadata"]["digest"], output["uri"]
        records.append(record)
    return records


def _family(process: int) -> list[int]:
    """A process and all that it has started, as far as it still lives."""
    children = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += [int(child) for child in task.read_text().split()]
    return [process, *(each for child in children for each in _family(child))]


def _survivors(root: Path) -> list[int]:
    """Processes that work below a root and do not end within a moment: of what was killed, a busy machine takes one."""
    deadline = time.monotonic() + 10
    while found := [pid for pid, words in processes().items() if str(root) in words and pid != os.getpid()]:
        if time.monotonic() >= deadline:
            break
        time.sleep(0.1)
    return found


def _answers(run: Run, *models: Path) -> list[list[float]]:
    process = subprocess.run(
        [str(interpreter("ml")), "-c", PREDICT, str(run.path("ingest", "examples")), *map(str, models)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    assert process.returncode == 0, process.stderr
    answers: list[list[float]] = json.loads(process.stdout.splitlines()[-1])
    return answers


@pytest.mark.slow
def test_killed_at_every_stage_and_run_again_the_result_is_that_of_an_undisturbed_run(
    undisturbed: Run, tmp_path: Path, trips: Path, model: str
) -> None:
    arguments = (model, "--data", str(trips), *STEPS)
    made_by: dict[str, str] = {}
    for task in TASKS:
        _kill_while_running(tmp_path, task, arguments)
        for record in _check_whole(tmp_path):
            if record["task"] not in ("resolve", "push"):
                assert made_by.setdefault(record["task"], record["run"]) == record["run"], "done twice"
        assert all(path.name.isdigit() or path.name.startswith(".") for path in tmp_path.glob("serving/taxi/*"))
    assert _survivors(tmp_path) == []
    assert {each.state for each in list_runs(tmp_path)} == {"stopped"}

    end = run(tmp_path, *arguments)
    assert end.exit_code == 0, end.output + end.errors
    assert {name for name, state in end.states.items() if state == "done"} <= {"resolve", "push", "evaluate"}
    _check_result(end, undisturbed)


@pytest.mark.slow
def test_killed_at_random_instants_nothing_half_written_is_seen_and_nothing_is_done_twice(
    undisturbed: Run, tmp_path: Path, trips: Path, model: str
) -> None:
    """20 kills, two while each task works, at any instant of its work: of the runner alone, or with all its stages."""
    chance = random.Random(20261129)
    arguments = (model, "--data", str(trips), *STEPS)
    works = {task["name"]: task["seconds"] - task["start_up_seconds"] for task in undisturbed.record["tasks"]}
    for each in ("first", "second"):
        root = tmp_path / each
        ended: set[str] = set()
        for task in TASKS:
            # What worked beside the task before it may have ended meanwhile.
            for execution in root.glob(f"artifacts/*/{task}/[!.]*"):
                shutil.rmtree(execution)
            ended.discard(task)
            before = set(root.glob("runs/*"))
            instant, family = chance.uniform(0.0, works[task]), chance.random() < 0.5
            _kill_while_running(root, task, arguments, after=instant, family=family)
            assert {run.state for run in list_runs(root)} <= {"stopped", "done"}
            (killed,) = set(root.glob("runs/*")) - before
            assert not [name for name in ended if (killed / f"{name}.log").exists()], "done twice"
            # A model that was pushed is the next run's baseline, against which it is evaluated anew.
            ended = {execution["task"] for execution in _check_whole(root)} - {"resolve", "evaluate", "push"}
            assert all(path.name.isdigit() or path.name.startswith(".") for path in root.glob("serving/taxi/*"))
        end = run(root, *arguments)
        assert end.exit_code == 0, end.output + end.errors
        assert _survivors(root) == []
        _check_result(end, undisturbed)


def _check_result(end: Run, undisturbed: Run) -> None:
    """A run after kills has the result of an undisturbed one, and nothing else is left."""
    for task, artifact in BYTE_FOR_BYTE.items():
        assert end.metadata(task, artifact)["digest"] == undisturbed.metadata(task, artifact)["digest"], task
    models = [result.path("train", "model") / "Format-Serving" for result in (end, undisturbed)]
    disturbed_answers, undisturbed_answers = _answers(end, *models)
    assert disturbed_answers == pytest.approx(undisturbed_answers, abs=1e-5)
    assert list(end.root.glob("artifacts/*/*/.*")) == []
    assert len(list(end.root.glob("serving/taxi/*/saved_model.pb"))) == 1
    assert list(end.root.glob("serving/taxi/.staging*")) == []


@pytest.mark.slow
def test_two_runs_at_once_over_the_same_root_do_not_disturb_each_other(
    undisturbed: Run, tmp_path: Path, trips: Path, model: str
) -> None:
    arguments = (model, "--data", str(trips), *STEPS)
    processes = [
        subprocess.Popen(command(tmp_path, *arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=400)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    records = [json.loads(file.read_text()) for file in tmp_path.glob("runs/*/run.json")]
    assert [record["state"] for record in records] == ["done", "done"]
    for task, artifact in BYTE_FOR_BYTE.items():
        execution = next(entry["execution"] for entry in records[0]["tasks"] if entry["name"] == task)
        made = execution_record.usable(tmp_path, execution)["outputs"][artifact]
        assert made["metadata"]["digest"] == undisturbed.metadata(task, artifact)["digest"], task
    assert len(list(tmp_path.glob("serving/taxi/*/saved_model.pb"))) == 1


def test_interrupting_ends_everything_and_says_so(tmp_path: Path, trips: Path, model: str) -> None:
    process = subprocess.Popen(
        command(tmp_path, model, "--data", str(trips), *STEPS),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    while not list(tmp_path.glob("runs/*/statistics.log")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 130
    record = json.loads(next(tmp_path.glob("runs/*/run.json")).read_text())
    assert record["state"] == "stopped"
    assert _survivors(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("size", ["200k", *(pytest.param(size, marks=pytest.mark.slow) for size in ("60k", "700k"))])
def test_a_full_disk_is_a_passing_fault(tmp_path: Path, trips: Path, model: str, size: str) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        result = run(disk, model, "--data", str(trips), *STEPS)
        assert result.exit_code == 75, result.output + result.errors
        assert "No space left on device" in result.output + result.errors
        assert "Traceback" not in result.output + result.errors
        _check_whole(disk)
