"""What a container gets to see: the inputs, the data, the outputs, and a network where something lies behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runners.local.container_mounts import Mounts, destinations, mounts, needs_network
from tests.runners.local.container_runs import task


def test_inputs_and_data_are_read_only_and_only_outputs_may_be_written(tmp_path: Path) -> None:
    for name in ("raw", "model", "serving", "code", "work"):
        (tmp_path / name).mkdir()
    module = tmp_path / "code" / "net.py"
    given = task(
        "train",
        {"data": str(tmp_path / "raw"), "module_file": str(module), "other": "models/taxi/model.py", "steps": 3},
        {"model": str(tmp_path / "model"), "absent": str(tmp_path / "absent"), "remote": "gs://bucket/model"},
    )
    seen = mounts(given, tmp_path / "work")
    assert set(seen.readable) == {tmp_path / "raw", tmp_path / "model", tmp_path / "code"}
    assert seen.writable == (tmp_path / "work",)


def test_only_push_may_write_the_serving_directory(tmp_path: Path) -> None:
    serving = tmp_path / "serving"
    assert mounts(task("push", {"destination": str(serving)}), tmp_path).writable == (tmp_path, serving)
    serving.mkdir()
    seen = mounts(task("resolve", {"destination": str(serving)}), tmp_path)
    assert (seen.readable, seen.writable) == ((serving,), (tmp_path,))


def test_a_pattern_gives_the_folder_that_holds_its_files(tmp_path: Path) -> None:
    pattern = str(tmp_path / "span-{SPAN}" / "*.csv")
    assert mounts(task(parameters={"data": pattern}), tmp_path / "work").readable == (tmp_path,)


def test_a_module_that_is_a_link_is_seen_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "net.py").touch()
    (tmp_path / "code" / "net.py").symlink_to("../shared/net.py")
    given = task("train", {"module_file": str(tmp_path / "code" / "net.py")})
    assert mounts(given, tmp_path / "work").readable == (tmp_path / "code", tmp_path / "shared" / "net.py")


def test_what_custom_config_names_is_seen(tmp_path: Path) -> None:
    weights = tmp_path / "weights.h5"
    weights.touch()
    given = task("train", {"custom_config": {"encoders": [{"from": str(weights)}, "models", "a text"]}})
    assert mounts(given, tmp_path / "work").readable == (weights,)


def test_the_writable_folder_wins_over_a_readable_one_and_lies_over_what_holds_it(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    options = Mounts((inner, tmp_path), (inner,)).options()
    assert options[1::2] == [
        f"type=bind,source={tmp_path},target={tmp_path},readonly",
        f"type=bind,source={inner},target={inner}",
    ]


def test_a_comma_in_a_path_stays_one_field(tmp_path: Path) -> None:
    folder = tmp_path / "a,b"
    _, option = Mounts((folder,), ()).options()
    assert f'"source={folder}"' in option


@pytest.mark.parametrize(
    ("parameters", "inputs", "expected"),
    [
        ({"data": "/data/taxi", "splits": {"train": 2}}, {}, False),
        ({"data": "gs://bucket/taxi"}, {}, True),
        ({"beam_options": ["--temp_location=gs://bucket/tmp"]}, {}, True),
        ({}, {"model": "s3://bucket/model"}, True),
    ],
)
def test_there_is_a_network_only_where_something_lies_behind_it(
    parameters: dict[str, Any], inputs: dict[str, str], expected: bool
) -> None:
    assert needs_network(task(parameters=parameters, inputs=inputs)) is expected


def test_the_exit_task_has_a_network_only_where_somebody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MILLRACE_NOTIFY_URL", "MILLRACE_MAIL_USER", "MILLRACE_MAIL_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    status = {"status": {"error": {"message": "gs://bucket/trips is not there"}}, "link": "https://example.org"}
    assert not needs_network(task("notify", parameters=status))
    assert needs_network(task("notify", parameters=status | {"mail": {"server": "smtp.example.org"}}))
    monkeypatch.setenv("MILLRACE_NOTIFY_URL", "https://example.org/hook")
    assert needs_network(task("notify", parameters=status))
    assert destinations(task("notify")) == ["MILLRACE_NOTIFY_URL"]
    assert not needs_network(task("ingest"))
    assert destinations(task("ingest")) == []


def test_what_asks_writes_into_the_serving_directory_and_has_a_network_where_somebody_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MILLRACE_NOTIFY_URL", "https://example.org/hook")
    parameters = {"destination": str(tmp_path / "serving"), "webhook": ""}
    assert tmp_path / "serving" in mounts(task("approve", parameters=parameters), tmp_path / "work").writable
    assert not needs_network(task("approve", parameters=parameters))
    asks = task("approve", parameters=parameters | {"webhook": "slack"})
    assert needs_network(asks)
    assert destinations(asks) == ["MILLRACE_NOTIFY_URL"]


@pytest.mark.parametrize("kind", ["sqlite", "delta"])
def test_a_query_of_files_has_no_network_and_sees_them(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "taxi"
    place.touch()
    asked = task("query", {"source": {"kind": kind, "path": str(place)}, "variable": "CITY"})
    assert not needs_network(asked)
    assert mounts(asked, tmp_path / "work").readable == (place,)


def test_a_query_of_a_server_or_of_object_storage_has_one() -> None:
    server = {"kind": "postgresql", "host": "db", "database": "taxi", "user": "reader"}
    assert needs_network(task("query", {"source": server, "variable": "CITY"}))
    assert needs_network(task("query", {"source": {"kind": "delta", "path": "s3://lake/trips"}, "variable": "CITY"}))
