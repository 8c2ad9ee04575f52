"""Versions served from a bucket, as it changes: in this process, one look after the other."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.runtime.data import bucket
from components.runtime.errors import TransientError
from components.runtime.publish import mirror, serving
from components.runtime.publish.serving import MANIFEST, model_digest
from components.runtime.stage.artifacts import file_digests
from model_server.__main__ import main
from model_server.versions import Versions
from tests.bucket_server import BucketServer, Fault, way
from tests.buckets import SCHEMES, bucket_server
from tests.model_server.test_versions import states, told


@pytest.fixture(scope="module", params=SCHEMES)
def server(request: pytest.FixtureRequest) -> Iterator[BucketServer]:
    with bucket_server(request.param) as found:
        yield found


@pytest.fixture
def place(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    mirror._opened.clear()
    return f"{server.make(f'bucket-{uuid.uuid4().hex}')}/serving/taxi"


def put(server: BucketServer, place: str, model: Path, number: int) -> None:
    """A version as push leaves it."""
    server.upload(model, f"{place}/{number}")
    files = file_digests(model)
    manifest = {"files": files, "model_digest": model_digest(files)}
    server.put(f"{place}/{number}/{MANIFEST}", json.dumps(manifest).encode())


def here(versions: Versions, number: int) -> list[str]:
    folder = versions.root / str(number)
    return sorted(each.name for each in folder.rglob("*") if each.is_file())


def test_what_lies_in_a_bucket_is_served_as_it_changes(
    server: BucketServer, place: str, models: dict[int, Path]
) -> None:
    versions = Versions("m", serving.serving_root(place, told=False))
    versions.refresh()
    assert not versions.is_ready
    put(server, place, models[1], 1)
    versions.refresh()
    assert told(versions) == 1
    # Half of a version is none.
    server.put(f"{place}/.claim-2", b"{}")
    server.upload(models[2], f"{place}/2")
    versions.refresh()
    assert (told(versions), states(versions)) == (1, {1: "AVAILABLE"})
    put(server, place, models[2], 2)
    server.delete(f"{place}/.claim-2")
    server.put(f"{place}/labels.json", b'{"stable": 1}')
    versions.refresh()
    assert (told(versions), told(versions, label="stable"), versions.in_service) == (2, 1, 2)
    server.put(f"{place}/labels.json", b'{"stable": 2}')
    versions.refresh()
    assert states(versions) == {2: "AVAILABLE"}
    assert here(versions, 1) == [Path(MANIFEST).name], "what is served no more takes no place"
    for name in server.names(f"{place}/2"):
        server.delete(f"{place}/2/{name}")
    versions.refresh()
    assert told(versions) == 1


def test_a_damaged_version_is_not_served_and_nor_does_a_storage_that_fails_end_it(
    server: BucketServer, place: str, models: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_RETRY", {"max_retries": 0})
    fault = Fault("GET", times=0, then=500)
    with way(server, fault) as through:
        for name, value in through.variables.items():
            monkeypatch.setenv(name, value)
        versions = Versions("m", serving.serving_root(place, told=False))
        put(server, place, models[1], 1)
        versions.refresh()
        put(server, place, models[2], 2)
        server.put(f"{place}/2/saved_model.pb", b"other bytes")
        versions.refresh()
        assert (told(versions), states(versions)) == (1, {2: "END", 1: "AVAILABLE"})
        fault.times = 100
        with pytest.raises(TransientError, match="500 Internal Server Error"):
            versions.refresh()
        assert told(versions) == 1
        fault.times = 0
        put(server, place, models[2], 2)
        fault.of, fault.times, fault.seen = "GET .*2/saved_model", 1, 0
        versions.refresh()
        assert told(versions) == 1, "it came in part only"
        versions.refresh()
        assert told(versions) == 2


def test_a_bucket_that_is_not_there_is_told(
    server: BucketServer, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"--model_base_path={server.scheme}://no-such-bucket/taxi"]) == 65
    assert (
        f"--model_base_path: {server.scheme}://no-such-bucket/taxi: cannot be listed: there is no bucket"
        in capsys.readouterr().err
    )
