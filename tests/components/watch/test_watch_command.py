"""`./millrace watch` as a person calls it: what it prints, records, and whom it tells."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.components.watch.watched import END, Rides, World
from tests.runners.loopback import Request, serving
from tests.support import MILLRACE

SETTINGS = """
description: rides
serving_directory: {serving}
notify: {{when: failure, webhook: json}}
serving: {{log: {{folder: {logs}}}}}
watch: {{every: 1d, windows: 2, worse_by: {{auc: 0.05}}}}
"""


def called(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MILLRACE, *map(str, arguments)], capture_output=True, text=True, check=False, env=os.environ | variables
    )


@pytest.mark.slow
def test_drift_is_told_with_a_code_of_its_own_and_quiet_is_not_told(tmp_path: Path) -> None:
    world = World(tmp_path, log_name="logs/rides")
    world.push(Rides.of(2000, 1), {"auc": 0.91})
    world.ask(Rides.of(400, 2), 1)
    world.ask(Rides.of(400, 3, drift=1.0), 0)
    model = tmp_path / "rides"
    model.mkdir()
    settings = SETTINGS.format(serving=world.serving, logs=tmp_path / "logs")
    (model / "settings.yaml").write_text(settings)
    received: list[Request] = []

    def look(*more: object) -> subprocess.CompletedProcess[str]:
        with serving(lambda request: (received.append(request), (200, b""))[1]) as url:
            asked = ("--root", tmp_path / "root", "watch", model, *more)
            return called(*asked, MILLRACE_NOTIFY_URL=url)

    found = look("--until", END.isoformat(), "--json")
    assert found.returncode == 3, found.stderr
    document: dict[str, Any] = json.loads(found.stdout)
    assert (document["state"], document["code"], document["retrained"]) == ("drifted", 3, None)
    assert document["error"] == document["reason"]
    assert document["windows"][1]["rows"] == 400
    record = json.loads((tmp_path / "root" / "runs" / document["run"] / "run.json").read_text())
    assert (record["pipeline"], record["state"]) == ("rides-watch", "done")
    assert {task["name"]: task["alert"] for task in record["tasks"]} == {"watch": "warning", "notify": ""}
    assert "Watched: drifted" in Path(document["report"]).read_text()
    [told] = received
    facts = json.loads(told.body)
    assert facts["watched"].startswith("drifted: version 1: auc ")
    assert "rides-watch done, drift found" in facts["text"]

    received.clear()
    quiet = look("--until", END.replace(day=29).isoformat(), "--windows", 1)
    assert quiet.returncode == 0, quiet.stderr
    within = "3 features and outputs within their thresholds, 1 not measured (prediction.outputs)"
    assert f"ok: version 1: {within}; auc as at blessing" in quiet.stdout
    assert "skew not measured, because it is the oldest window with enough rows" in quiet.stdout
    assert "kolmogorov smirnov" in quiet.stdout
    assert not received
