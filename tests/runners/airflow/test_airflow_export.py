"""The DAG file says of each pod what the Workflow says, and what Airflow cannot run is refused; without Airflow.

(kfp needs real annotations here.)
"""

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from components.runtime.errors import InputError
from runners.airflow.dag_file import compile_dag
from runners.airflow.options import AirflowOptions
from runners.commands.compile import compile_pipeline
from runners.compiled.fusing import fuse
from runners.settings.model import load
from tests.runners.airflow.dag_files import DagFile, text_of_model
from tests.runners.argo.compiled_workflows import number, of_model, pod_templates
from tests.runners.argo.restricted_pods import violations
from tests.runners.cluster_support import call
from tests.runners.compiled_models import digest, model
from tests.runners.small_pipelines import branches
from tests.support import ROOT

MODELS = ("taxi", "digits", "pets", "full-2.5")


def _compiled(function: Any, folder: Path, **options: Any) -> DagFile:
    compiler.Compiler().compile(function, str(folder / "p.yaml"))
    return DagFile(compile_dag((folder / "p.yaml").read_text(), AirflowOptions(**{"claim": "work", **options})))


def _options(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(arguments) if name == option]


@pytest.mark.parametrize("name", MODELS[:-1])
def test_the_launcher_is_told_the_same_as_in_a_workflow(name: str) -> None:
    file, workflow = DagFile(text_of_model(name)), of_model(name)
    templates = pod_templates(workflow)
    told = [json.loads(each) for pod in templates.values() for each in _options(pod["container"]["args"], "--task")]
    assert file.constants["SPECIFICATIONS"] == {each["task"]: each for each in told}
    plan = json.loads(_options(templates["close"]["container"]["args"], "--plan")[0])
    assert file.constants["PLAN"] == {key: plan[key] for key in ("pipeline", "parameters", "tasks")}
    for task, stage in file.stages.items():
        if task == "close":
            continue
        arguments = templates[task.replace("_", "-")]["container"]["args"]
        assert stage.get("earlier", []) == [each.partition("=")[0] for each in _options(arguments, "--execution")]
        assert stage.get("parameters", []) == [each.partition("=")[0] for each in _options(arguments, "--parameter")]


@pytest.mark.parametrize("name", MODELS)
def test_a_pod_has_what_it_has_in_a_workflow(name: str) -> None:
    file, workflow = DagFile(text_of_model(name)), of_model(name)
    for task, template in pod_templates(workflow).items():
        pod = _pod(file, next(each for each in file.stages if each.replace("_", "-") == task))
        assert not list(violations(pod))
        container, theirs = pod["containers"][0], template["container"]
        for key in ("image", "command", "env", "volumeMounts", "resources", "securityContext"):
            assert container[key] == theirs[key], (task, key)
        assert pod["volumes"] == [*workflow["spec"]["volumes"], *template["volumes"]]
        for key in ("nodeSelector", "tolerations", "activeDeadlineSeconds"):
            assert pod.get(key) == template.get(key), (task, key)
        assert pod.get("serviceAccountName") == workflow["spec"].get("serviceAccountName")
        secrets = workflow["spec"].get("imagePullSecrets", [])
        assert pod.get("imagePullSecrets", []) == secrets


def _pod(file: DagFile, task: str) -> dict[str, Any]:
    """The pod as the operator puts it together."""
    stage, known = file.stages[task], file.constants
    container = {
        "name": "base",
        "image": stage["image"],
        "command": ["python", "-m", stage.get("module", "components.runtime.launch")],
        "env": [*known["ENV"], *stage.get("env", [])],
        "volumeMounts": [*known["MOUNTS"], *stage.get("mounts", [])],
        "securityContext": known["CONTAINER_SECURITY"],
        **stage.get("container", {}),
    }
    return {
        "securityContext": known["POD_SECURITY"],
        "volumes": [*known["VOLUMES"], *stage.get("volumes", [])],
        **stage.get("spec", {}),
        "containers": [container],
        "initContainers": [],
    }


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_is_that_of_the_workflow(name: str) -> None:
    file, workflow = DagFile(text_of_model(name)), of_model(name)
    graph = next(each["dag"]["tasks"] for each in workflow["spec"]["templates"] if "dag" in each)
    theirs = {each["name"]: set(each.get("dependencies", [])) for each in graph}
    ours = {
        task.replace("_", "-"): {each.replace("_", "-") for each in after}
        for task, after in file.edges.items()
        if not file.stages[task]["is_teardown"]
    }
    assert ours == theirs
    assert file.stages["close"]["is_teardown"]
    ends = theirs.keys() - set().union(*theirs.values())
    assert file.edges["close"] == ({"notify"} if "notify" in file.stages else ends)
    if "notify" in file.stages:
        assert file.stages["notify"]["is_teardown"]
        assert {each.replace("_", "-") for each in file.edges["notify"]} == ends


def test_parameters_limits_and_names() -> None:
    file = DagFile(text_of_model("taxi"))
    assert file.parameters == {
        "data": {"default": "/millrace/data/taxi", "type": "string"},
        "eval_steps": {"default": 50, "type": "integer"},
        "serving_directory": {"default": "/millrace/serving/taxi", "type": "string"},
        "train_steps": {"default": 500, "type": "integer"},
    }
    assert file.dag["dag_id"] == "taxi"
    assert (file.dag["catchup"], file.dag["max_active_runs"]) == (False, 1)
    assert file.constants["SCHEDULE"] is None
    train = DagFile(text_of_model("full-2.5")).stages["train"]
    assert (train["retries"], train["retry_delay"]) == (5, "timedelta(seconds=60)")
    push = file.stages["push"]
    assert (push["tells"], push["outlets"]) == (["push/pushed_model"], "[PUBLISHED]")
    assert file.constants["MODEL"] == "Asset('x-millrace://taxi/serving')"
    assert "do_xcom_push" not in text_of_model("taxi")


def test_the_file_has_names_of_secrets_and_imports_nothing_of_ours() -> None:
    text = text_of_model("full-2.5")
    token = next(each for each in DagFile(text).stages["train"]["env"] if each["name"] == "HF_TOKEN")
    assert token == {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE))
    assert imported == {"__future__", "airflow", "copy", "datetime", "hashlib", "json", "re"}
    assert text_of_model.__wrapped__("taxi") == text_of_model("taxi"), "the same settings give the same text"


def test_what_a_schedule_says(tmp_path: Path) -> None:
    def export(*options: str) -> DagFile:
        called = call("airflow", "export", "taxi", "--output", str(tmp_path / "dags"), *options)
        assert called.exit_code == 0, called.error
        name = "rides" if "--dag-id" in options else "taxi"
        assert called.lines[0] == str(tmp_path / "dags" / f"{name}.airflow.py")
        return DagFile((tmp_path / "dags" / f"{name}.airflow.py").read_text())

    nightly = export("--schedule", "30 2 * * *", "--dag-id", "rides", "--dated", "data=/millrace/data/%Y-%m-%d")
    assert (nightly.constants["SCHEDULE"], nightly.dag["dag_id"]) == ("30 2 * * *", "rides")
    assert nightly.constants["DATED"] == {"data": "/millrace/data/%Y-%m-%d"}
    assert nightly.parameters["data"] == {"default": "/millrace/data/%Y-%m-%d", "type": "string"}
    asked = ("--on-asset", "s3://lake/trips", "--on-asset", "x-team://zones", "--outlet", "x-team://tips")
    by_data = export(*asked, "-p", "train_steps=7", "--deferrable", "--namespace", "ml", "--connection", "gke")
    assert by_data.constants["SCHEDULE"] == "[Asset('s3://lake/trips'), Asset('x-team://zones')]"
    assert by_data.constants["MODEL"] == "Asset('x-team://tips')"
    assert by_data.stages["ingest"]["inlets"] == "SCHEDULE"
    assert by_data.parameters["train_steps"]["default"] == 7
    names = ("DEFERRABLE", "NAMESPACE", "CONNECTION")
    assert [by_data.constants[name] for name in names] == [True, "ml", "gke"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--schedule", "0 30 2 * * *"], r"--schedule 0 30 2 \* \* \*: expected five fields .*@daily"),
        (["--schedule", "99 2 * * *"], r"--schedule 99 2 \* \* \*: the minute is '99'"),
        (["--schedule", "@daily", "--on-asset", "s3://a/b"], "--schedule and --on-asset each say when the DAG runs"),
        (["--on-asset", "trips"], "--on-asset trips: expected a URI"),
        (["--outlet", "trips"], "--outlet trips: expected a URI"),
        (["--dag-id", "a b"], "--dag-id a b: expected at most 200 letters"),
        (["--namespace", "A_b"], "namespace 'A_b': Kubernetes refuses this name"),
        (["-p", "train_step=1"], "no parameter 'train_step'; did you mean 'train_steps'"),
        (["-p", "train_steps=many"], "expected a whole number"),
        (["--dated", "span=%Y"], "--dated: no parameter 'span'"),
        (["--dated", "train_steps=every %Y"], "--dated train_steps=every %Y: expected a whole number of every date"),
        (["--dated", "data=%Y", "-p", "data=x"], "--param and --dated each give data"),
        (["-p", "data=https://user:hunter2@host/x"], "--param: data: looks like an address with a password"),
    ],
)
def test_options_that_are_refused(options: list[str], message: str, tmp_path: Path) -> None:
    called = call("airflow", "export", "taxi", "--output", str(tmp_path), *options)
    assert called.exit_code == 65
    assert re.search(message, called.error), called.error
    assert "hunter2" not in called.error
    assert len(called.error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_two_dags_of_a_model_lie_side_by_side(tmp_path: Path) -> None:
    for name in ("nightly", "weekly"):
        assert call("airflow", "export", "taxi", "--dag-id", name, "--output", str(tmp_path)).exit_code == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["nightly.airflow.py", "weekly.airflow.py"]


def test_nobody_reads_the_data_of_a_model_that_asks_for_its_own(tmp_path: Path) -> None:
    settings = "ingest: {query: {source: {kind: duckdb, path: /d.db}, sql: SELECT 1}}\ncluster: {volume: {claim: c}}"
    folder = model(tmp_path / "mine", settings).folder
    for option in (["-p", "data=/x"], ["--dated", "data=/x/%Y"]):
        place = ["--module", "gs://bucket/code", "--output", str(tmp_path / "out")]
        called = call("airflow", "export", str(folder), *place, *option)
        assert called.exit_code == 65
        assert "data: the data is what ingest.query in settings.yaml asks for; leave it out" in called.error
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made() -> None:
    called = call("airflow", "export", "taxi", "--output", "/proc/1/nope")
    assert called.exit_code == 65
    assert called.error.strip().endswith(
        "/proc/1/nope: cannot be written: No such file or directory; choose another --output"
    )


def _foreign() -> None:
    number(value=1).set_env_variable("MILLRACE_STAGE", "of_theirs")


def _loop() -> None:
    with dsl.ParallelFor([1, 2]) as item:
        number(value=item)


def _same_names() -> None:
    number(value=1).set_display_name("a b")
    number(value=1).set_display_name("a-b")


def _named_close() -> None:
    number(value=1).set_display_name("close")


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (_foreign, "task number: nothing of ours is in its image .* on Argo or Kubeflow"),
        (_loop, "loops run on the KFP backend only"),
        (_same_names, "another has the same name in Airflow, 'a-b'"),
        (_named_close, "another has the same name in Airflow, 'close'"),
    ],
)
def test_what_airflow_cannot_run_is_refused(graph: Callable[[], None], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as error:
        _compiled(dsl.pipeline(name="p")(graph), tmp_path)
    assert "\n" not in str(error.value)


def test_a_run_needs_a_volume_and_a_schedule_all_parameters(tmp_path: Path) -> None:
    @dsl.pipeline(name="p")
    def graph(word: str, limit: int = 3) -> None:
        number(value=limit, word=word)

    with pytest.raises(InputError, match=r"^cluster\.volume\.claim is missing: on Airflow a run has no volume"):
        _compiled(graph, tmp_path, claim="")
    assert _compiled(graph, tmp_path).parameters["word"] == {"type": "string"}
    with pytest.raises(InputError, match=r"'word' has no default.* --param word=VALUE$"):
        _compiled(graph, tmp_path, schedule="@daily")
    assert _compiled(graph, tmp_path, schedule="@daily", parameters={"word": "a"}).parameters["word"]["default"] == "a"


def test_tasks_whose_names_are_words_of_the_file_or_of_python(tmp_path: Path) -> None:
    @dsl.pipeline(name="p")
    def graph() -> None:
        first = number(value=1).set_display_name("json")
        second = number(value=first.outputs["out"]).set_display_name("class")
        number(value=second.outputs["out"]).set_display_name("2nd number")

    file = _compiled(graph, tmp_path)
    assert file.edges == {"json": set(), "class": {"json"}, "2nd-number": {"class"}, "close": {"2nd-number"}}


def test_conditions_are_functions_and_what_they_read_is_told(tmp_path: Path) -> None:
    file = _compiled(branches, tmp_path)
    assert file.stages["First-number"]["tells"] == ["First number/out"]
    assert file.stages["second"]["when"] == "lambda params, outputs: int(outputs['First number/out']) > 5"
    inner = "lambda params, outputs: int(outputs['First number/out']) > 5 and params['word'] == 'a'"
    assert file.stages["inner"]["when"] == inner
    assert file.stages["inner"]["needs"] == ["second"], "what reads from a task that was left out is left out too"
    assert "needs" not in file.stages["beside"], "what only waits for it is not"
    assert file.edges["beside"] == {"First-number", "inner", "other"}
    assert file.constants["CONDITIONAL"] == ["inner", "other", "second"]
    assert {each.get("trigger_rule") for name, each in file.stages.items() if name != "close"} == {"none_failed"}


def test_several_tasks_in_one_pod() -> None:
    text = fuse(compile_pipeline(load("taxi"), digest), [["train", "resolve", "evaluate", "push"]], digest)
    file = DagFile(compile_dag(text, AirflowOptions(claim="millrace")))
    pod = file.stages["train-to-push"]
    assert pod["tasks"] == ["train", "resolve", "evaluate", "push"]
    assert pod["earlier"] == ["ingest", "statistics", "schema", "transform"], "what is in the pod is not looked for"
    assert (pod["tells"], pod["outlets"]) == (["push/pushed_model"], "[PUBLISHED]")
    assert "environment" in file.constants["SPECIFICATIONS"]["train"]
    assert file.constants["NAMES"]["train-to-push"] == ["train-to-push", *pod["tasks"]]
    assert file.edges["train-to-push"] == {"ingest", "statistics", "schema", "transform"}


def test_volumes_of_one_node_draw_the_pods_to_it(tmp_path: Path) -> None:
    @dsl.pipeline(name="p")
    def graph() -> None:
        number(value=1)

    compiler.Compiler().compile(graph, str(tmp_path / "p.yaml"))
    options = AirflowOptions(claim="work")
    alone = compile_dag((tmp_path / "p.yaml").read_text(), options)
    shared = compile_dag((tmp_path / "p.yaml").read_text(), dataclasses.replace(options, access_mode="ReadWriteMany"))
    assert "podAffinity" in alone
    assert "podAffinity" not in shared


def test_for_programs(tmp_path: Path) -> None:
    called = call("airflow", "export", str(ROOT / "models" / "taxi"), "--json", "--output", str(tmp_path / "tips.py"))
    told = json.loads(called.out)
    assert (told["dag"], told["files"], told["code"]) == ("taxi", [str(tmp_path / "tips.py")], 0)
