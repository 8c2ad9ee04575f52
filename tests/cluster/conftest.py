"""The cluster, its data, and a run that nothing disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.real_cluster import VOLUME, RealCluster, Run


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[RealCluster]:
    """Left as it was where all went well; else what lies in it tells why."""
    made = RealCluster.named(tmp_path_factory.mktemp("cluster"))
    yield made
    if not request.session.testsfailed:
        made.clean()


@pytest.fixture(scope="session")
def trips(cluster: RealCluster) -> Path:
    """The sample: 15,000 generated trips."""
    from scripts.data import sample_data

    folder = cluster.folder / "trips"
    assert sample_data.main(["taxi", "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def data(cluster: RealCluster, trips: Path) -> str:
    """The same on the volume."""
    for file in trips.glob("*.csv"):
        cluster.put(file, f"{VOLUME}/data/{cluster.token}/{file.name}")
    return f"{VOLUME}/data/{cluster.token}"


@pytest.fixture(scope="session")
def undisturbed(cluster: RealCluster, data: str) -> Run:
    run = cluster.submit(cluster.compiled("calm"), data)
    run.wait()
    return run
