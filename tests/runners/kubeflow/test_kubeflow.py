"""The commands against a server on loopback that speaks the KFP v2beta1 API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runners.cluster_support import Called, call, write_pipeline
from tests.runners.kubeflow.kfp_server import Kfp, Refused, serve


@pytest.fixture
def server() -> Iterator[Kfp]:
    with serve(Kfp()) as state:
        yield state


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path)


def kubeflow(server: Kfp, *arguments: object) -> Called:
    return call("kubeflow", "--host", server.url, *arguments)


def started(server: Kfp, pipeline: Path, *arguments: object) -> str:
    called = kubeflow(server, "run", pipeline, "-p", "data=/data", *arguments)
    assert called.exit_code == 0, called.err
    return next(line for line in called.lines if line.startswith("run ")).split()[1]


def test_a_version_is_uploaded_only_when_the_content_changed(server: Kfp, pipeline: Path, tmp_path: Path) -> None:
    first, second = kubeflow(server, "upload", pipeline), kubeflow(server, "upload", pipeline)
    assert first.lines[0].endswith("uploaded")
    assert second.lines[0].endswith("is there already")
    write_pipeline(tmp_path, "two")
    assert kubeflow(server, "upload", pipeline).lines[0].endswith("uploaded")
    [versions] = server.versions.values()
    assert len(versions) == 2
    assert len({version["description"] for version in versions}) == 2
    assert re.fullmatch(r"one \(sha256:[0-9a-f]{64}\)", versions[0]["description"])
    assert versions[0]["display_name"] == f"taxi-{versions[0]['description'].partition('sha256:')[2][:12]}"
    [made] = server.pipelines.values()
    assert made["description"] == "one"
    assert set(versions[0]["pipeline_spec"]) == {"pipeline_spec", "platform_spec"}, "both documents arrive"
    assert server.asked("POST", "upload_version") == 2


def test_a_model_means_its_compiled_file(server: Kfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    called = kubeflow(server, "upload", "taxi")
    assert called.exit_code == 65
    assert called.error.startswith("build/taxi.kfp.yaml: No such file or directory; compile the pipeline first")
    (tmp_path / "build").mkdir()
    write_pipeline(tmp_path).rename(tmp_path / "build" / "taxi.kfp.yaml")
    assert kubeflow(server, "upload", "taxi").exit_code == 0


@pytest.mark.parametrize("content", ["", "a: [", "kind: Workflow", "[1]", "pipelineInfo: {}"])
def test_what_is_not_a_pipeline_is_refused_before_a_server_is_asked(server: Kfp, tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(content)
    called = kubeflow(server, "upload", file)
    assert called.exit_code == 65
    assert str(file) in called.error
    assert server.requests == []


def test_a_run_gets_parameters_of_their_types(server: Kfp, pipeline: Path) -> None:
    given = ("train_steps=20", "rate=0.5", "push=false", "layers=[4, 2]")
    identity = started(server, pipeline, *(word for pair in given for word in ("-p", pair)), "--name", "mine")
    run = server.runs[identity]
    parameters = {"data": "/data", "train_steps": 20, "rate": 0.5, "push": False, "layers": [4, 2]}
    assert run["runtime_config"]["parameters"] == parameters
    assert run["display_name"] == "mine"
    [version] = next(iter(server.versions.values()))
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    assert server.experiments[run["experiment_id"]]["display_name"] == "Default"


def test_options_of_a_run_arrive(server: Kfp, pipeline: Path) -> None:
    options = ("--experiment", "nightly", "--service-account", "trainer", "--pipeline-root", "gs://b/root")
    run = server.runs[started(server, pipeline, *options)]
    assert server.experiments[run["experiment_id"]]["display_name"] == "nightly"
    assert run["service_account"] == "trainer"
    assert run["runtime_config"]["pipeline_root"] == "gs://b/root"
    started(server, pipeline, *options)
    assert len(server.experiments) == 1, "an experiment is made once"


def test_without_cache_no_task_has_it_in_whatever_group_it_is(server: Kfp, tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, stages=("ingest", "condition-1/train", "condition-2/push"))
    before = pipeline.read_bytes()
    sent = server.runs[started(server, pipeline, "--no-cache")]["pipeline_spec"]
    assert set(sent) == {"pipeline_spec", "platform_spec"}
    ir = sent["pipeline_spec"]
    groups = [ir["root"], *(each for each in ir["components"].values() if "dag" in each)]
    tasks = [task for group in groups for task in group["dag"]["tasks"].values()]
    assert len(tasks) == 5
    assert not any(task["cachingOptions"].get("enableCache") for task in tasks)
    assert pipeline.read_bytes() == before


@pytest.mark.parametrize(
    "root", ["/millrace/artifacts", "artifacts", "file:///data", "minio:///bucket", "pvc://x", "gs://"]
)
def test_a_pipeline_root_that_the_server_cannot_write_to_is_refused_before_it_is_asked(
    server: Kfp, pipeline: Path, root: str
) -> None:
    called = kubeflow(server, "run", pipeline, "-p", "data=/d", "--pipeline-root", root)
    assert called.exit_code == 65
    assert called.error.startswith(
        f"--pipeline-root is '{root}'; Kubeflow Pipelines writes to minio://, s3:// and gs://"
    )
    assert server.requests == []


@pytest.mark.parametrize("root", ["minio://mlpipeline/v2/artifacts", "s3://b", "gs://b/f/", "s3://b/f?region=eu"])
def test_a_pipeline_root_in_a_bucket_is_taken(server: Kfp, pipeline: Path, root: str) -> None:
    run = server.runs[started(server, pipeline, "--pipeline-root", root)]
    assert run["runtime_config"]["pipeline_root"] == root


def test_a_pipeline_on_the_server_runs_in_its_newest_version(
    server: Kfp, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for description in ("one", "two", "three"):
        kubeflow(server, "upload", write_pipeline(tmp_path, description))
    [versions] = server.versions.values()
    called = kubeflow(server, "run", "taxi", "-p", "data=/d", "--version", versions[0]["display_name"])
    assert called.exit_code == 0, called.err
    assert kubeflow(server, "run", "taxi", "-p", "data=/d").exit_code == 0
    used = [run["pipeline_version_reference"]["pipeline_version_id"] for run in server.runs.values()]
    assert used == [versions[0]["pipeline_version_id"], versions[2]["pipeline_version_id"]]
    # Whoever has compiled the model here as well means the server's, where he names a version of it.
    monkeypatch.chdir(tmp_path)
    Path("build").mkdir()
    Path("build", "taxi.kfp.yaml").write_bytes(pipeline.read_bytes())
    assert kubeflow(server, "run", "taxi", "-p", "data=/d", "--version", versions[1]["display_name"]).exit_code == 0
    assert (
        list(server.runs.values())[-1]["pipeline_version_reference"]["pipeline_version_id"]
        == (versions[1]["pipeline_version_id"])
    )
    Path("build", "taxi.kfp.yaml").unlink()
    wrong = kubeflow(server, "run", "taxi", "-p", "data=/d", "--version", "taxi-0")
    assert wrong.exit_code == 65
    assert wrong.error.startswith("no version of taxi 'taxi-0' on")
    assert kubeflow(server, "run", "taxi", "--no-cache").error.startswith("--no-cache goes with a compiled file only")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("dta=/x", "no parameter 'dta'; did you mean 'data'?"),
        ("data", "--param data: expected NAME=VALUE"),
        ("train_steps=many", "--param train_steps=many: expected a whole number"),
        ("train_steps=1.5", "expected a whole number"),
        ("train_steps=true", "expected a whole number"),
        ("push=perhaps", "--param push=perhaps: expected true or false"),
        ("layers=3", "expected a JSON list"),
        ("train_steps=1", "the parameter 'data' is missing and has no default"),
    ],
)
def test_wrong_parameters_are_refused_before_a_server_is_asked(
    server: Kfp, pipeline: Path, given: str, message: str
) -> None:
    called = kubeflow(server, "run", pipeline, "-p", given)
    assert called.exit_code == 65
    assert message in called.error
    assert server.requests == []


def test_a_wait_shows_every_task_and_succeeds(server: Kfp, pipeline: Path) -> None:
    called = kubeflow(server, "run", pipeline, "-p", "data=/d", "--wait", "--interval", "0.01")
    assert called.exit_code == 0
    marks = [line.split()[:2] for line in called.lines if line[0] in "▶✔✘"]
    names = ("ingest", "statistics", "train")
    assert marks == [pair for name in names for pair in (["▶", name], ["✔", name])]
    assert ": done in" in called.lines[-1]


def test_a_failed_run_ends_a_wait_with_its_error(server: Kfp, pipeline: Path) -> None:
    server.fails_at = "statistics"
    identity = started(server, pipeline)
    called = kubeflow(server, "wait", identity, "--interval", "0.01")
    assert called.exit_code == 1
    assert "✘ statistics  the column fare is missing in data.csv" in called.out
    assert called.error == "statistics: the column fare is missing in data.csv"
    assert "train" not in called.out
    shown = kubeflow(server, "show", identity)
    assert [line.split(None, 4) for line in shown.lines if line.startswith("statistics")] == [
        ["statistics", "failed", "7.0", "s", "the column fare is missing in data.csv"]
    ]
    assert ["train", "skipped", "-"] in [line.split() for line in shown.lines]
    assert "executor" not in shown.out
    assert "driver" not in shown.out
    # And again, from where it failed.
    assert kubeflow(server, "retry", identity).exit_code == 0
    assert kubeflow(server, "wait", identity, "--interval", "0.01").exit_code == 0
    again = kubeflow(server, "retry", identity)
    assert (again.exit_code, "only a failed run can be retried" in again.error) == (65, True)


def test_a_wait_gives_up_in_time(server: Kfp, pipeline: Path) -> None:
    server.outcome.pending = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."
    called = kubeflow(server, "wait", started(server, pipeline), "--interval", "0.01", "--limit", "0.05")
    assert called.exit_code == 75
    assert "is still running after 0.05 s; it goes on: wait again" in called.error


def test_a_wait_survives_a_fault_of_the_server(server: Kfp, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = started(server, pipeline)
    plain, faults = server.progress, iter([False, True, True])

    def faulty(run: str) -> dict[str, object]:
        if next(faults, False):
            raise Refused(503, "restarting")
        return plain(run)

    monkeypatch.setattr(server, "progress", faulty)
    assert kubeflow(server, "wait", identity, "--interval", "0.01").exit_code == 0


def test_a_run_can_be_terminated_and_deleted(server: Kfp, pipeline: Path) -> None:
    identity = started(server, pipeline)
    assert kubeflow(server, "terminate", identity).exit_code == 0
    waited = kubeflow(server, "wait", identity)
    assert waited.exit_code == 1
    assert "■ ingest" in waited.out
    assert "stopped" in waited.lines[-1]
    assert kubeflow(server, "delete", "run", identity, "--yes").exit_code == 0
    assert server.runs == {}


def test_runs_are_listed_over_pages_the_newest_first(server: Kfp, pipeline: Path) -> None:
    identities = [started(server, pipeline, "--name", f"run {place}") for place in range(5)]
    called = kubeflow(server, "list")
    assert [line.split()[0] for line in called.lines[1:]] == identities[::-1]
    assert server.asked("GET", "/runs?") == 3, "pages of two"
    assert len(kubeflow(server, "list", "-n", "3").lines) == 4
    server.runs[identities[4]]["storage_state"] = "ARCHIVED"
    assert len(kubeflow(server, "list").lines) == 5


def test_an_empty_server_says_so(server: Kfp) -> None:
    for what in ("runs", "pipelines", "experiments", "schedules"):
        called = kubeflow(server, "list", what)
        assert (called.exit_code, called.out) == (0, "")
        assert called.error == f"no {what} on {server.url}"


def test_a_run_is_found_by_its_name_its_beginning_or_as_the_latest(server: Kfp, pipeline: Path) -> None:
    first = started(server, pipeline, "--name", "monday")
    second = started(server, pipeline, "--name", "tuesday")
    for reference, identity in (("monday", first), (first[:8], first), ("latest", second), (second, second)):
        assert f"({identity})" in kubeflow(server, "show", reference).lines[0]
    called = kubeflow(server, "show", "mondey")
    assert called.exit_code == 65
    assert called.error == f"no run 'mondey' on {server.url}; did you mean 'monday'?"
    assert "there are: tuesday, monday" in kubeflow(server, "show", "xyz").error


def test_a_pipeline_is_deleted_with_its_versions_after_a_question(server: Kfp, tmp_path: Path) -> None:
    for description in ("one", "two", "three"):
        kubeflow(server, "upload", write_pipeline(tmp_path, description))
    unanswered = kubeflow(server, "delete", "pipeline", "taxi")
    assert unanswered.exit_code == 65
    assert unanswered.err.splitlines()[-1] == "error: nobody answers here; give --yes"
    assert len(server.pipelines) == 1
    called = kubeflow(server, "delete", "pipeline", "taxi", "--yes")
    assert called.lines == ["versions deleted: 3", "pipeline taxi: deleted"]
    assert server.pipelines == {}
    assert kubeflow(server, "delete", "pipeline", "taxi", "--yes").error == (
        f"no pipeline 'taxi' on {server.url}; there is none"
    )


def test_a_server_with_many_users_gets_the_namespace(pipeline: Path) -> None:
    with serve(Kfp(multi_user=True)) as server:
        called = kubeflow(server, "upload", pipeline)
        assert called.exit_code == 65
        assert "the server has many users; name your namespace" in called.error
        assert call("kubeflow", "--host", server.url, "--namespace", "team", "upload", pipeline).exit_code == 0
        [made] = server.pipelines.values()
        assert made["namespace"] == "team"


def test_a_namespace_is_not_sent_to_a_server_of_one_user(server: Kfp, pipeline: Path) -> None:
    called = call("kubeflow", "--host", server.url, "--namespace", "kubeflow", "upload", pipeline)
    assert called.exit_code == 0, called.err


def test_every_command_has_a_document_for_programs(server: Kfp, pipeline: Path) -> None:
    assert kubeflow(server, "upload", pipeline, "--json").document["new"] is True
    made = kubeflow(server, "run", pipeline, "-p", "data=/data", "--name", "monday", "--json").document
    assert made["page"].endswith(made["run"])
    waited = kubeflow(server, "wait", "monday", "--interval", "0.01", "--json").document
    assert (waited["run"], waited["state"], waited["code"]) == (made["run"], "done", 0)
    assert waited["parameters"]["train_steps"] == 500
    assert kubeflow(server, "show", "monday", "--json").document["tasks"] == waited["tasks"]
    [run] = kubeflow(server, "list", "--json").document["runs"]
    assert (run["run"], run["name"], run["state"]) == (made["run"], "monday", "done")
    assert kubeflow(server, "list", "pipelines", "--json").document["pipelines"][0]["versions"] == 1
    assert kubeflow(server, "list", "schedules", "--json").document["schedules"] == []
    compared = kubeflow(server, "compare", "monday", "monday", "--json").document
    assert compared["left"]["run"] == compared["right"]["run"] == made["run"]
    deleted = kubeflow(server, "delete", "run", "monday", "--yes", "--json").document["deleted"]
    assert (deleted["kind"], deleted["name"]) == ("run", "monday")
    unanswered = kubeflow(server, "delete", "pipeline", "taxi", "--json")
    assert unanswered.document["error"].startswith("nobody answers here")
