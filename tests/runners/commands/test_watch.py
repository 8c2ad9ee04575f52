"""`watch`: what it refuses before anything runs, and what it hands to a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from components.runtime.errors import InputError
from runners.argo.options import for_settings
from runners.argo.schedules import cron_workflow
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Constant, Parameter
from runners.remote import schedules
from runners.settings import purposes
from runners.settings.model import load
from runners.versions import watched
from tests.runners.cluster_support import call
from tests.runners.compiled_models import digest, model
from tests.runners.versions.served_root import ServedRoot, served_root
from tests.support import ROOT

END = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ServedRoot:
    return served_root(tmp_path_factory.mktemp("served"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--every", "often"], "--every often: expected a whole number and s, m, h, d or w, such as 1d"),
        (["--spans", "2"], "--data and --spans are of the run that --retrain starts"),
        (["--serving-directory", "/nowhere"], "nothing was pushed here yet"),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_runs(served: ServedRoot, arguments: list[str], said: str) -> None:
    runs = sorted((served.root / "runs").iterdir())
    found = call("--root", served.root, "watch", "taxi", *arguments)
    assert found.exit_code == 65
    assert said in found.err
    assert sorted((served.root / "runs").iterdir()) == runs


def test_what_was_not_measured_has_its_reason_in_the_terminal_too(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"feature": "tract", "measure": "kolmogorov_smirnov", "kind": "skew", "threshold": 0.1, "passed": False}
    distances = [one | {"value": None, "why": "the window has but 2 values of it"}]
    window = {"rows": 600, "until": END.isoformat(), "distances": distances}
    decided = {"distances": 0, "metrics": None}
    watched.show({"windows": [window], "decided_by": decided, "state": "ok", "reason": "quiet"})
    assert "skew not measured, because the window has but 2 values of it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("watch: {every: sometimes}", "watch.every: expected a whole number and s, m, h, d or w"),
        ("watch: {windows: 0}", "watch.windows"),
        ("watch: {threshold: much}", "watch.threshold"),
        ("watch: {thresholds: {fare: 2}}", "watch.thresholds.fare"),
        ("watch: {worse_by: {auk: 0.1}}", "watch.worse_by"),
        ("watch: {positive: {of: fare}}", "watch.positive.above"),
        ("watch: {on_drift: panic}", "watch.on_drift"),
        ("watch: {min_labels: 1}", "watch.min_labels"),
        ("ingest: {spans: 0}", "ingest.spans"),
    ],
)
def test_settings_that_are_wrong_are_told_by_their_key(tmp_path: Path, settings: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        model(tmp_path / "mine", settings)
    assert said in str(error.value)


def test_the_pipeline_that_watches_compiles_for_both_kinds_of_cluster(tmp_path: Path) -> None:
    section = "watch: {every: 6h, positive: {above: 0.2, of: fare}, on_drift: retrain, spans: 3}"
    volume = "cluster: {volume: {claim: here}, fuse: [[ingest, statistics]]}"
    settings = model(tmp_path / "mine", f"{section}\n{volume}\nnotify: {{}}")
    text = compile_pipeline(purposes.for_watching(settings), digest)
    ir, platform = documents(text)
    pipeline = read(ir)
    assert pipeline.name == "mine-watch"
    assert list(pipeline.tasks) == ["notify", "watch"] or list(pipeline.tasks) == ["watch", "notify"]
    arguments = pipeline.tasks["watch"].parameters
    assert arguments["every"] == Constant("6h")
    assert arguments["positive"] == Constant({"above": 0.2, "of": "fare"})
    # What follows from drift is none of the stage's.
    assert not {"on_drift", "spans", "warm_start"} & arguments.keys()
    defaults = {name: each.get("defaultValue") for name, each in pipeline.parameters.items()}
    assert defaults["log"] == "/millrace/predictions/mine"
    assert defaults["serving_directory"] == "/millrace/serving/mine"
    assert not ir["root"]["dag"]["tasks"].get("watch", {}).get("cachingOptions", {}).get("enableCache")
    assert "here" in str(platform)
    workflow = yaml.safe_load(compile_workflow(text, for_settings(settings, pipeline.parameters)))
    assert workflow["metadata"]["generateName"] == "mine-watch-"
    given = {each["name"]: each["value"] for each in workflow["spec"]["arguments"]["parameters"]}
    assert given["log"] == "/millrace/predictions/mine"


def test_where_drift_shall_begin_a_run_the_pipeline_does_and_else_is_what_it_was(tmp_path: Path) -> None:
    section = "watch: {on_drift: retrain, spans: 3, kubeflow: 'http://kfp:8888'}\ncluster: {volume: {claim: here}}"
    folder = tmp_path / "mine"
    settings = model(folder, section)
    text = compile_pipeline(purposes.for_watching(settings, begins=True), digest)
    pipeline = read(documents(text)[0])
    retrain = pipeline.tasks["retrain"]
    given = {name: source.value for name, source in retrain.parameters.items() if isinstance(source, Constant)}
    assert (given["spans"], given["pipeline"], given["template"]) == (3, "mine", "mine-retrain")
    assert given["kubeflow"] == "http://kfp:8888"
    assert pipeline.parameters["data"]["defaultValue"] == "/millrace/data/mine"
    [condition] = retrain.conditions
    assert not condition.holds(dict.fromkeys(condition.values, False))
    assert condition.holds(dict.fromkeys(condition.values, True))
    workflow = yaml.safe_load(compile_workflow(text, for_settings(settings, pipeline.parameters)))
    [graph] = [each["dag"]["tasks"] for each in workflow["spec"]["templates"] if "dag" in each]
    [task] = [each for each in graph if each["name"] == "retrain"]
    assert task["when"] == "{{=tasks['watch'].outputs.parameters['drifted'] == 'true'}}"
    # The right to begin runs is that of this one task.
    accounts = {each["name"]: each.get("serviceAccountName") for each in workflow["spec"]["templates"]}
    assert {name for name, account in accounts.items() if account} == {"retrain"}
    assert accounts["retrain"] == "millrace-retrain"
    assert "millrace/service-account" not in str(workflow)

    quiet = "cluster: {volume: {claim: here}}"
    told = compile_pipeline(purposes.for_watching(model(folder, quiet)))
    assert (
        compile_pipeline(purposes.for_watching(model(folder, f"watch: {{on_drift: tell}}\n{quiet}"), begins=True))
        == told
    )
    # On this machine the command begins it.
    assert compile_pipeline(purposes.for_watching(settings)) == told


def test_compile_writes_what_the_look_begins_beside_it(tmp_path: Path) -> None:
    section = "watch: {on_drift: retrain, spans: 3}"
    folder = tmp_path / "mine"
    model(folder, section)
    made = call("compile", folder, "--module", "gs://b/mine", "--watch", "--output", tmp_path / "out")
    assert made.exit_code == 0, made.err
    names = ["mine-watch.kfp.yaml", "mine-watch.argo.yaml", "mine-retrain.kfp.yaml", "mine-retrain.argo.yaml"]
    assert [Path(line).name for line in made.lines] == names
    begun = read(documents((tmp_path / "out" / "mine-retrain.kfp.yaml").read_text())[0])
    assert begun.name == "mine"
    assert begun.tasks["ingest"].parameters["spans"] == Parameter("spans")
    assert begun.parameters["spans"]["defaultValue"] == 3
    assert "resolve-base" in begun.tasks
    candidates = "candidates: {a: {}, b: {}}\nchoose: {push: each}"
    model(folder, f"{section}\n{candidates}")
    refused = call("compile", folder, "--module", "gs://b/mine", "--watch", "--output", tmp_path / "no")
    assert refused.exit_code == 65
    assert "watch.on_drift: retrain: with choose: {push: each}" in refused.error
    assert not (tmp_path / "no").exists()


def test_the_sample_of_a_recurring_look_is_one_that_argo_takes() -> None:
    file = ROOT / "manifests" / "schedules" / "taxi-watch.yaml"
    [(_, schedule)] = schedules.read([file])
    settings = load("taxi")
    text = compile_pipeline(purposes.for_watching(settings), digest)
    parameters = read(documents(text)[0]).parameters
    made = cron_workflow(schedule, yaml.safe_load(compile_workflow(text, for_settings(settings, parameters))), file)
    assert made["spec"]["schedules"] == ["10 4 * * *"]
    names = [each["name"] for each in made["spec"]["workflowSpec"]["templates"]]
    assert "watch" in names


def test_without_the_sections_nothing_is_another_pipeline(tmp_path: Path) -> None:
    settings = load("taxi")
    plain = compile_pipeline(settings, digest)
    assert compile_pipeline(purposes.on_spans(settings, None), digest) == plain
    made = read(documents(compile_pipeline(purposes.on_spans(settings, 3, warm_start=True), digest))[0])
    assert made.parameters["spans"]["defaultValue"] == 3
    assert "resolve-base" in made.tasks
