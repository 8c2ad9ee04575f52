"""A real Airflow reads the DAG files, and runs them: its own operator makes pods, which run here.

(kfp needs real annotations here.)
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from runners.airflow.dag_file import compile_dag
from runners.airflow.options import AirflowOptions, for_settings
from runners.commands.compile import compile_pipeline
from runners.history.pages.run_report import write
from runners.history.records import Run, load_run
from runners.settings.model import load
from scripts.data import taxi_trips
from tests.runners.airflow.dag_files import DagFile, text_of_model
from tests.runners.airflow.pod_server import NAMESPACE, Pods, cluster
from tests.runners.argo.argo_executor import Ended, Subprocesses
from tests.runners.compiled_models import digest
from tests.runners.small_pipelines import branches, fail, number
from tests.support import ROOT

PYTHON = ROOT / ".venv" / "airflow" / "bin" / "python"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="no Airflow here: make airflow-environment"),
]


@dsl.container_component
def told(status: str, file: str):  # type: ignore[no-untyped-def]
    script = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    return dsl.ContainerSpec(image="millrace/told:1", command=["python", "-c", script], args=[file, status])


def _attempts(codes: str) -> Any:
    """A task that ends with the codes in a file, one behind it, and one that comes last."""

    @dsl.pipeline(name="p")
    def graph() -> None:
        last = told(status="", file=f"{codes}-told").set_display_name("told")
        with dsl.ExitHandler(last):
            first = fail(file=codes).set_retry(2, "1s").set_display_name("fails")
            number(value=1, words=[], note="").set_display_name("behind").after(first)

    return graph


ATTEMPTS = {"passing": "75 0", "input": "65", "bug": "1", "too-often": "75 75 75", "lost": "0", "killed": ""}
"""How often a task is tried: the codes that it ends with, by DAG."""
BEFORE = {"lost": [Ended(143, "gone\n")], "killed": [Ended(137, "")]}
"""How its pods end before they do anything."""
ODD = "a: 'b' \"c\" {{ds}} && true"
STEPS = {"train_steps": 60, "eval_steps": 5}


@dataclass
class Airflow:
    """What a real Airflow found in the DAG files and made of their runs.

    Attributes:
      volume: the folder that stands for the claim.
      pods: all pods that were made.
      outcomes: by DAG, see run_dag.py.
      said: what it logged.
    """

    volume: Path
    pods: list[dict[str, Any]]
    outcomes: dict[str, Any]
    said: str

    def pods_of(self, dag: str, run: int = 0) -> list[dict[str, Any]]:
        """Those of a run, in their order."""
        of_dag = [pod for pod in self.pods if pod["metadata"]["labels"]["dag_id"] == dag]
        names = list(dict.fromkeys(pod["metadata"]["labels"]["millrace/run"] for pod in of_dag))
        return [pod for pod in of_dag if pod["metadata"]["labels"]["millrace/run"] == names[run]]

    def record(self, dag: str, run: int = 0) -> Run:
        """What the last pod of a run wrote on the volume."""
        return load_run(self.volume, self.pods_of(dag, run)[0]["metadata"]["labels"]["millrace/run"])


def _text(function: Any, folder: Path, dag: str, **options: Any) -> str:
    compiler.Compiler().compile(function, str(folder / "p.yaml"))
    given = AirflowOptions(claim="work", namespace=NAMESPACE, dag_id=dag, **options)
    return compile_dag((folder / "p.yaml").read_text(), given)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """One process does it all: an Airflow takes long to start."""
    folder = tmp_path_factory.mktemp("airflow")
    volume, dags = folder / "volume", folder / "dags"
    dags.mkdir()
    (volume / "data" / "taxi").mkdir(parents=True)
    taxi_trips.write(volume / "data" / "taxi" / "trips.csv", 3000, 1)
    by_data = {"on_assets": ["s3://lake/trips"], "dated": {"word": "of %Y"}}
    settings = load("taxi")
    trained = for_settings(settings, namespace=NAMESPACE, dag_id="trained")
    jobs: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "taxi": (text_of_model("taxi"), []),
        "full": (text_of_model("full-2.5"), []),
        "by-data": (_text(branches, folder, "by-data", deferrable=True, **by_data), []),
        "nightly": (_text(branches, folder, "nightly", schedule="30 2 * * *"), []),
        "branches": (_text(branches, folder, "branches"), [{}, {"limit": 1, "word": ODD}]),
        "deferred": (_text(branches, folder, "deferred", deferrable=True, dated={"word": "%Y"}), [{}]),
        "trained": (compile_dag(compile_pipeline(settings, digest), trained), [STEPS, STEPS]),
    }
    for dag, codes in ATTEMPTS.items():
        (volume / dag).write_text(codes)
        jobs[dag] = _text(_attempts(f"/millrace/{dag}"), folder, dag), [{}]
    for dag, (text, _) in jobs.items():
        (dags / f"{dag}.py").write_text(text)
    asked = [{"name": dag, "file": str(dags / f"{dag}.py"), "confs": confs} for dag, (_, confs) in jobs.items()]
    (folder / "jobs").write_text(json.dumps(asked))
    ends = {dag: list(each) for dag, each in BEFORE.items()}

    def before(pod: dict[str, Any]) -> Ended | None:
        labels = pod["metadata"]["labels"]
        left = ends.get(labels["dag_id"], []) if labels["millrace/task"] == "fails" else []
        return left.pop(0) if left else None

    def run_container(container: dict[str, Any], labels: dict[str, str], folders: dict[str, Path]) -> Ended:
        return Subprocesses("" if labels["millrace/model"] == "taxi" else "client")(container, labels, folders)

    pods = Pods(volume, run_container, before)
    environment = os.environ | {
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "KUBECONFIG": str(folder / "kubeconfig"),
    }
    command = [str(PYTHON), str(Path(__file__).parent / "run_dag.py"), str(folder / "jobs")]
    with cluster(pods, folder / "kubeconfig"), (folder / "said").open("w+") as said:
        code = subprocess.run(command, env=environment, cwd=folder, stdout=said, stderr=said, check=False).returncode
    text = (folder / "said").read_text()
    assert code == 0, text[-5000:]
    return Airflow(volume, pods.made, json.loads((folder / "jobs.outcomes").read_text()), text)


@pytest.mark.parametrize(("dag", "name"), [("taxi", "taxi"), ("full", "full-2.5")])
def test_airflow_reads_what_the_file_says(dag: str, name: str, airflow: Airflow) -> None:
    found, file = airflow.outcomes[dag], DagFile(text_of_model(name))
    assert found["dag"] == file.dag["dag_id"]
    assert (found["catchup"], found["max_active_runs"], found["schedule"]) == (False, 1, "None")
    params = {name: [{"type": each["type"]}, each["default"]] for name, each in file.parameters.items()}
    assert found["params"] == params
    assert {task: set(each["after"]) for task, each in found["tasks"].items()} == file.edges
    for task, each in found["tasks"].items():
        assert each["retries"] == file.stages[task]["retries"], task
        assert each["is_teardown"] is (task in ("notify", "close")), task
        assert each["outlets"] == ([f"{file.constants['PIPELINE']}/pushed_model"] if task == "push" else [])
        assert each["pod"]["spec"]["containers"][0]["image"] == file.stages[task]["image"]
    assert (found["tasks"]["train"]["longest_delay"], found["tasks"]["train"]["trigger_rule"]) == (600, "all_success")
    assert "dags/taxi.py" not in airflow.said, "no warning about the file"


def test_a_schedule_by_time_or_by_assets(airflow: Airflow) -> None:
    by_data, nightly = airflow.outcomes["by-data"], airflow.outcomes["nightly"]
    assert (by_data["schedule"], nightly["schedule"]) == ("Asset", "30 2 * * *")
    assert by_data["params"]["word"] == [{"type": "string"}, "of %Y"]
    assert by_data["tasks"]["First-number"]["inlets"] == ["s3://lake/trips"]
    assert all(each["deferrable"] for each in by_data["tasks"].values())


def _states(run: dict[str, Any]) -> dict[str, str]:
    return {task: state for task, (state, _) in run["tasks"].items()}


def test_values_pass_from_pod_to_pod_and_conditions_choose(airflow: Airflow) -> None:
    run, pods, record = airflow.outcomes["branches"][0], airflow.pods_of("branches"), airflow.record("branches")
    assert run["state"] == "success", airflow.said
    assert _states(run) == {
        "First-number": "success",
        "second": "success",
        "inner": "success",
        "other": "skipped",
        "beside": "success",
        "close": "success",
    }
    assert len(pods) == 5, "what a condition leaves out makes no pod"
    assert {each["name"] for pod in pods for each in pod["spec"]["containers"]} == {"base"}, "no sidecar"
    assert (record.target, record.pipeline, record.state, record.exit_code) == ("airflow", "p", "done", 0)
    assert record.parameters == {"limit": 3, "word": "a"}
    assert {task.name: task.state for task in record.tasks} == {
        "First number": "done",
        "second": "done",
        "inner": "done",
        "other": "skipped",
        "beside": "done",
    }
    assert record.executions["second"].output_parameters == {"out": 12}


def test_a_branch_that_is_left_out_blocks_what_is_in_it_and_nothing_else(airflow: Airflow) -> None:
    run, record = airflow.outcomes["branches"][1], airflow.record("branches", 1)
    assert run["state"] == "failed"
    assert run["tasks"] == {
        "First-number": ["success", 1],
        "second": ["skipped", 1],
        "inner": ["skipped", 1],
        "other": ["success", 1],
        # It ran, behind the one that was left out, and found other words than it expected.
        "beside": ["failed", 1],
        "close": ["success", 1],
    }
    assert (record.state, record.parameters["word"]) == ("failed", ODD)
    assert {task.name: task.state for task in record.tasks}["beside"] == "failed"


def test_the_triggerer_can_wait_and_a_parameter_can_be_the_date(airflow: Airflow) -> None:
    [run], record = airflow.outcomes["deferred"], airflow.record("deferred")
    assert (_states(run)["second"], _states(run)["inner"], _states(run)["close"]) == ("success", "skipped", "success")
    assert record.parameters["word"] == run["run_id"].removeprefix("manual__")[:4]


@pytest.mark.parametrize(
    ("dag", "tries", "state", "error"),
    [
        ("passing", 2, "success", ""),
        ("input", 1, "failed", "as planned"),
        ("bug", 1, "failed", "as planned"),
        ("too-often", 3, "failed", "as planned"),
        ("lost", 2, "success", ""),
        ("killed", 1, "failed", "Error (exit code 137)"),
    ],
)
def test_only_passing_faults_and_lost_pods_are_tried_again(
    dag: str, tries: int, state: str, error: str, airflow: Airflow
) -> None:
    [run], pods, record = airflow.outcomes[dag], airflow.pods_of(dag), airflow.record(dag)
    assert run["tasks"]["fails"] == [state, tries]
    assert run["state"] == state, "what tells of the end does not hide how it was"
    assert run["tasks"]["behind"][0] == ("success" if state == "success" else "upstream_failed")
    assert (run["tasks"]["told"][0], run["tasks"]["close"][0]) == ("success", "success")
    assert (airflow.volume / f"{dag}-told").exists()
    assert record.state == {"success": "done", "failed": "failed"}[state]
    assert (record.error, {task.name: task.state for task in record.tasks}["fails"]) == (error, record.state)
    [last] = [pod for pod in pods if pod["metadata"]["labels"]["millrace/task"] == "told"]
    words = last["spec"]["containers"][0]["args"]
    assert words[words.index("--status") + 1] == {"success": "Succeeded", "failed": "Failed"}[state]


def test_a_failure_is_one_line_in_airflow_too(airflow: Airflow) -> None:
    assert "AirflowFailException: fails: error: as planned\n" in airflow.said
    assert "remote_pod" not in airflow.said


def test_taxi_from_data_to_a_pushed_model_and_again_from_the_cache(airflow: Airflow) -> None:
    (run, again), record = airflow.outcomes["trained"], airflow.record("trained")
    assert run["state"] == "success", airflow.said
    assert set(_states(run).values()) == {"success"}
    assert (record.state, record.parameters["train_steps"]) == ("done", 60)
    [event] = run["events"]
    assert event["uri"] == "x-millrace://taxi/serving"
    assert (event["extra"]["version"], event["extra"]["run"]) == (1, record.id)
    assert (airflow.volume / "serving" / "taxi" / "1" / "saved_model.pb").exists()
    assert "auc" in write(airflow.volume, record.id).read_text()

    assert again["state"] == "success"
    assert again["events"] == [], "no new version, and nobody is told of one"
    states = {task.name: task.state for task in airflow.record("trained", 1).tasks}
    assert {states[task] for task in ("ingest", "transform", "train")} == {"cached"}
