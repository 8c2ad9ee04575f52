"""`argo schedule`: the schedule files of every target as CronWorkflows, against a server on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from runners.argo.options import for_settings
from runners.argo.workflow import compile_workflow
from runners.compiled.pipelines import compile_pipeline
from runners.settings import purposes
from runners.settings.model import load
from tests.runners.argo.argo_server import Argo
from tests.runners.argo.compiled_workflows import of_model
from tests.runners.cluster_support import call
from tests.support import ROOT

NIGHTLY = """\
name: nightly
pipeline: %s
cron: "0 30 2 ? * mon-fri"
parameters: {train_steps: 20, data: /millrace/other}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    compiled = tmp_path / "taxi.argo.yaml"
    compiled.write_text(yaml.safe_dump(of_model("taxi")))
    file = tmp_path / "nightly.yaml"
    file.write_text(NIGHTLY % compiled)
    return file


def values(schedule: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in schedule["spec"]["workflowSpec"]["arguments"]["parameters"]}


def test_a_schedule_is_made_once_and_replaced_when_its_file_says_something_else(server: Argo, file: Path) -> None:
    assert call("argo", "-n", "mine", "schedule", file, "--dry-run").lines == ["nightly: would be created"]
    assert not server.schedules
    assert call("argo", "-n", "mine", "schedule", file).lines == ["nightly: created"]
    assert call("argo", "-n", "mine", "schedule", file).lines == ["nightly: unchanged"]
    made = server.schedules["mine", "nightly"]
    assert made["spec"]["schedules"] == ["30 2 * * mon-fri"]
    assert (made["spec"]["timezone"], made["spec"]["concurrencyPolicy"], made["spec"]["suspend"]) == (
        "UTC",
        "Allow",
        False,
    )
    compiled = of_model("taxi")
    assert made["spec"]["workflowMetadata"]["labels"] == compiled["metadata"]["labels"]
    assert made["spec"]["workflowSpec"]["templates"] == compiled["spec"]["templates"]
    assert values(made) == values({"spec": {"workflowSpec": compiled["spec"]}}) | {
        "train_steps": "20",
        "data": "/millrace/other",
    }

    # What is under way is noted in the status, which a replacement must not lose.
    made["status"] = {"active": [{"name": "nightly-1"}], "lastScheduledTime": "2026-11-20T02:30:00Z"}
    file.write_text(file.read_text() + "concurrency: 1\nenabled: false\nservice_account: robot\n")
    assert call("argo", "-n", "mine", "schedule", file).lines == ["nightly: replaced"]
    replaced = server.schedules["mine", "nightly"]
    assert (replaced["spec"]["concurrencyPolicy"], replaced["spec"]["suspend"]) == ("Forbid", True)
    assert replaced["spec"]["workflowSpec"]["serviceAccountName"] == "robot"
    assert replaced["status"] == made["status"]

    [_, row] = call("argo", "-n", "mine", "schedules").lines
    assert row.split() == ["nightly", "30", "2", "*", "*", "mon-fri", "disabled", "2026-11-20", "02:30:00", "1"]


def test_a_scheduled_run_is_of_the_time_of_its_schedule(server: Argo, file: Path, tmp_path: Path) -> None:
    settings = purposes.on_spans(load("taxi"), 7, span="scheduled-1")
    (tmp_path / "taxi.argo.yaml").write_text(compile_workflow(compile_pipeline(settings), for_settings(settings)))

    def told(templates: list[dict[str, Any]]) -> list[tuple[str, str]]:
        pods = [(each["name"], each.get("container", {}).get("args", [])) for each in templates]
        return [(name, args[args.index("--scheduled") + 1]) for name, args in pods if "--scheduled" in args]

    compiled = yaml.safe_load((tmp_path / "taxi.argo.yaml").read_text())
    # A Workflow that is submitted has no schedule, and Argo refuses one that asks for its time.
    assert told(compiled["spec"]["templates"]) == [("ingest", "{{workflow.creationTimestamp.RFC3339}}")]
    assert "workflow.scheduledTime" not in json.dumps(compiled)
    file.write_text(file.read_text().replace("train_steps: 20", "train_steps: 20, span: scheduled-2, spans: 3"))
    assert call("argo", "-n", "mine", "schedule", file).lines == ["nightly: created"]
    made = server.schedules["mine", "nightly"]
    assert told(made["spec"]["workflowSpec"]["templates"]) == [("ingest", "{{workflow.scheduledTime}}")]
    assert values(made)["span"] == "scheduled-2"
    assert values(made)["spans"] == "3"
    assert call("argo", "-n", "mine", "schedule", file).lines == ["nightly: unchanged"]


def test_a_schedule_that_was_changed_by_hand_is_not_unchanged(server: Argo, file: Path) -> None:
    call("argo", "schedule", file)
    [made] = server.schedules.values()
    made["spec"]["suspend"] = True
    assert call("argo", "schedule", file).lines == ["nightly: replaced"]
    [made] = server.schedules.values()
    assert made["spec"]["suspend"] is False
    made["spec"]["schedules"] = ["0 2 2 * *"]
    assert call("argo", "schedule", file).lines == ["nightly: replaced"]


def test_a_schedule_is_deleted_without_its_runs(server: Argo, file: Path) -> None:
    call("argo", "schedule", file)
    unknown = call("argo", "unschedule", "nightlyy", "--yes")
    assert unknown.exit_code == 65
    assert "no schedule 'nightlyy'" in unknown.error.replace("no such schedule", "no schedule")
    assert "nightly" in unknown.error
    assert call("argo", "unschedule", "nightly", "--yes").lines == ["schedule nightly: deleted"]
    assert not server.schedules
    assert call("argo", "schedules").error.startswith("no schedules in the namespace")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("version: v1\n", "version: Argo keeps no versions"),
        ("catch_up: true\n", "catch_up: Argo does not make up for runs"),
        ("pipeline_root: gs://b\n", "pipeline_root: on Argo it is the volume"),
        ("concurrency: 3\n", "concurrency: Argo runs one at a time (1) or as many as come (leave it out), not 3"),
        ("concurrency: 10\n", "concurrency: Argo runs one at a time (1) or as many as come (leave it out), not 10"),
        ("service_account: My Robot\n", "service_account is 'My Robot': Kubernetes refuses this name: "),
    ],
)
def test_what_argo_does_not_have_is_refused(server: Argo, file: Path, more: str, message: str) -> None:
    file.write_text(file.read_text() + more)
    refused = call("argo", "schedule", file)
    assert refused.exit_code == 65
    assert refused.error.startswith(f"{file}: {message}")
    assert server.requests == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"0 30', '"10 30', "Argo starts runs at whole minutes; the seconds, the first field, must be 0"),
        ("train_steps", "train_stepps", "no parameter 'train_stepps'"),
        ("train_steps: 20", "train_steps: many", "parameter train_steps: expected a whole number, not 'many'"),
        ("data: /millrace/other", '"data=x": 1', "no parameter 'data=x'"),
        ("/millrace/other", '"{{x}}"', "parameter data={{x}}: Argo reads {{ as one of its own tags"),
        ("/millrace/other", "s3://user:s3cretpw@bucket/x", "parameters: data: looks like"),
        ('"0 30', '"0 \u00b2', "the minute is"),
        ("name: nightly", "name: Nightly", "name 'Nightly': on Argo at most 52 lower-case letters"),
        ("taxi.argo.yaml", "taxy.argo.yaml", "No such file or directory; compile the pipeline first"),
    ],
)
def test_a_wrong_file_is_refused_before_a_server_is_asked(
    server: Argo, file: Path, old: str, new: str, message: str
) -> None:
    file.write_text(file.read_text().replace(old, new))
    refused = call("argo", "schedule", file)
    assert refused.exit_code == 65
    assert refused.error.startswith(f"{file}: ")
    assert message in refused.error
    assert "s3cretpw" not in refused.err
    assert server.requests == []


def test_the_shipped_schedule_fits_argo_too(server: Argo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "taxi.argo.yaml").write_text(yaml.safe_dump(of_model("taxi")))
    assert call("argo", "schedule", ROOT / "manifests" / "schedules" / "taxi.yaml").lines == ["taxi-weekly: created"]
    [made] = server.schedules.values()
    assert made["spec"]["schedules"] == ["46 15 * * 1"]


def test_all_are_looked_up_at_once_each_where_it_belongs(server: Argo, file: Path, tmp_path: Path) -> None:
    """Two in the context's namespace, one in that of its file."""
    elsewhere = tmp_path / "elsewhere.argo.yaml"
    workflow = of_model("taxi")
    elsewhere.write_text(yaml.safe_dump(workflow | {"metadata": workflow["metadata"] | {"namespace": "its-own"}}))
    compiled = tmp_path / "taxi.argo.yaml"
    texts = [NIGHTLY % each for each in (compiled, compiled, elsewhere)]
    file.write_text("---\n".join(text.replace("nightly", name) for text, name in zip(texts, "abc", strict=True)))
    for done in "created", "unchanged":
        server.requests.clear()
        assert call("argo", "schedule", file).lines == [f"{name}: {done}" for name in "abc"]
        looks = [target for method, target, _ in server.requests if method == "GET" and "cronworkflows" in target]
        assert len(looks) == 2
    assert sorted(server.schedules) == [("its-own", "c"), ("ml", "a"), ("ml", "b")]
