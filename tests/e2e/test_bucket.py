"""A whole run whose data and served models lie in a bucket, again from the cache, and asked for its answers."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Run, run
from tests.runners.command_line import command as call
from tests.s3_server import S3, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as found:
        yield found


@pytest.mark.slow
def test_taxi_from_a_bucket_and_into_a_bucket(
    taxi: Run, taxi_data: Path, tmp_path: Path, server: S3, monkeypatch: pytest.MonkeyPatch
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
    assert server.variables["AWS_SECRET_ACCESS_KEY"] not in text
