"""A whole run whose data and served models lie in a bucket, again from the cache, and asked for its answers."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bucket_server import BucketServer
from tests.buckets import SCHEMES, bucket_server
from tests.e2e.conftest import Run, run
from tests.runners.command_line import command as call


@pytest.fixture(scope="module", params=SCHEMES)
def server(request: pytest.FixtureRequest) -> Iterator[BucketServer]:
    with bucket_server(request.param) as found:
        yield found


@pytest.mark.slow
def test_taxi_from_a_bucket_and_into_a_bucket(
    taxi: Run, taxi_data: Path, tmp_path: Path, server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    bucket = server.make("millrace")
    server.upload(taxi_data, f"{bucket}/data")
    served, root = f"{bucket}/serving/taxi", tmp_path / "root"
    options = ("--data", f"{bucket}/data", "--param", f"serving_directory={served}")
    made = run(root, "taxi", *options)
    assert made.exit_code == 0, made.output + made.errors
    # The same rows, wherever they lie, and so the same model.
    assert made.metadata("ingest", "examples")["content"] == taxi.metadata("ingest", "examples")["content"]
    assert f"\npushed    {served}/1\n" in made.output
    pushed = made.metadata("push", "pushed_model")
    assert (pushed["version"], pushed["created"]) == (1, True)
    again = run(root, "taxi", *options)
    assert again.exit_code == 0, again.output + again.errors
    assert again.states["ingest"] == again.states["train"] == "cached"
    assert again.metadata("push", "pushed_model")["created"] is False
    of_taxi = ("--root", str(root))
    told = call(*of_taxi, "versions", "taxi", "--verify", "--serving-directory", served, "--json")
    assert told.returncode == 0, told.stderr
    versions = json.loads(told.stdout)["versions"]
    assert versions[-1]["run"] == made.record["id"]
    rows = list(csv.DictReader(sorted(taxi_data.glob("*.csv"))[0].open()))[:50]
    with (tmp_path / "new.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [name for name in rows[0] if name != "tips"])
        writer.writeheader()
        writer.writerows({name: it for name, it in row.items() if name != "tips"} for row in rows)
    out = tmp_path / "answers"
    inferred = call(
        *of_taxi, "infer", "taxi", "--data", str(tmp_path / "new.csv"), "--out", str(out), "--serving-directory", served
    )
    assert inferred.returncode == 0, inferred.stdout + inferred.stderr
    text = "".join(file.read_text(errors="replace") for file in root.rglob("*.json*"))
    text += "".join(file.read_text(errors="replace") for file in root.rglob("*.log"))
    assert not [secret for secret in server.secrets if secret in text]


@pytest.mark.slow
def test_what_one_machine_made_another_one_takes_from_the_bucket(
    taxi_data: Path, tmp_path: Path, server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    shared = f"{server.make('shared')}/root"
    options = ("--data", str(taxi_data), "--bucket", shared, "--until", "validate")
    first = run(tmp_path / "first", "taxi", *options)
    assert first.exit_code == 0, first.output + first.errors
    names = server.names(shared)
    assert f"runs/{first.record['id']}/run.json" in names
    assert f"lineage/{first.record['id']}/ingest.jsonl" in names
    assert not [name for name in names if "/.claim-" in name]
    second = run(tmp_path / "second", "taxi", *options)
    assert second.exit_code == 0, second.output + second.errors
    assert {second.states[name] for name in ("ingest", "statistics", "schema", "validate")} == {"cached"}
    assert second.metadata("ingest", "examples") == first.metadata("ingest", "examples")
    # One that the bucket has in part only is made again, and is whole there then.
    record = next(name for name in names if name.startswith("artifacts/taxi/validate/") and name.endswith("n.json"))
    server.delete(f"{shared}/{record}")
    third = run(tmp_path / "third", "taxi", *options)
    assert (third.states["schema"], third.states["validate"]) == ("cached", "done")
    assert record in server.names(shared)
    with server.refusing():
        refused = run(tmp_path / "refused", "taxi", *options)
    assert refused.exit_code == 65
    assert f"{shared}: cannot be listed: refused: 403 Forbidden" in refused.errors
    assert not (tmp_path / "refused" / "runs").exists()
