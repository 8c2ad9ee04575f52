"""Experiments of Katib: their fields. tests/e2e/test_tuned_and_warm.py runs a trial of one."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.compiled.pipelines import Images
from runners.compiled.platform_spec import read_platform
from runners.katib.experiment import Place, Tuned, experiment
from runners.settings.model import load
from runners.settings.stages import Tune
from tests.manifest_support import pod_security_errors, schema_errors
from tests.runners.cluster_support import call
from tests.runners.compiled_models import digest, model
from tests.support import ROOT

FLOAT = {"name": "learning rate", "min_value": 1e-4, "max_value": 0.1, "step": None, "sampling": "log"}
TUNED = Tuned(
    parameters={
        "module_file": "models/taxi/model.py",
        "train_steps": 20,
        "eval_steps": 5,
        "seed": 7,
        "custom_config": {"batch_size": 64, "execution": {"workers": 4}},
        "max_trials": 12,
        "max_minutes": 0,
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


def made(tuned: Tuned = TUNED, place: Place = PLACE) -> dict[str, Any]:
    settings = load("taxi").model_copy(update={"tune": Tune()})
    ir, platform = documents(compile_pipeline(settings, digest))
    task = read(ir).tasks["tune"]
    return experiment(task, read_platform(platform, "Katib")[0].get(task.executor, {}), tuned, place)


def test_an_experiment_says_what_the_settings_and_the_search_space_say() -> None:
    document = made()
    assert (document["apiVersion"], document["kind"]) == ("kubeflow.org/v1beta1", "Experiment")
    assert document["metadata"] == {"name": "taxi-tune", "namespace": "rides"}
    spec = document["spec"]
    template = spec.pop("trialTemplate")
    assert spec == {
        "objective": {"type": "maximize", "objectiveMetricName": "val_auc"},
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


def test_what_katib_would_not_take_is_refused() -> None:
    with pytest.raises(InputError, match="name 'Taxi': Katib takes small letters, digits and '-', a letter first, at"):
        made(place=Place("Taxi", "", "work", "/millrace"))


def test_a_task_that_does_not_tune_is_refused_with_those_that_do(tmp_path: Path) -> None:
    folder = tmp_path / "tuned"
    model(folder, (ROOT / "models" / "taxi" / "settings.yaml").read_text() + "\ntune: {max_trials: 2}\n")
    for name in ("model.py", "preprocessing.py", "evaluation.pbtxt"):
        (folder / name).symlink_to(ROOT / "models" / "taxi" / name)
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
