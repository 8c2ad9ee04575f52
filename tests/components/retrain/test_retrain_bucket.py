"""Looks at a model whose serving directory is in a bucket: what they have begun is noted there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.retrain.begun import note, noted, read
from components.runtime.publish import mirror, serving
from tests.bucket_server import BucketServer
from tests.buckets import GS_SLOW, bucket_server
from tests.components.push.serving_support import make_blessing, make_model
from tests.components.push.test_push import arguments
from tests.components.retrain.looks import LOOK, World, cluster, reason
from tests.support import run_stage


@pytest.fixture(params=GS_SLOW)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    with bucket_server(request.param) as found:
        mirror._opened.clear()
        for name, value in found.variables.items():
            monkeypatch.setenv(name, value)
        yield found


def test_looks_know_of_each_other_by_what_is_noted_in_the_bucket(
    tmp_path: Path, server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{server.make('looks')}/models/taxi"
    model, blessing = make_model(tmp_path / "model"), make_blessing(tmp_path / "blessing")
    pushed = run_stage("push", tmp_path / "out", **arguments(model, blessing, place))
    assert pushed.exit_code == 0, pushed.stderr
    world = World(tmp_path / "world")
    # One that looked while nothing was noted, and comes to its note behind the others.
    late = serving.serving_root(place)
    assert noted(late) == []
    with cluster(tmp_path, monkeypatch) as argo:
        argo.plan = list("many tasks, so it goes on for long")
        given = {"destination": place, "kubernetes": argo.url}
        assert reason(world.look(**given)).endswith("on spans 1, 2, for version 1")
        [(_, name)] = argo.workflows
        told = argo.workflows["ml", name]["metadata"]["annotations"]["millrace/begun"]
        file = f"{place}/.retrainings/{name}.json"
        assert server.read(file).decode() == told
        note(late, read(told))
        assert server.read(file).decode() == told
        server.delete(file)
        world.span(3)
        assert reason(world.look(**given)) == f"nothing begun: {name} is under way, begun by {LOOK}-1"
        assert server.read(file).decode() == told
        assert len(argo.workflows) == 1
