"""The stage, against a cluster that answers on loopback; tests/cluster has a real one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.canary import tensorflow_serving
from components.canary.canary import canary
from components.runtime.data import examples as tf_examples
from components.runtime.data import tfrecord
from components.runtime.errors import InputError, StageError
from components.runtime.publish import labels, publishing, serving
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, file_digests
from tests.components.canary.cluster_stand_in import Cluster, running
from tests.components.push.serving_support import make_model
from tests.support import ROOT, executor_input

WEIGHTS_OF_STABLE_ALONE = (100, 0)
SHORT = {"step_minutes": 0.004, "min_requests": 20, "ready_minutes": 0.01}
DEFAULTS: dict[str, Any] = {
    "run": "taxi-1",
    "route": "millrace/taxi",
    "stable_service": "serving",
    "canary_service": "serving-canary",
    "inference_service": "",
    "model_uri": "",
    "port": 8080,
    "model_name": "",
    "config_map": "",
    "label": "stable",
    "steps": [10, 50],
    "split": "eval",
    "rows": 20,
    "bounds": {"error_rate_added": 0.01, "p99_ratio": 2.0},
    "roll_back": True,
    **SHORT,
}


def push(root: Path, number: int) -> None:
    """A version, as push publishes it."""
    model = make_model(root.parent / f"model-{number}", str(number)) / "Format-Serving"
    root.mkdir(parents=True, exist_ok=True)
    publishing.publish(root, model, file_digests(model), {})


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    root = tmp_path / "serving" / "taxi"
    for number in (1, 2):
        push(root, number)
    labels.write(root, {"stable": 1})
    return Cluster(root)


@pytest.fixture
def address(cluster: Cluster) -> Iterator[str]:
    with running(cluster) as address:
        yield address


def examples(folder: Path) -> Path:
    split = folder / "examples" / "Split-eval"
    split.mkdir(parents=True, exist_ok=True)
    rows = [tf_examples.encode({"x": [row / 20], "label": [1]}) for row in range(30)]
    tfrecord.write(split / "a.gz", rows)
    return split.parent


def pushed(cluster: Cluster, version: int = 2, **facts: Any) -> dict[str, Any]:
    return {
        "pushed": True,
        "version": float(version),
        "destination": str(cluster.root),
        "replaced": version - 1.0,
    } | facts


class Run:
    """The stage as a function in this process."""

    def __init__(self, cluster: Cluster, address: str, facts: dict[str, Any] | None = None, **arguments: Any) -> None:
        folder = cluster.root.parents[1]
        given = [
            InputArtifact("pushed_model", str(folder), facts or pushed(cluster)),
            InputArtifact("examples", str(examples(folder)), {}),
        ]
        outputs = {name: OutputArtifact(name, str(folder / f"out-{name}")) for name in ("canary", "metrics", "report")}
        self.output = canary(*given, **(DEFAULTS | {"kubernetes": address} | arguments), **outputs)
        self.facts = outputs["canary"].metadata
        self.metrics = outputs["metrics"].metadata
        self.document = json.loads((outputs["canary"].path / "canary.json").read_text())
        self.page = outputs["report"].path.read_text()


def test_a_version_that_keeps_its_bounds_is_promoted(cluster: Cluster, address: str) -> None:
    run = Run(cluster, address)
    assert run.output == {"promoted": True}
    assert cluster.shares == [(90, 10), (50, 50), (100, 0)]
    assert labels.read(cluster.root) == {"stable": 2}
    assert run.facts == {
        "promoted": True,
        "reason": "it kept every bound at 10 %, 50 % of the traffic",
        "version": 2,
        "label": "stable",
        "stable": 1,
        "put_back": 0,
    }
    assert run.metrics["canary_requests"] >= 20
    assert (run.metrics["canary_error_rate"], run.metrics["answers"]) == (0.0, 0.0)
    assert run.document["samples"][-1]["percent"] == 50
    assert {each["name"]: each["holds"] for each in run.document["checks"]} == {
        "error_rate_added": True,
        "p99_ratio": True,
    }
    assert "<svg" in run.page
    assert "version 2 is stable now" in run.page


@pytest.mark.parametrize(
    ("changes", "bounds", "reason"),
    [
        ({"errors": 20}, {"error_rate_added": 0.01}, r"at 10 % of the traffic error_rate_added 0\.2 > 0\.01"),
        ({"slow_us": 500_000}, {"p99_ratio": 2}, r"at 10 % of the traffic p99_ratio \d+(\.\d+)? > 2"),
        ({"slow_us": 500_000}, {"p99_ms": 100}, r"at 10 % of the traffic p99_ms 9\d\d(\.\d)? > 100"),
        ({"add": 0.5}, {"answers": 0.1}, r"at 10 % of the traffic answers 0\.5 > 0\.1"),
        ({"refuses": True}, {"error_rate": 1}, r"version 2 does not answer what the stable one does: .*: x: not mine"),
        ({"version": 7}, {"error_rate": 1}, r"the canary side serves version 7 and not version 2 after 0\.01 minutes"),
    ],
    ids=["errors", "slower", "slow", "answers", "refuses", "another"],
)
def test_a_version_that_does_not_is_taken_back(
    cluster: Cluster, address: str, changes: dict[str, Any], bounds: dict[str, float], reason: str
) -> None:
    for name, value in changes.items():
        setattr(cluster.sides["serving-canary"], name, value)
    run = Run(cluster, address, bounds=bounds)
    assert run.output == {"promoted": False}
    assert re.fullmatch(reason, run.facts["reason"]), run.facts["reason"]
    assert cluster.shares[-1] == WEIGHTS_OF_STABLE_ALONE
    assert (50, 50) not in cluster.shares
    assert labels.read(cluster.root) == {"stable": 1}
    # Servers and the next run go by the newest version, which is the stable model again.
    assert run.facts["put_back"] == 3
    again, stable = (serving.read_version(number, cluster.root / str(number)) for number in (3, 1))
    assert again is not None
    assert stable is not None
    assert again.model_digest == stable.model_digest
    said = again.about[serving.ROLLED_BACK]
    assert (said["by"], said["why"], said["run"], said["replaced"]) == ("canary", run.facts["reason"], "taxi-1", 2)
    assert "not promoted" in run.page


def test_without_putting_back_the_version_stays_where_it_is(cluster: Cluster, address: str) -> None:
    cluster.sides["serving-canary"].errors = 50
    assert Run(cluster, address, roll_back=False).facts["put_back"] == 0
    assert [number for number, _ in serving.numbered(cluster.root)] == [2, 1]


def test_what_nobody_asked_is_not_judged(cluster: Cluster, address: str) -> None:
    cluster.requests = 0
    run = Run(cluster, address, rows=0)
    assert run.facts["reason"] == (
        "at 10 % of the traffic only 0 requests came to it in 0.004 minutes of 10 %, and 20 are needed to judge it"
    )
    assert cluster.shares[-1] == WEIGHTS_OF_STABLE_ALONE
    assert "canary_error_rate" not in run.metrics
    assert "answers" not in run.metrics
    assert "unknown" in run.page


def test_a_version_that_comes_meanwhile_is_not_promoted_with_it(cluster: Cluster, address: str) -> None:
    cluster.looked = lambda: (
        cluster.shares[-1:] == [(50, 50)] and not (cluster.root / "3").exists() and push(cluster.root, 3)
    )
    run = Run(cluster, address, pushed(cluster))
    assert not run.output["promoted"]
    assert re.search("version 3", run.facts["reason"])
    assert labels.read(cluster.root) == {"stable": 1}
    assert run.facts["put_back"] == 0


def test_the_first_version_gets_the_label_at_once(cluster: Cluster) -> None:
    labels.write(cluster.root, {})
    run = Run(cluster, "http://127.0.0.1:9", pushed(cluster, 1, replaced=0.0))
    assert run.output == {"promoted": True}
    assert labels.read(cluster.root) == {"stable": 1}


def test_without_a_label_the_version_before_is_the_stable_one(cluster: Cluster, address: str) -> None:
    labels.write(cluster.root, {})
    cluster.looked = lambda: None
    run = Run(cluster, address)
    assert (run.facts["stable"], run.output["promoted"]) == (1, True)


def test_nothing_pushed_and_nothing_new(cluster: Cluster) -> None:
    run = Run(cluster, "http://127.0.0.1:9", {"pushed": False, "reason": "auc 0.7 < 0.8"})
    assert run.facts["reason"] == "nothing was pushed: auc 0.7 < 0.8"
    labels.write(cluster.root, {"stable": 2})
    assert Run(cluster, "http://127.0.0.1:9").facts["reason"] == "it is stable already"


def test_tensorflow_serving_is_told_which_version_it_holds(cluster: Cluster, address: str) -> None:
    file = ROOT / "manifests" / "serving" / "config" / "models.config"
    cluster.config = file.read_text()
    assert Run(cluster, address, config_map="millrace/serving-config").output == {"promoted": True}
    config = cluster.config
    assert "model_version_policy { specific { versions: 2 } }" in config
    assert 'version_labels { key: "stable" value: 2 }' in config
    assert 'base_path: "/millrace/serving/taxi"' in config


@pytest.mark.parametrize(
    ("config", "message"),
    [("model_config_list {}", "it has no model 'taxi'"), ('config { name: "taxi" }', "has no model_version_policy")],
)
def test_a_configuration_that_says_nothing_of_the_model(config: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tensorflow_serving.held(config, "taxi", "stable", 2)


def test_only_the_models_own_block_is_changed() -> None:
    other = 'config { name: "other" model_version_policy { all {} } version_labels { key: "stable" value: 7 } }'
    own = 'config { # } a brace\n name: "taxi" model_version_policy { specific { versions: 1 versions: 3 } } }'
    after = tensorflow_serving.held(f"{other}\n{own}", "taxi", "stable", 9)
    assert after == f"{other}\n" + own.replace("versions: 1 versions: 3", "versions: 9")


def test_kserve_shares_by_a_percentage(cluster: Cluster, address: str) -> None:
    arguments = {"route": "", "inference_service": "millrace/taxi", "model_uri": "pvc://v/taxi/{version}"}
    assert Run(cluster, address, **arguments).output == {"promoted": True}
    assert cluster.shares == [
        {"canaryTrafficPercent": 0, "model": {"storageUri": "pvc://v/taxi/2"}},
        {"canaryTrafficPercent": 10},
        {"canaryTrafficPercent": 50},
        {"canaryTrafficPercent": None},
    ]
    labels.write(cluster.root, {"stable": 1})
    cluster.shares.clear()
    cluster.sides["serving-canary"].errors = 50
    assert Run(cluster, address, **arguments).output == {"promoted": False}
    assert cluster.shares[-2:] == [
        {"canaryTrafficPercent": 0},
        {"canaryTrafficPercent": None, "model": {"storageUri": "pvc://v/taxi/1"}},
    ]


@pytest.mark.parametrize(
    ("change", "arguments", "code", "message"),
    [
        ({"backends": ("serving",)}, {}, 65, "no rule has the services serving and serving-canary behind it"),
        ({"refusal": 403}, {}, 65, "httproutes is forbidden: not you (403); manifests/serving/canary has the role"),
        ({"refusal": 503}, {}, 75, "not you (503); try again"),
        ({}, {"route": "millrace/other"}, 65, "not found (404)"),
        ({}, {"route": "taxi"}, 65, "'taxi' does not say where it is; write NAMESPACE/NAME"),
        ({}, {"route": ""}, 65, "canary needs what shares the traffic"),
        ({}, {"kubernetes": "http://127.0.0.1:9"}, 75, "no answer (NewConnectionError); try again"),
        ({}, {"kubernetes": ""}, 65, "this is no pod with a service account"),
        ({}, {"bounds": {"eror_rate": 0.1}}, 65, "bounds: no bound 'eror_rate', did you mean 'error_rate'?"),
        ({}, {"steps": [50, 10]}, 65, "steps: expected rising whole percentages from 1 to 100, not [50, 10]"),
        ({}, {"split": "test"}, 65, "test"),
    ],
    ids=str,
)
def test_what_goes_wrong_is_one_line_and_takes_the_version_back(
    cluster: Cluster, address: str, change: dict[str, Any], arguments: dict[str, Any], code: int, message: str
) -> None:
    for name, value in change.items():
        setattr(cluster, name, value)
    with pytest.raises(StageError) as error:
        Run(cluster, address, **arguments)
    assert error.value.exit_code == code
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("; version 2 is taken back, version 3 is the model of version 1 again")
    assert labels.read(cluster.root) == {"stable": 1}
    again, stable = (serving.read_version(number, cluster.root / str(number)) for number in (3, 1))
    assert again is not None
    assert stable is not None
    assert again.model_digest == stable.model_digest
    assert again.about[serving.ROLLED_BACK]["why"] == str(error.value).rpartition("; version 2 is")[0]
    assert cluster.shares in ([], [WEIGHTS_OF_STABLE_ALONE])
    # A target that tries once more finds out why that is in vain.
    with pytest.raises(InputError, match="version 2 was taken back, version 3 is the model of version 1 again; run"):
        Run(cluster, address)
    assert [number for number, _ in serving.numbered(cluster.root)] == [3, 2, 1]


def test_a_label_that_was_given_already_goes_back(cluster: Cluster, address: str) -> None:
    cluster.config = "model_config_list {}"
    with pytest.raises(
        InputError, match=r"it has no model 'taxi'.*; version 2 is taken back, version 3 is the model of"
    ):
        Run(cluster, address, config_map="millrace/serving-config")
    assert labels.read(cluster.root) == {"stable": 1}
    assert cluster.shares[-1] == WEIGHTS_OF_STABLE_ALONE


def test_where_nothing_is_to_be_put_back_the_label_says_what_is_served(cluster: Cluster, address: str) -> None:
    cluster.refusal = 403
    with pytest.raises(InputError, match=r"; stable is version 1 still, version 2 stays where it is$"):
        Run(cluster, address, roll_back=False)
    assert [number for number, _ in serving.numbered(cluster.root)] == [2, 1]


def test_a_damaged_export_is_not_put_back(cluster: Cluster, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = cluster.root / "1" / serving.MANIFEST
    about = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(about | {"besides": {f"{serving.EXPORTS}/phone/model.tflite": "0" * 64}}))
    cluster.sides["serving-canary"].errors = 50
    assert Run(cluster, address).facts["put_back"] == 0
    assert "version 1 is not put back: it is damaged: assets.extra/exports/phone/model.tflite is missing" in (
        "".join(capsys.readouterr())
    )


def test_a_newer_version_tells_more(cluster: Cluster) -> None:
    push(cluster.root, 3)
    run = Run(cluster, "http://127.0.0.1:9")
    assert run.facts["reason"] == "version 3 has come meanwhile, whose own canary tells more"
    assert [number for number, _ in serving.numbered(cluster.root)] == [3, 2, 1]


def test_who_ends_it_gives_all_traffic_back(cluster: Cluster, address: str, tmp_path: Path) -> None:
    given = executor_input(
        tmp_path / "out",
        inputs={"pushed_model": tmp_path, "examples": examples(tmp_path)},
        parameters=DEFAULTS | {"kubernetes": address, "step_minutes": 5},
        outputs=["canary", "metrics", "report"],
        output_parameters=["promoted"],
        metadata={"pushed_model": pushed(cluster)},
    )
    command = [sys.executable, "-m", "components.canary", "--executor-input", json.dumps(given)]
    process = subprocess.Popen(command, cwd=ROOT)
    deadline = time.monotonic() + 30
    while not cluster.shares and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    process.wait(30)
    assert cluster.shares == [(90, 10), WEIGHTS_OF_STABLE_ALONE]
    assert labels.read(cluster.root) == {"stable": 1}
