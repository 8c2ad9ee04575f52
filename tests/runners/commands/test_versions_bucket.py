"""`versions`, `rollback`, `promote` and `approve` on a serving directory in a bucket."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.runtime.publish import approval, mirror
from components.runtime.publish.approval import Question
from components.runtime.publish.serving import MANIFEST
from tests.bucket_server import BucketServer
from tests.buckets import SCHEMES, bucket_server
from tests.runners.cluster_support import Called, call
from tests.runners.versions.served_root import ServedRoot, served_root


@pytest.fixture(scope="module", params=SCHEMES)
def server(request: pytest.FixtureRequest) -> Iterator[BucketServer]:
    with bucket_server(request.param) as found:
        yield found


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> ServedRoot:
    return served_root(tmp_path_factory.mktemp("three"))


@pytest.fixture
def served(
    tmp_path: Path, three: ServedRoot, server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> tuple[ServedRoot, str]:
    """Versions 1 to 3 of three models in a bucket, and runs that pushed them there; the folder is there no more."""
    for name, value in {**server.variables, "MILLRACE_USER": "berta"}.items():
        monkeypatch.setenv(name, value)
    copied = three.copied(tmp_path)
    place = f"{server.make(f'bucket-{uuid.uuid4().hex}')}/serving/taxi"
    (copied.serving / ".millrace.lock").unlink()
    server.upload(copied.serving, place)
    for record in copied.root.glob("artifacts/*/push/*/execution.json"):
        record.write_text(record.read_text().replace(str(copied.serving), place))
    for record in copied.root.glob("artifacts/*/push/*/pushed_model/*.json"):
        record.write_text(record.read_text().replace(str(copied.serving), place))
    shutil.rmtree(copied.serving)
    return copied, place


def called(served: tuple[ServedRoot, str], *arguments: object, code: int = 0) -> Called:
    # (Each command is a process of its own.)
    mirror._opened.clear()
    found = call("--root", served[0].root, *arguments, "--serving-directory", served[1])
    assert found.exit_code == code, found.out + found.err
    return found


def test_versions_are_told_and_compared(served: tuple[ServedRoot, str], server: BucketServer) -> None:
    root, place = served
    server.put(f"{place}/labels.json", b'{"stable": 2}')
    told = called(served, "versions", "taxi", "--verify", "--json").document
    assert (told["labels"], told["serving_directory"]) == ({"stable": 2}, place)
    assert [(each["version"], each["state"]) for each in told["versions"]] == [
        (3, "served"),
        (2, "earlier"),
        (1, "earlier"),
    ]
    assert [each["release"] for each in told["versions"]] == ["1.2", "1.1", "1.0"]
    assert [each["verified"] for each in told["versions"]] == [4, 4, 4]
    assert told["versions"][0]["blessed_by"] == root.runs[2]
    server.put(f"{place}/2/fingerprint.pb", b"other bytes")
    found = called(served, "versions", "taxi", "--verify", code=65)
    assert "damaged: fingerprint.pb has other bytes than were pushed" in found.out
    server.delete(f"{place}/2/fingerprint.pb")
    found = called(served, "versions", "taxi", "--json")
    assert [each["damage"] for each in found.document["versions"]] == [None, "fingerprint.pb is missing", None]
    assert "progress" not in found.out + found.err


def test_a_rollback_is_the_next_version(served: tuple[ServedRoot, str], server: BucketServer) -> None:
    _, place = served
    server.put(f"{place}/2/assets.extra/tf_serving_warmup_requests", b"requests")
    told = called(served, "rollback", "taxi", "--why", "wrong on Sundays", "--json").document
    assert (told["version"], told["same_as"], told["replaced"]) == (4, 2, 3)
    second, fourth = (server.tree(f"{place}/{number}") for number in ("2", "4"))
    said = json.loads(fourth.pop(MANIFEST))["rolled_back"]
    del second[MANIFEST]
    assert fourth == second, "with what others put there"
    assert (said["by"], said["why"]) == ("berta", "wrong on Sundays")
    newest = called(served, "versions", "taxi", "--json").document["versions"][0]
    assert (newest["version"], newest["how"], newest["same_as"]) == (4, "rolled back", 2)


def test_a_version_that_no_run_tells_of_has_the_time_that_the_bucket_tells(
    served: tuple[ServedRoot, str], server: BucketServer
) -> None:
    root, place = served
    shutil.rmtree(root.root / "runs")
    before = datetime.now(UTC) - timedelta(minutes=10)
    third = called(served, "versions", "taxi", "--json").document["versions"][0]
    assert before < datetime.fromisoformat(third["since"]) < datetime.now(UTC)
    assert (third["how"], third["by"]) == ("pushed by a run that is recorded elsewhere", None)
    assert (third["blessed"], third["run"], third["blessed_by"]) == (True, None, None)
    assert third["reason"] == json.loads(server.read(f"{place}/3/{MANIFEST}"))["blessing"]
    assert called(served, "promote", "taxi", "3", "--label", "stable", "--json").document["version"] == 3
    assert json.loads(server.read(f"{place}/labels.json")) == {"stable": 3}


def test_labels_and_what_is_kept(served: tuple[ServedRoot, str], server: BucketServer) -> None:
    _, place = served
    called(served, "promote", "taxi", "1", "--label", "stable")
    called(served, "versions", "taxi", "--keep", "1", "--yes")
    assert {name.partition("/")[0] for name in server.names(place)} == {"1", "2", "3", "labels.json"}
    called(served, "promote", "taxi", "--label", "stable", "--remove")
    told = called(served, "versions", "taxi", "--keep", "1", "--yes", "--json").document
    assert told["removed"] == [1]
    assert {name.partition("/")[0] for name in server.names(place)} == {"2", "3", "labels.json"}
    assert json.loads(server.read(f"{place}/labels.json")) == {}


def test_a_person_answers_a_run_by_the_bucket(served: tuple[ServedRoot, str], server: BucketServer) -> None:
    _, place = served
    now = datetime.now(UTC)
    question = Question(
        "taxi-1", "sha256:a", "it holds", {}, [], now.isoformat(), (now + timedelta(hours=1)).isoformat()
    )
    # (The stage that waits is another process.)
    stage = mirror.opened(place)
    approval.ask(stage, question)
    assert approval.answered(stage, question) is None
    told = called(served, "approve", "--json").document
    assert [(each["run"], each["directory"]) for each in told["waiting"]] == [("taxi-1", place)]
    called(served, "approve", "taxi-1", "--why", "looks good")
    given = approval.answered(stage, question)
    assert given
    assert (given.approved, given.by, given.why) == (True, "berta", "looks good")
    approval.withdraw(stage, "taxi-1")
    assert [name for name in server.names(place) if name.startswith(".")] == []
    assert approval.answered(stage, replace(question, run="taxi-2")) is None


def test_what_cannot_be_seen_is_told(served: tuple[ServedRoot, str], server: BucketServer) -> None:
    with server.refusing():
        found = called(served, "versions", "taxi", code=65)
    assert found.error.startswith(f"{served[1]}: cannot be listed: refused: 403 Forbidden")
    mirror._opened.clear()
    found = call("--root", served[0].root, "versions", "taxi", "--serving-directory", "hdfs://somewhere/taxi")
    assert found.exit_code == 65
    assert found.error.startswith("hdfs://somewhere/taxi: versions are seen and changed in folders, s3:// and gs://")
    empty = served[1].replace("/serving/", "/other/")
    found = call("--root", served[0].root, "versions", "taxi", "--serving-directory", empty)
    assert found.error.startswith(f"{empty}: nothing was pushed here yet")
