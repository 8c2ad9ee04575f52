"""A serving directory in a bucket: versions appear whole, whoever pushes at once, dies, or is not answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.push.push import push as push_stage
from components.resolve.resolve import resolve as resolve_stage
from components.runtime.data import bucket, claims, endpoints
from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.publish import labels, mirror, publishing, serving
from components.runtime.publish.serving import MANIFEST
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, content_digest
from tests.bucket_server import BucketServer, Fault, way
from tests.buckets import GS_SLOW, SCHEMES, bucket_server
from tests.components.push.serving_support import make_blessing, make_model, tree
from tests.components.push.test_push import arguments
from tests.support import ROOT, executor_input, run_stage

# (Cloud Storage knows no removal of several.)
_REMOVAL = "POST|DELETE"
_CREDENTIALS = {"s3": "AWS_ACCESS_KEY_ID", "gs": "GOOGLE_APPLICATION_CREDENTIALS"}


@pytest.fixture(scope="module", params=SCHEMES)
def server(request: pytest.FixtureRequest) -> Iterator[BucketServer]:
    with bucket_server(request.param) as found:
        yield found


@pytest.fixture(autouse=True)
def reached(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[BucketServer], None]:
    """Has the scheme lead to an address, at first to the server itself."""

    def leads(to: BucketServer) -> None:
        # (What was opened before goes on by the address that it knows.)
        mirror._opened.clear()
        for name, value in to.variables.items():
            monkeypatch.setenv(name, value)

    leads(server)
    return leads


@pytest.fixture
def place(server: BucketServer) -> str:
    """A serving directory in a bucket of the test's own."""
    return f"{server.make(f'bucket-{uuid.uuid4().hex}')}/models/taxi"


@pytest.fixture
def pushed(tmp_path: Path, place: str) -> Callable[..., dict[str, Any]]:
    """Pushes a model of some content, in this process; returns what the stage says of it."""
    blessing = make_blessing(tmp_path / "blessing")
    count = iter(range(100))

    def push(content: str = "one", baseline: Path | str | None = None, **given: Any) -> dict[str, Any]:
        model = tmp_path / f"model-{content}"
        if not model.exists():
            make_model(model, content)
        number = next(count)
        blessed = make_blessing(tmp_path / f"blessing-{number}", model=model, baseline=baseline)
        chosen = blessing if baseline is None else blessed
        output = OutputArtifact("pushed_model", str(tmp_path / f"pushed-{number}"))
        push_stage(
            InputArtifact("model", str(model), {"digest": content_digest(model)}),
            InputArtifact("blessing", str(chosen), {}),
            None,
            None,
            place,
            output,
            **given,
        )
        return output.metadata

    return push


def baseline(place: str, folder: Path) -> dict[str, Any]:
    """What resolve finds there, looked at anew."""
    mirror._opened.clear()
    output = OutputArtifact("baseline_model", str(folder))
    resolve_stage(None, place, output)
    return {**output.metadata, "files": tree(output.path)}


def test_a_version_lies_there_as_in_a_folder(tmp_path: Path, server: BucketServer, place: str) -> None:
    model, blessing = make_model(tmp_path / "model"), make_blessing(tmp_path / "blessing")
    result = run_stage("push", tmp_path / "out", **arguments(model, blessing, place))
    assert result.exit_code == 0, result.stderr
    beside = run_stage("push", tmp_path / "folder", **arguments(model, blessing, tmp_path / "serving"))
    there = server.tree(place)
    assert there == {name: it for name, it in tree(tmp_path / "serving").items() if not name.startswith(".")}
    told, told_beside = (each.metadata("pushed_model") for each in (result, beside))
    assert told["destination"] == place
    unlike = {"destination": "", "digest": "", "bytes": 0}
    assert told | unlike == told_beside | unlike
    for secret in server.secrets:
        assert secret not in result.stdout + result.stderr + json.dumps(result.output)


def test_the_next_run_is_compared_with_what_lies_there(
    tmp_path: Path, server: BucketServer, place: str, pushed: Callable[..., dict[str, Any]]
) -> None:
    assert baseline(place, tmp_path / "none")["reason"] == "none: nothing was pushed before"
    assert pushed("one")["version"] == 1
    assert pushed("one")["created"] is False
    two = pushed("two", baseline=tmp_path / "model-one")
    assert (two["version"], two["replaced"]) == (2, 1)
    found = baseline(place, tmp_path / "found")
    assert found["version"] == 2
    assert found["files"] == tree(tmp_path / "model-two")
    assert pushed("one")["same_as"] == 1
    # A damaged version is no baseline.
    server.put(f"{place}/3/saved_model.pb", b"other bytes")
    found = baseline(place, tmp_path / "next")
    assert (found["version"], found["in_service"]) == (2, 3)
    with pytest.raises(TransientError, match="not the one that this one was compared with"):
        pushed("three", baseline=tmp_path / "model-one")


def test_of_two_who_push_at_once_one_does(
    tmp_path: Path,
    server: BucketServer,
    place: str,
    pushed: Callable[..., dict[str, Any]],
    reached: Callable[[BucketServer], None],
) -> None:
    errors: list[str] = []

    def meanwhile(_path: str) -> None:
        reached(server)
        with pytest.raises(TransientError) as refused:
            pushed("two", baseline="")
        errors.append(str(refused.value))

    with way(server, Fault(r"PUT \S+/1/saved_model.pb", times=1, then="forward", call=meanwhile)) as slow:
        reached(slow)
        assert pushed("one", baseline="")["version"] == 1
    assert "version 1 is being made or removed by somebody else" in errors[0]
    assert baseline(place, tmp_path / "found")["files"] == tree(tmp_path / "model-one")
    assert not [name for name in server.names(place) if name.startswith(".")]
    # It may be evaluated again, and pushed.
    assert pushed("two", baseline=tmp_path / "model-one")["version"] == 2


@pytest.mark.parametrize("server", GS_SLOW, indirect=True)
def test_who_is_overtaken_changes_nothing(
    tmp_path: Path,
    server: BucketServer,
    place: str,
    pushed: Callable[..., dict[str, Any]],
    reached: Callable[[BucketServer], None],
) -> None:
    """Between the look and the claim of the number another push comes and goes."""

    def meanwhile(_path: str) -> None:
        reached(server)
        assert pushed("two", baseline="")["version"] == 1

    with way(server, Fault(r"PUT \S+/\.claim-1", times=1, then="forward", call=meanwhile)) as slow:
        reached(slow)
        with pytest.raises(TransientError, match="somebody else made this version meanwhile"):
            pushed("one", baseline="")
    assert baseline(place, tmp_path / "found")["files"] == tree(tmp_path / "model-two")
    assert not [name for name in server.names(place) if name.startswith(".")]


def killed(server: BucketServer, folder: Path, place: str, at: str, content: str = "one") -> None:
    """Kills a push at a request."""
    model = make_model(folder / f"model-{content}", content)
    given = executor_input(folder / "out", **arguments(model, make_blessing(folder / f"for-{content}"), place))
    process: list[subprocess.Popen[bytes]] = []
    with way(server, Fault(at, times=1, call=lambda _: process[0].kill())) as deadly:
        command = [sys.executable, "-m", "components.push", "--executor-input", json.dumps(given)]
        process.append(subprocess.Popen(command, env={**os.environ, **deadly.variables}, cwd=ROOT))
        assert process[0].wait(60) == -signal.SIGKILL


@pytest.mark.parametrize("server", GS_SLOW, indirect=True)
@pytest.mark.parametrize(
    "at",
    [
        r"PUT \S+/1/variables/variables.index",
        pytest.param(r"PUT \S+/1/assets.extra/millrace.json", marks=pytest.mark.slow),
    ],
)
def test_who_is_killed_leaves_nothing_served_and_is_gone_on_with(
    tmp_path: Path,
    server: BucketServer,
    place: str,
    at: str,
    pushed: Callable[..., dict[str, Any]],
    reached: Callable[[BucketServer], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    killed(server, tmp_path, place, at)
    left = set(server.names(place))
    assert ".claim-1" in left
    assert f"1/{MANIFEST}" not in left
    assert baseline(place, tmp_path / "none")["reason"] == "none: nothing was pushed before"
    with pytest.raises(TransientError, match="version 1 is being made or removed by somebody else"):
        pushed("two")
    asked: list[str] = []
    with way(server, Fault(r"PUT \S+/1/", then="forward", call=asked.append)) as watched:
        reached(watched)
        assert pushed("one")["version"] == 1
    reached(server)
    again = {path.partition("/1/")[2] for path in asked}
    assert again
    assert not again & {name.removeprefix("1/") for name in left}
    assert "going on with a push that died" in capsys.readouterr().out
    assert baseline(place, tmp_path / "found")["files"] == tree(tmp_path / "model-one")
    assert not [name for name in server.names(place) if name.startswith(".")]


@pytest.mark.slow
def test_what_somebody_left_who_died_is_removed_when_it_is_old(
    tmp_path: Path,
    server: BucketServer,
    place: str,
    pushed: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed(server, tmp_path, place, r"PUT \S+/1/saved_model.pb")
    server.put(f"{place}/1/variables/of-another-model", b"left")
    monkeypatch.setattr(claims, "age", lambda claim: 1000.0)
    assert pushed("two")["version"] == 1
    assert {name for name in server.names(f"{place}/1") if name != MANIFEST} == {
        str(each.relative_to(tmp_path / "model-two" / "Format-Serving"))
        for each in (tmp_path / "model-two" / "Format-Serving").rglob("*")
        if each.is_file()
    }


@pytest.mark.parametrize("server", GS_SLOW, indirect=True)
def test_who_slept_over_a_claim_that_another_one_took_goes_on_no_more(
    server: BucketServer,
    place: str,
    pushed: Callable[..., dict[str, Any]],
    reached: Callable[[BucketServer], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def taken(_path: str) -> None:
        server.put(f"{place}/.claim-1", b'{"content": "other"}')
        time.sleep(0.3)

    monkeypatch.setattr(claims, "_RENEWED_SECONDS", 0.05)
    with way(server, Fault(r"PUT \S+/1/fingerprint.pb", times=1, then="forward", call=taken)) as slow:
        reached(slow)
        with pytest.raises(TransientError, match="was taken over by somebody else"):
            pushed("one")
    assert f"1/{MANIFEST}" not in server.names(place)


def test_older_versions_go_manifest_first(
    tmp_path: Path,
    server: BucketServer,
    place: str,
    pushed: Callable[..., dict[str, Any]],
    reached: Callable[[BucketServer], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for content in ("one", "two", "three"):
        pushed(content)
    monkeypatch.setattr(bucket, "_RETRY", {"max_retries": 0})
    # The storage fails when the manifest is gone: nobody takes what is left for a version.
    with way(server, Fault(_REMOVAL, times=2, then="forward"), Fault(_REMOVAL, then=500)) as failing:
        reached(failing)
        told = pushed("four", keep=2)
    assert told["removed"] == []
    left = server.names(f"{place}/2")
    assert left
    assert MANIFEST not in left
    reached(server)
    assert [number for number, _ in serving.numbered(serving.serving_root(place))] == [4, 3, 1]
    monkeypatch.setattr(claims, "age", lambda claim: 1000.0)
    assert pushed("five", keep=2)["removed"] == [3, 1]
    assert {name.partition("/")[0] for name in server.names(place)} == {"4", "5"}


def test_labels_move_only_from_what_was_seen(
    server: BucketServer, place: str, pushed: Callable[..., dict[str, Any]]
) -> None:
    pushed("one")
    root = serving.serving_root(place)
    with publishing.changing(place, root):
        labels.write(root, labels.known(root) | {"stable": 1})
    assert json.loads(server.read(f"{place}/labels.json")) == {"stable": 1}
    with publishing.changing(place, root):
        known = labels.known(root)
        server.put(f"{place}/labels.json", b'{"stable": 1, "best": 1}')
        with pytest.raises(TransientError, match="somebody else changed it meanwhile, nothing is changed"):
            labels.write(root, known | {"mine": 1})
    with publishing.changing(place, root):
        labels.write(root, labels.known(root) | {"mine": 1})
    assert json.loads(server.read(f"{place}/labels.json")) == {"stable": 1, "best": 1, "mine": 1}


def test_what_passes_is_tried_again(
    server: BucketServer,
    place: str,
    pushed: Callable[..., dict[str, Any]],
    reached: Callable[[BucketServer], None],
    tmp_path: Path,
) -> None:
    faults = (
        Fault(r"GET", times=1, then=503),
        Fault(r"PUT \S+/1/fingerprint.pb", times=2, then=500),
        Fault(r"PUT \S+/1/saved_model.pb", times=1),
        # It did come there, and only the answer was lost.
        Fault(r"PUT \S+/\.claim-1", times=1, then="lost"),
        Fault(r"PUT \S+/1/assets.extra/millrace.json", times=1, then="lost"),
    )
    with way(server, *faults) as bad:
        reached(bad)
        assert pushed("one")["version"] == 1
    assert [each.seen for each in faults] == [1, 2, 1, 1, 1]
    reached(server)
    assert baseline(place, tmp_path / "found")["files"] == tree(tmp_path / "model-one")


@pytest.mark.parametrize("server", GS_SLOW, indirect=True)
@pytest.mark.parametrize(
    ("fault", "said"),
    [(Fault("PUT", then=500), "500 Internal Server Error"), (Fault("PUT"), "error sending request")],
)
def test_a_storage_that_fails_for_good_is_told_in_a_line_and_may_be_tried_again(
    server: BucketServer,
    place: str,
    fault: Fault,
    said: str,
    pushed: Callable[..., dict[str, Any]],
    reached: Callable[[BucketServer], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bucket, "_RETRY", {"max_retries": 1})
    with way(server, fault) as bad:
        reached(bad)
        with pytest.raises(TransientError) as told:
            pushed("one")
    assert str(told.value).startswith(f"{place}: cannot be written (.claim-1): ")
    assert said in str(told.value)
    assert "\n" not in str(told.value)
    assert server.names(place) == []


@pytest.mark.parametrize("server", GS_SLOW, indirect=True)
def test_what_is_large_goes_in_parts_and_appears_whole_or_not_at_all(
    server: BucketServer,
    place: str,
    tmp_path: Path,
    reached: Callable[[BucketServer], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "large"
    file.write_bytes(os.urandom(11 << 20))
    second = r"PUT \S+partNumber=2"
    monkeypatch.setattr(bucket, "_RETRY", {"max_retries": 0})
    with way(server, Fault(second, then=503)) as bad:
        reached(bad)
        with pytest.raises(TransientError, match="503 Service Unavailable"):
            bucket.Bucket(place).upload(file, "large")
    assert server.names(place) == []
    monkeypatch.setattr(bucket, "_RETRY", {"max_retries": 1})
    fault = Fault(second, times=1, then=503)
    with way(server, fault) as bad:
        reached(bad)
        bucket.Bucket(place).upload(file, "large")
    assert fault.seen == 1
    reached(server)
    there = bucket.Bucket(place)
    there.download(there.list(), tmp_path / "brought", lambda count: None)
    assert (tmp_path / "brought" / "large").read_bytes() == file.read_bytes()


def test_a_listing_comes_in_pages(server: BucketServer, place: str) -> None:
    for number in range(12):
        server.put(f"{place}/v{number % 7}/{number}", b"")
    there = bucket.Bucket(place)
    assert len(there.list()) == 12
    assert len(there.list("v1")) == 2


def refusal(deed: Callable[[], object]) -> str:
    with pytest.raises(StageError) as told:
        deed()
    assert isinstance(told.value, InputError)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_what_a_person_has_to_mend_is_told_in_a_line(
    server: BucketServer,
    place: str,
    tmp_path: Path,
    pushed: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, blessing = make_model(tmp_path / "model"), make_blessing(tmp_path / "refused")
    with server.refusing():
        result = run_stage("push", tmp_path / "out", **arguments(model, blessing, place))
    assert result.exit_code == 65
    assert result.error.startswith(f"{place}: cannot be listed: refused: 403 Forbidden (")
    assert not (tmp_path / "out" / "pushed_model").exists()
    there = f"{server.scheme}://"
    told = refusal(lambda: baseline(f"{there}no-such-bucket/taxi", tmp_path / "found"))
    assert told.startswith(f"{there}no-such-bucket/taxi: cannot be listed: there is no bucket no-such-bucket")
    assert "name a bucket, as in" in refusal(lambda: baseline(f"{there}/taxi", tmp_path / "found"))
    secret = refusal(lambda: baseline(f"{there}key:secret@bucket/taxi", tmp_path / "found"))
    assert "neither keys nor options" in secret
    assert "secret@" not in secret
    assert "token" not in refusal(lambda: baseline(f"{there}bucket/taxi?token=abc", tmp_path / "found"))
    for name in server.variables:
        if name != "AWS_ENDPOINT_URL":
            monkeypatch.delenv(name)
    # (What clouds' machines answer at an address of their own.)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(endpoints, "_is_on_google", lambda: False)
    monkeypatch.setattr(bucket, "_RETRY", {"max_retries": 0})
    told = refusal(lambda: baseline(place, tmp_path / "found"))
    assert told.startswith(f"{place}: cannot be ")
    assert f"there are no credentials: set {_CREDENTIALS[server.scheme]}" in told


def test_credentials_that_a_client_does_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    told = refusal(lambda: bucket.Bucket("gs://b/x"))
    assert told.startswith("gs://b/x: cannot be used: GOOGLE_APPLICATION_CREDENTIALS names ")
    (tmp_path / "key.json").write_text('{"type": "what"}')
    told = refusal(lambda: bucket.Bucket("gs://b/x"))
    assert told.startswith("gs://b/x: cannot be used: GOOGLE_APPLICATION_CREDENTIALS: Unable to decode service account")


# A process forks one that lists too, with a bucket that it has opened before, and with one of its own.
_FORKS = """
import os, sys
from components.runtime.data.bucket import Bucket
opened = Bucket(sys.argv[1])
if {first}:
    opened.list()
if os.fork() == 0:
    for each in (opened, Bucket(sys.argv[1])):
        try:
            each.list()
            print("listed", flush=True)
        except AssertionError as error:
            print(error, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("first", [False, True])
def test_a_fork_of_a_process_that_asked_a_bucket_ends_where_it_would_hang(place: str, first: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORKS.format(first=first), place],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    hangs = "obstore hangs in a fork of a process that has used it: use it after the fork alone"
    assert done.stdout.splitlines() == [hangs if first else "listed"] * 2
