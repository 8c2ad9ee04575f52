"""Recurring runs from files, against a server on loopback."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.remote import schedules
from tests.runners.cluster_support import Called, call, write_pipeline
from tests.runners.kubeflow.kfp_server import Kfp, serve
from tests.support import ROOT

NIGHTLY = """\
    name: taxi-nightly
    pipeline: taxi
    cron: "0 30 2 * * mon-fri"
    parameters: {data: /data, train_steps: 500}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Kfp]:
    with serve(Kfp()) as state:
        assert call("kubeflow", "--host", state.url, "upload", write_pipeline(tmp_path)).exit_code == 0
        yield state


def written(folder: Path, content: str = NIGHTLY, name: str = "nightly.yaml") -> Path:
    file = folder / "schedules" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(textwrap.dedent(content))
    return file


def apply(server: Kfp, *arguments: object) -> Called:
    return call("kubeflow", "--host", server.url, "schedule", *arguments)


def test_a_schedule_is_created_with_the_defaults(server: Kfp, tmp_path: Path) -> None:
    called = apply(server, written(tmp_path))
    assert (called.exit_code, called.lines) == (0, ["taxi-nightly: created"])
    [made] = server.recurring.values()
    assert made["trigger"] == {"cron_schedule": {"cron": "0 30 2 * * mon-fri"}}
    assert (made["max_concurrency"], made["no_catchup"], made["mode"]) == ("10", True, "ENABLE")
    assert made["runtime_config"]["parameters"] == {"data": "/data", "train_steps": 500}
    [[version]] = server.versions.values()
    assert made["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    listed = call("kubeflow", "--host", server.url, "list", "schedules")
    assert listed.lines[1].split()[:9] == ["taxi-nightly", "0", "30", "2", "*", "*", "mon-fri", "yes", "10"]


def test_an_unchanged_schedule_is_left_alone(server: Kfp, tmp_path: Path) -> None:
    file = written(tmp_path)
    apply(server, file)
    before = dict(server.recurring)
    assert apply(server, file).lines == ["taxi-nightly: unchanged"]
    assert server.recurring == before


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("cron: 0 0 3 * * *", "cron"),
        ("concurrency: 2", "concurrency"),
        ("catch_up: true", "catch_up"),
        ("enabled: false", "enabled"),
        ("experiment: nightly", "experiment"),
        ("description: every night", "description"),
        ("parameters: {data: /data, train_steps: 501}", "parameters"),
        ("service_account: trainer", "service_account"),
        ("pipeline_root: gs://b/root", "pipeline_root"),
    ],
)
def test_a_changed_schedule_is_replaced(server: Kfp, tmp_path: Path, line: str, name: str) -> None:
    apply(server, written(tmp_path))
    [before] = server.recurring
    key = line.partition(":")[0]
    kept = [each for each in textwrap.dedent(NIGHTLY).splitlines() if not each.startswith(f"{key}:")]
    file = written(tmp_path, "\n".join([*kept, line]))
    assert apply(server, "--dry-run", file).lines == [f"taxi-nightly: would be replaced ({name})"]
    assert list(server.recurring) == [before]
    assert apply(server, file).lines == [f"taxi-nightly: replaced ({name})"]
    assert len(server.recurring) == 1
    assert before not in server.recurring
    assert apply(server, file).lines == ["taxi-nightly: unchanged"], "it says of itself what was asked for"


def test_a_new_version_replaces_the_schedule(server: Kfp, tmp_path: Path) -> None:
    apply(server, written(tmp_path))
    call("kubeflow", "--host", server.url, "upload", write_pipeline(tmp_path, "two"))
    assert apply(server, written(tmp_path)).lines == ["taxi-nightly: replaced (version)"]


def test_a_schedule_that_the_server_refuses_leaves_the_old_one(server: Kfp, tmp_path: Path) -> None:
    apply(server, written(tmp_path))
    server.refusals["POST /apis/v2beta1/recurringruns"] = (400, {"message": "no"})
    called = apply(server, written(tmp_path, NIGHTLY + "    concurrency: 1\n"))
    assert called.exit_code == 65
    assert "while creating the recurring run taxi-nightly: no" in called.error
    assert len(server.recurring) == 1


def under_way(server: Kfp, schedule: str, state: str = "RUNNING") -> dict[str, object]:
    """A run that a recurring run of the server started."""
    made = {"run_id": f"run-of-{schedule[:4]}", "display_name": "taxi-nightly-1", "state": state}
    server.runs[str(made["run_id"])] = made | {"recurring_run_id": schedule, "created_at": server.stamp()}
    return server.runs[str(made["run_id"])]


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "CANCELING", "PAUSED"])
def test_replacing_a_schedule_kills_no_run_of_it(server: Kfp, tmp_path: Path, state: str) -> None:
    apply(server, written(tmp_path))
    [old] = server.recurring
    run = under_way(server, old, state)
    file = written(tmp_path, NIGHTLY + "    concurrency: 1\n")
    told = "the old one is disabled, and not deleted: that would kill what it has under way, taxi-nightly-1"
    [line] = apply(server, file).lines
    assert line.startswith(f"taxi-nightly: replaced (concurrency); {told} (run-of-{old[:4]})")
    assert server.recurring[old]["mode"] == "DISABLE"
    assert [each["mode"] for each in server.recurring.values()].count("ENABLE") == 1
    # While it runs nothing more happens, and when it is over the old one goes.
    assert told in apply(server, file).lines[0]
    assert len(server.recurring) == 2
    run["state"] = "SUCCEEDED"
    assert apply(server, file).lines == ["taxi-nightly: unchanged, others of its name are deleted"]
    assert old not in server.recurring
    assert apply(server, file).lines == ["taxi-nightly: unchanged"]


def test_deleting_a_schedule_kills_no_run_of_it(server: Kfp, tmp_path: Path) -> None:
    apply(server, written(tmp_path))
    [old] = server.recurring
    run = under_way(server, old)
    under_way(server, "another")
    delete = ("kubeflow", "--host", server.url, "delete", "schedule", "taxi-nightly", "--yes")
    called = call(*delete)
    assert called.exit_code == 75
    assert "would kill what it has under way, taxi-nightly-1" in called.error
    assert "another" not in called.error
    assert server.recurring[old]["status"] == "DISABLED"
    run["state"] = "FAILED"
    assert call(*delete).exit_code == 0
    assert server.recurring == {}


def test_a_pipeline_root_that_the_server_cannot_write_to_changes_nothing(server: Kfp, tmp_path: Path) -> None:
    called = apply(server, written(tmp_path, NIGHTLY + "    pipeline_root: /millrace/artifacts\n"))
    assert called.exit_code == 65
    assert "nightly.yaml: pipeline_root is '/millrace/artifacts'; Kubeflow Pipelines writes to" in called.error
    assert server.recurring == {}


def test_a_dry_run_changes_nothing(server: Kfp, tmp_path: Path) -> None:
    assert apply(server, "--dry-run", written(tmp_path)).lines == ["taxi-nightly: would be created"]
    assert (server.recurring, server.experiments) == ({}, {})


def test_a_folder_of_files_of_several_documents(server: Kfp, tmp_path: Path) -> None:
    weekly = textwrap.dedent(NIGHTLY).replace("nightly", "weekly")
    written(tmp_path, textwrap.dedent(NIGHTLY) + "---\n" + weekly)
    monthly = written(tmp_path, textwrap.dedent(NIGHTLY).replace("nightly", "monthly"), "monthly.yaml")
    called = apply(server, monthly.parent)
    assert sorted(called.lines) == ["taxi-monthly: created", "taxi-nightly: created", "taxi-weekly: created"]


def test_a_schedule_is_deleted_by_its_name(server: Kfp, tmp_path: Path) -> None:
    apply(server, written(tmp_path))
    called = call("kubeflow", "--host", server.url, "delete", "schedule", "taxi-nihgtly", "--yes")
    assert called.exit_code == 65
    assert "did you mean 'taxi-nightly'?" in called.error
    assert call("kubeflow", "--host", server.url, "delete", "schedule", "taxi-nightly", "--yes").exit_code == 0
    assert server.recurring == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pipeline: taxy", "no pipeline 'taxy' on"),
        ("version: old", "no version of taxi 'old' on"),
        ("parameters: {data: /d, steps: 3}", "no parameter 'steps'"),
        ("parameters: {data: /d, train_steps: many}", "parameter train_steps: expected a whole number, not 'many'"),
        ("parameters: {}", "the parameter 'data' is missing and has no default"),
    ],
)
def test_what_the_server_does_not_know_changes_nothing(server: Kfp, tmp_path: Path, line: str, message: str) -> None:
    key = line.partition(":")[0]
    kept = [each for each in textwrap.dedent(NIGHTLY).splitlines() if not each.startswith(f"{key}:")]
    bad = written(tmp_path, "\n".join([*kept, line]).replace("nightly", "bad"), "z.yaml")
    called = apply(server, written(tmp_path), bad)
    assert called.exit_code == 65
    assert message in called.error
    assert server.recurring == {}, "the good one is not applied either"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "name: a\npipeline: b\ncron: 30 2 * * *",
            "has five fields, the seconds are missing at the front: write '0 30 2 * * *'",
        ),
        ("name: a\npipeline: b\ncron: 0 0 0 * * * 2026", "has seven fields, six are needed: second, minute, hour"),
        ("name: a\npipeline: b\ncron: 0 61 2 * * *", "the minute is '61'; it is * or 0 to 59"),
        ("name: a\npipeline: b\ncron: 0 0 2 0 * *", "the day of the month is '0'; it is * or 1 to 31"),
        ("name: a\npipeline: b\ncron: 0 0 2 * * 7", "the day of the week is '7'; it is * or 0 to 6, or a name as sun"),
        ("name: a\npipeline: b\ncron: 0 0 2 31 2 *", "'0 0 2 31 2 *' never comes: no month of it has a day 31"),
        ("name: a\npipeline: b\ncron: 0 0 2 * * *\nservice_account: a_b", "service_account is 'a_b': Kubernetes ref"),
        ("name: a\npipeline: b", "'cron' is missing"),
        (
            "name: a\npipeline: b\ncron: 0 0 2 * * *\ncatchup: true",
            "unknown key 'catchup', did you mean 'catch_up'?",
        ),
        (
            "name: a\npipeline: b\ncron: 0 0 2 * * *\nconcurrency: 11",
            "concurrency: Input should be less than or equal to 10",
        ),
        (
            "name: a\npipeline: b\ncron: 0 0 2 * * *\nenabled: 'no'",
            "enabled: Input should be a valid boolean, not 'no'",
        ),
        ("- a", "a schedule is a mapping"),
        ("", "holds no schedule"),
        ("a: [", "not YAML"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, content: str, message: str) -> None:
    file = written(tmp_path, content)
    # No server is there: the file is found wrong before one is asked.
    called = call("kubeflow", "--host", "http://127.0.0.1:9", "schedule", file)
    assert called.exit_code == 65
    assert message in called.error
    assert str(file) in called.error


def test_two_schedules_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the name 'taxi-nightly' is taken already, by .*nightly\.yaml"):
        schedules.read([written(tmp_path), written(tmp_path, name="other.yaml")])


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        schedules.read([tmp_path / "x.yaml"])
    with pytest.raises(InputError, match="no schedules"):
        schedules.read([tmp_path])


@pytest.mark.parametrize(
    "cron",
    [
        "0 0 2 * * *",
        "0 */10 * ? * *",
        "0,30 0-29/5 8-18 1,15 jan-mar mon-fri",
        "59 59 23 31 12 6",
        "0 0 0 ? * SUN",
        "0 0 0 29 2 ?",
        "0 0 0 31 2,3 *",
        "0 0 0 31 2 mon",
        "0 0 0 5/30 feb *",
    ],
)
def test_cron_expressions_that_are_right(cron: str) -> None:
    assert schedules.check_cron(cron) == cron.split()


@pytest.mark.parametrize(
    "cron",
    ["? * * * * *", "0 0 2 * * */0", "0 5-2 * * * *", "0 -1 * * * *", "0 1, * * * *", "0 x * * * *", "0 *-3 * * * *"],
)
def test_cron_expressions_that_are_wrong(cron: str) -> None:
    with pytest.raises(InputError, match="cron"):
        schedules.check_cron(cron)


@pytest.mark.parametrize(
    "cron", ["0 0 0 30-31 feb ?", "0 0 0 31 4/5 *", "0 0 0 31 apr,jun *", "0 0 0 31/2 9-11/2 *", "0 0 0 31 2 */2"]
)
def test_days_that_no_year_has_are_refused(cron: str) -> None:
    with pytest.raises(InputError, match=r"never comes: no month of it has a day 3[01]$"):
        schedules.check_cron(cron)


@pytest.mark.parametrize("cron", ["0 0 0 29 2 ?", "0 0 0 31 2,3 *", "0 0 0 31 2 mon", "0 0 0 5/30 feb *"])
def test_days_that_some_years_have_are_not(cron: str) -> None:
    schedules.check_cron(cron)


def test_vertex_takes_five_fields() -> None:
    assert schedules.whole_minutes("0 30 2 ? * mon-fri", "Vertex") == "30 2 * * mon-fri"
    with pytest.raises(InputError, match="the seconds, the first field, must be 0"):
        schedules.whole_minutes("10 30 2 * * *", "Vertex")


def test_the_samples_of_the_project_are_right() -> None:
    assert schedules.read([ROOT / "manifests" / "schedules"])
