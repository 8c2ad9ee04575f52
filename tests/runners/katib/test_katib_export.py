"""Experiments of Katib: their fields. tests/e2e/test_tuned_and_warm.py runs a trial of one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from runners.commands.compile import compile_pipeline
from runners.compiled import ir
from runners.compiled.pipelines import Images
from runners.compiled.platform_spec import read_platform
from runners.katib import search_space
from runners.katib.experiment import Place, Tuned, experiment
from runners.settings.model import load
from runners.settings.stages import Tune
from tests.manifest_support import MANIFESTS, documents, pod_security_errors, schema_errors
from tests.runners.cluster_support import call
from tests.runners.compiled_models import digest, model
from tests.support import ROOT

FLOAT = {"name": "learning rate", "min_value": 1e-4, "max_value": 0.1, "step": None, "sampling": "log"}
SETTINGS = Tune(
    train_steps=20, eval_steps=5, seed=7, custom_config={"batch_size": 64}, max_trials=12, max_minutes=0, workers=4
)
TUNED = Tuned(
    # Of a run that looked at the space only: the search is what the settings say.
    parameters={
        "module_file": "models/taxi/model.py",
        "train_steps": 1,
        "eval_steps": 1,
        "seed": 1,
        "custom_config": {},
        "max_trials": 1,
        "max_minutes": 5.0,
    },
    inputs={
        "transformed_examples": "artifacts/taxi/transform/1/transformed_examples",
        "transform_graph": "artifacts/taxi/transform/1/transform_graph",
        "schema": "artifacts/taxi/schema/1/schema",
    },
    space=[{"class_name": "Float", "config": FLOAT}],
    objective="val_auc",
    direction="max",
    tuner="RandomSearch",
)
PLACE = Place("taxi-tune", "rides", "work", "/millrace")

LIST = {"name": {}, "value": {}}
KATIB: dict[str, Any] = {
    "objective": {
        "type": {},
        "goal": {},
        "objectiveMetricName": {},
        "additionalMetricNames": {},
        "metricStrategies": LIST,
    },
    "algorithm": {"algorithmName": {}, "algorithmSettings": LIST},
    "earlyStopping": {"algorithmName": {}, "algorithmSettings": LIST},
    "parallelTrialCount": {},
    "maxTrialCount": {},
    "maxFailedTrialCount": {},
    "resumePolicy": {},
    "parameters": {
        "name": {},
        "parameterType": {},
        "feasibleSpace": {"min": {}, "max": {}, "step": {}, "list": {}, "distribution": {}},
    },
    "metricsCollectorSpec": {
        "source": {"httpGet": {}, "fileSystemPath": {}, "filter": {}},
        "collector": {"kind": {}, "customCollector": {}},
    },
    "trialTemplate": {
        "retain": {},
        "trialSpec": {},
        "configMap": {},
        "trialParameters": {"name": {}, "description": {}, "reference": {}},
        "primaryPodLabels": {},
        "primaryContainerName": {},
        "successCondition": {},
        "failureCondition": {},
    },
}
"""The fields of an Experiment's spec in Katib 0.19.0. Its CRD has no schema: it passes over all others."""


def unknown(content: Any, fields: dict[str, Any]) -> set[str]:
    """The fields in content that Katib does not have."""
    if isinstance(content, list):
        return {name for each in content for name in unknown(each, fields)}
    if not isinstance(content, dict) or not fields:
        return set()
    found = set(content) - fields.keys()
    return found.union(*(unknown(each, fields[name]) for name, each in content.items() if name in fields))


def made(tuned: Tuned = TUNED, place: Place = PLACE, said: Tune = SETTINGS) -> dict[str, Any]:
    settings = load("taxi").model_copy(update={"tune": said})
    document, platform = ir.documents(compile_pipeline(settings, digest))
    task = ir.read(document).tasks["tune"]
    return experiment(task, read_platform(platform, "Katib")[0].get(task.executor, {}), tuned, place)


def test_an_experiment_says_what_the_settings_and_the_search_space_say() -> None:
    document = made()
    assert (document["apiVersion"], document["kind"]) == ("kubeflow.org/v1beta1", "Experiment")
    assert document["metadata"] == {"name": "taxi-tune", "namespace": "rides"}
    spec = document["spec"]
    assert unknown(spec, KATIB) == set()
    assert unknown(spec | {"trialTemplate": {"retains": True}}, KATIB) == {"retains"}
    template = spec.pop("trialTemplate")
    assert spec == {
        "objective": {
            "type": "maximize",
            "objectiveMetricName": "val_auc",
            "metricStrategies": [{"name": "val_auc", "value": "latest"}],
        },
        "algorithm": {
            "algorithmName": "random",
            "algorithmSettings": [{"name": "random_state", "value": "7"}],
        },
        "parallelTrialCount": 4,
        "maxTrialCount": 12,
        "maxFailedTrialCount": 12,
        "parameters": [
            {
                "name": "learning rate",
                "parameterType": "double",
                "feasibleSpace": {"min": "0.0001", "max": "0.1", "distribution": "logUniform"},
            }
        ],
        "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
    }
    assert template["trialParameters"] == [{"name": "h1", "description": "learning rate", "reference": "learning rate"}]
    # Katib takes the pod of a trial that has ended away, with the log that says why it failed.
    assert template["retain"] is True
    job = template["trialSpec"]
    assert schema_errors(job) == []
    assert pod_security_errors(job["spec"]["template"]["spec"]) == []
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == template["primaryContainerName"]
    assert container["image"] == digest("millrace/tune")
    assert container["resources"]["limits"]["memory"] == "4Gi"
    assert pod["restartPolicy"] == "Never"
    # Katib joins the command by blanks into a line of a shell, unless it is one: what stands in it is quoted.
    assert container["command"] == ["sh", "-c"]
    words = shlex.split(container["args"][0])
    assert words[:4] == ["python", "-m", "components.tune.one_trial", "--executor-input"]
    given = json.loads(words[4])["inputs"]
    assert given["parameterValues"] == {
        "module_file": "models/taxi/model.py",
        "train_steps": 20,
        "eval_steps": 5,
        "seed": 7,
        "custom_config": {"batch_size": 64},
        "values": {"learning rate": "${trialParameters.h1}"},
    }
    places = {name: entry["artifacts"][0]["uri"] for name, entry in given["artifacts"].items()}
    assert places == {name: f"/millrace/{uri}" for name, uri in TUNED.inputs.items()}


def test_nothing_in_the_job_is_empty() -> None:
    """Katib's webhook reads the Job into Go's type, writes it again, and refuses it where a field is gone."""
    job = made()["spec"]["trialTemplate"]["trialSpec"]
    assert "labels" not in job["spec"]["template"]["metadata"]
    assert [place for place, value in leaves(job) if value in ("", [], {})] == ["emptyDir"]


def leaves(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """What has nothing in it, with the name of its field."""
    if not isinstance(content, dict | list) or not content:
        yield name, content
        return
    for place, each in content.items() if isinstance(content, dict) else ((name, each) for each in content):
        yield from leaves(each, place)


def test_a_grid_ends_with_its_last_combination_and_lists_every_value() -> None:
    """Katib's grid (optuna) takes no number without a step, and is not begun for more trials than combinations."""
    layers = {"name": "layers", "min_value": 1, "max_value": 3, "step": 1, "sampling": "linear"}
    space = [
        {"class_name": "Float", "config": FLOAT | {"default": 0.001}},
        {"class_name": "Int", "config": layers},
        {"class_name": "Boolean", "config": {"name": "wide"}},
    ]
    grid = replace(TUNED, space=space, tuner="GridSearch")
    for asked, trials in ((12, 12), (100, 66), (0, 66)):
        spec = made(grid, said=SETTINGS.model_copy(update={"max_trials": asked}))["spec"]
        assert (spec["algorithm"]["algorithmName"], spec["maxTrialCount"]) == ("grid", trials)
    rate, whole, _ = (each["feasibleSpace"] for each in spec["parameters"])
    assert (len(rate["list"]), "0.001" in rate["list"], whole) == (11, True, {"min": "1", "max": "3"})


def test_a_search_that_learns_keeps_the_scale_of_its_numbers() -> None:
    """Katib's bayesianoptimization takes every number with fractions for one on a logarithmic scale."""
    dropout = FLOAT | {"name": "dropout", "min_value": 0.0, "max_value": 0.5, "sampling": "linear"}
    spec = made(replace(TUNED, space=[{"class_name": "Float", "config": dropout}], tuner="BayesianOptimization"))[
        "spec"
    ]
    assert spec["algorithm"] == {
        "algorithmName": "multivariate-tpe",
        "algorithmSettings": [{"name": "random_state", "value": "7"}],
    }
    assert spec["parameters"][0]["feasibleSpace"] == {"min": "0", "max": "0.5"}


def test_kubernetes_puts_no_variables_into_what_a_trial_is_given() -> None:
    odd = {"odd": "$(HOME) costs $$2"}
    pod = made(said=SETTINGS.model_copy(update={"custom_config": odd}))["spec"]["trialTemplate"]["trialSpec"]["spec"]
    line = pod["template"]["spec"]["containers"][0]["args"][0]
    assert "${trialParameters.h1}" in line
    # As Kubernetes does with arguments, but for $(NAME), of which there has to be none.
    text = shlex.split(line.replace("$$", "\0"))[4]
    assert "$(" not in text
    assert json.loads(text.replace("\0", "$"))["inputs"]["parameterValues"]["custom_config"] == odd


def test_a_search_without_a_number_of_trials_has_no_end() -> None:
    spec = made(said=SETTINGS.model_copy(update={"max_trials": 0}))["spec"]
    assert "maxTrialCount" not in spec
    assert "maxFailedTrialCount" not in spec
    assert spec["parallelTrialCount"] == 4


def test_the_closed_network_lets_a_search_through_to_katib() -> None:
    """By the labels that Katib 0.19.0 gives its own pods, a trial's and those that suggest values."""
    there = {each["metadata"]["name"]: each["spec"] for each in documents(MANIFESTS / "katib" / "network-policy.yaml")}
    way = {
        "katib-trials": ("katib.kubeflow.org/trial", "egress", "to", "db-manager"),
        "katib-suggestions": ("katib.kubeflow.org/suggestion", "ingress", "from", "controller"),
    }
    assert there.keys() == way.keys()
    for policy, (label, direction, side, component) in way.items():
        assert there[policy]["podSelector"]["matchExpressions"] == [{"key": label, "operator": "Exists"}]
        [peer] = there[policy][direction][0][side]
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kubeflow"}
        assert peer["podSelector"]["matchLabels"] == {"katib.kubeflow.org/component": component}
        assert there[policy][direction][0]["ports"] == [{"protocol": "TCP", "port": 6789}]


def test_what_katib_would_not_take_is_refused() -> None:
    with pytest.raises(InputError, match="name 'Taxi': Katib takes small letters, digits and '-', a letter first, at"):
        made(place=Place("Taxi", "", "work", "/millrace"))


@pytest.mark.parametrize("value", ["", "a'b", 'a"b', "a\\b", "a\nb", "a\tb", "$(HOME)"])
def test_a_value_that_no_template_takes_is_refused(value: str) -> None:
    choice = {"class_name": "Choice", "config": {"name": "separator", "values": [",", value]}}
    with pytest.raises(InputError, match="'separator': Katib's template cannot take the value"):
        search_space.parameters([choice])


def test_a_task_that_does_not_tune_is_refused_with_those_that_do(tmp_path: Path) -> None:
    folder = tmp_path / "tuned"
    model(folder, (ROOT / "models" / "taxi" / "settings.yaml").read_text() + "\ntune: {max_trials: 2}\n")
    for file in ("model.py", "preprocessing.py", "evaluation.pbtxt"):
        (folder / file).symlink_to(ROOT / "models" / "taxi" / file)
    refused = call("katib", "export", str(folder), "--module", "/millrace/tuned", "--task", "train")
    assert (refused.exit_code, refused.err.splitlines()[-1]) == (
        65,
        f"error: {folder}: no task 'train' of the stage tune; there is tune",
    )
    refused = call("katib", "export", "taxi")
    assert refused.err.endswith("no task 'tune' of the stage tune; put a section tune into its settings\n")


def test_only_the_pipeline_that_trains_is_exported() -> None:
    refused = call("katib", "export", "taxi", "--infer")
    assert (refused.exit_code, "no such option" in refused.err.lower()) == (2, True), refused.err


def test_an_image_without_a_digest_is_warned_of_by_what_is_to_be_done_again() -> None:
    resolved = Images(None)
    resolved.unpinned.add("millrace/tune:1")
    (warning,) = resolved.warnings("export")
    assert warning.startswith("warning: not in images.lock")
    assert warning.endswith(" and export again")


def test_only_the_image_of_the_trials_is_warned_of() -> None:
    resolved = Images(None)
    resolved.unpinned |= {"millrace/tune:1", "millrace/train:1"}
    (warning,) = resolved.of("millrace/tune:1").warnings("export")
    assert "by tag and not by digest: millrace/tune:1;" in warning
    assert resolved.of("millrace/other@sha256:1").warnings("export") == []


def test_a_folder_is_no_file_to_write_and_a_namespace_has_a_form(tmp_path: Path) -> None:
    refused = call("katib", "export", "taxi", "--output", tmp_path)
    assert (refused.exit_code, f"'{tmp_path}' is a directory" in refused.err) == (2, True), refused.err
    refused = call("katib", "export", "taxi", "--namespace", "Bad Name")
    assert refused.exit_code == 65
    assert refused.error.startswith("--namespace is 'Bad Name': ")
